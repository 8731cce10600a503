//! Saving a run: at the end of an epoch, when a checkpoint is due between two steps, and before the run ends. Knows
//! nothing of the format of checkpoints.

use std::time::Instant;

use super::checkpoint::{CheckpointError, Checkpoints};
use super::model_state::ModelState;
use super::recorder::Recorder;
use crate::config::Config;
use crate::report::RunFolder;

/// Writes the checkpoints of a run.
pub(super) struct Saver<'a> {
    config: &'a Config,
    pub checkpoints: Checkpoints,
    /// The time of the last checkpoint, or of the start of the run.
    last_saved: Instant,
}

impl<'a> Saver<'a> {
    pub fn new(config: &'a Config, folder: &RunFolder) -> Self {
        Self { config, checkpoints: Checkpoints::of_run(folder.path()), last_saved: Instant::now() }
    }

    /// Saves a checkpoint and moves the link `last` to it, and `best` if `is_best`.
    pub fn save(&mut self, model: &mut ModelState, recorder: &Recorder, is_best: bool) -> Result<(), CheckpointError> {
        let ModelState { stepper, evaluate_guard, state } = model;
        state.optimizer_step = stepper.learner.optimizer.step_count();
        state.scaler = stepper.scaler.clone();
        state.train_guard = stepper.guard.state();
        state.evaluate_guard = evaluate_guard.state();
        state.log_bytes = recorder.log.bytes();
        state.event_bytes = recorder.log.event_bytes();
        self.checkpoints.save(&stepper.learner, state, self.config, is_best)?;
        self.last_saved = Instant::now();
        Ok(())
    }

    /// Saves between two steps if the last checkpoint is older than `output.save_every_secs`.
    ///
    /// It does not save after a step without an update, because a diverged run must not resume from there.
    pub fn save_when_due(&mut self, model: &mut ModelState, recorder: &Recorder) -> Result<(), CheckpointError> {
        let every_secs = self.config.output.save_every_secs;
        let is_due = every_secs > 0.0 && self.last_saved.elapsed().as_secs_f64() >= every_secs;
        if is_due && model.state.bad_steps == 0 { self.save(model, recorder, false) } else { Ok(()) }
    }

    /// Saves before the run ends with `error`, if weights and optimizer are those of before the step.
    pub fn save_after_failure(&mut self, model: &mut ModelState, recorder: &Recorder, can_be_saved: bool) {
        let last = self.checkpoints.path("last");
        let step = model.state.step;
        let note = match can_be_saved.then(|| self.save(model, recorder, false)) {
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
