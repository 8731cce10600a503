//! When a run is saved: at the ends of epochs, now and then between them, and when it has to stop.

use std::time::Instant;

use super::checkpoint::Checkpoints;
use super::step::StepError;
use super::trainer::{TrainError, Trainer};

impl Trainer<'_> {
    /// Between two steps, where the last checkpoint is older than `output.save_every_secs`. Not among steps that moved no
    /// weight: the run may have to go back, and not to these.
    pub(super) fn save_when_due(&mut self) -> Result<(), TrainError> {
        let every_secs = self.config.output.save_every_secs;
        let is_due = every_secs > 0.0 && self.saved.elapsed().as_secs_f64() >= every_secs;
        if is_due && self.state.bad_steps == 0 { self.save(false) } else { Ok(()) }
    }

    pub(super) fn save(&mut self, is_best: bool) -> Result<(), TrainError> {
        self.state.optimizer_step = self.stepper.learner.optimizer.step_count();
        self.state.scaler = self.stepper.scaler.clone();
        self.state.train_guard = self.stepper.guard.state();
        self.state.evaluate_guard = self.evaluate_guard.state();
        self.state.log_bytes = self.log.bytes();
        self.state.event_bytes = self.log.event_bytes();
        Checkpoints::of_run(self.folder.path()).save(&self.stepper.learner, &self.state, self.config, is_best)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// The run ends with `error`; what was learned since the last checkpoint is kept where it is whole.
    pub(super) fn save_what_can_be_saved(&mut self, error: &StepError) {
        let last = Checkpoints::of_run(self.folder.path()).path("last");
        let step = self.state.step;
        let note = match error.can_be_saved().then(|| self.save(false)) {
            Some(Ok(())) => format!("it is saved as it was after step {step}"),
            Some(Err(unsaved)) => format!("it could not be saved ({unsaved})"),
            None => "it cannot be saved as it is now".to_owned(),
        };
        match last.canonicalize() {
            Ok(last) => tracing::error!("training stops: {note}; the last checkpoint is {}", last.display()),
            Err(_) => tracing::error!("training stops: {note}; there is no checkpoint yet"),
        }
    }
}
