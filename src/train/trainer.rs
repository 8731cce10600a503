//! The fit loop: epochs of training steps, validation and checkpoints, until the last epoch, an early stop or Ctrl-C.
//!
//! The loop decides only what comes next. A step is in `train_step.rs`, a roll-back in `roll_back.rs`; what is written
//! is in `recorder.rs` and `saver.rs`.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::data::TrainData;
use super::epoch::{Best, EpochRecord};
use super::error::{StepError, TrainError};
use super::log_lines::{MemoryLine, progress_line};
use super::model_state::ModelState;
use super::recorder::Recorder;
use super::roll_back::roll_back;
use super::saver::Saver;
use super::train_step::{StepInput, train_step};
use crate::clip::Draw;
use crate::config::Config;
use crate::evaluate::{EvaluateError, Evaluation, Evaluator, Pooling, scored_videos};
use crate::loader::{HostBatch, Pass};
use crate::memory::{GuardError, MemoryManager};
use crate::optim::Schedule;
use crate::progress::Bar;

/// How training ended, without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitEnd {
    /// All epochs are done, or training stopped early.
    Completed,
    /// The user pressed Ctrl-C; a checkpoint is written.
    Interrupted,
}

/// How an epoch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EpochEnd {
    Finished,
    Interrupted,
    Diverged,
}

/// A training run.
pub struct Trainer<'a> {
    /// The configuration of the run.
    pub config: &'a Config,
    /// The videos and batches.
    pub data: TrainData<'a>,
    /// Everything that a checkpoint saves.
    pub model: ModelState<'a>,
    /// Writes logs, pictures and the page of the run.
    pub recorder: Recorder<'a>,
    pub(super) saver: Saver<'a>,
    pub(super) memory: Rc<MemoryManager>,
    /// True after Ctrl-C.
    pub(super) stop: &'a AtomicBool,
}

impl<'a> Trainer<'a> {
    /// A run that starts, or goes on, from `model`. Training ends when `stop` becomes true.
    #[must_use]
    pub fn new(
        config: &'a Config,
        data: TrainData<'a>,
        model: ModelState<'a>,
        recorder: Recorder<'a>,
        memory: Rc<MemoryManager>,
        stop: &'a AtomicBool,
    ) -> Self {
        let saver = Saver::new(config, &recorder.folder, &memory);
        Self { config, data, model, recorder, saver, memory, stop }
    }

    /// Trains until the last epoch, an early stop or Ctrl-C. When it returns, the last state and the best epoch are
    /// saved.
    ///
    /// # Errors
    /// See [`TrainError`]. If memory ran out, a checkpoint is written first.
    pub fn fit(&mut self) -> Result<FitEnd, TrainError> {
        let end = self.train_epochs();
        let written = self.saver.finish();
        if let (Err(_), Err(unwritten)) = (&end, &written) {
            // The failure of training is reported by the caller.
            tracing::error!("{unwritten}");
        }
        let end = end?;
        written?;
        Ok(end)
    }

    fn train_epochs(&mut self) -> Result<FitEnd, TrainError> {
        let patience = self.config.training.early_stopping.patience;
        if self.model.state.step == 0 {
            // A run that diverges or is killed in its first epoch goes on from this checkpoint.
            self.save(false)?;
        } else {
            // A run that was killed may have left old checkpoints.
            self.saver.checkpoints()?.tidy(self.config);
        }
        while self.model.state.epoch < self.config.training.epochs {
            if self.model.state.patience.is_exhausted(patience) {
                tracing::info!("validation has not got better for {patience} epochs: stopping early");
                break;
            }
            let end = match self.train_epoch()? {
                EpochEnd::Finished => self.validate_epoch()?,
                end => end,
            };
            match end {
                EpochEnd::Finished => {}
                EpochEnd::Diverged => roll_back(&mut self.model, &mut self.saver, &mut self.recorder)?,
                EpochEnd::Interrupted => {
                    self.saver.save_and_wait(&mut self.model, &self.recorder)?;
                    return Ok(FitEnd::Interrupted);
                }
            }
        }
        Ok(FitEnd::Completed)
    }

    /// Runs the training steps of an epoch, or the rest of them after a resume.
    fn train_epoch(&mut self) -> Result<EpochEnd, TrainError> {
        let ModelState { state, .. } = &self.model;
        let plan = self.data.plan(state.epoch);
        let schedule = self.schedule();
        let log_batches = self.config.logging.log_interval * self.config.training.gradient_accumulation as u64;
        let bar = Bar::new("train", plan.len() as u64, log_batches);
        bar.advance(state.batches_done as u64, String::new);
        let draw = Draw::new(self.config.seed, state.epoch);
        let loader = self.data.loader;
        let mut pass = loader.pass_from(plan, state.batches_done, Some(draw));
        let accumulation = self.config.training.gradient_accumulation;
        let mut started = Instant::now();
        let mut coming = next_batches(&mut pass, accumulation);
        while let Some(batches) = coming {
            // Asked for before the step runs, so that their first frames travel to the device while it computes.
            coming = next_batches(&mut pass, accumulation);
            let state = &self.model.state;
            let input = StepInput {
                batches: &batches,
                next: coming.as_ref().and_then(|batches| batches.first()),
                learning_rate: state.learning_rate(&schedule, state.step),
                seed: step_seed(self.config.seed, state.step),
                wait_secs: started.elapsed().as_secs_f64(),
                started,
            };
            match self.step(&input) {
                Err(TrainError::Step(StepError::Guard(GuardError::Interrupted))) => return Ok(EpochEnd::Interrupted),
                result => result?,
            }
            self.manage_memory()?;
            self.saver.save_when_due(&mut self.model, &self.recorder)?;
            bar.advance(batches.len() as u64, || self.progress_line());
            if self.model.state.has_diverged() {
                return Ok(EpochEnd::Diverged);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(EpochEnd::Interrupted);
            }
            started = Instant::now();
        }
        Ok(EpochEnd::Finished)
    }

    /// Runs and records one training step. If it fails, what can be saved is saved.
    fn step(&mut self, input: &StepInput) -> Result<(), TrainError> {
        let ModelState { stepper, state, .. } = &mut self.model;
        let result = train_step(stepper, state, &mut self.recorder, &self.memory, input);
        match &result {
            // It ends as after any other step.
            Err(TrainError::Step(StepError::Guard(GuardError::Interrupted))) => {}
            Err(TrainError::Step(error)) => {
                self.saver.save_after_failure(&mut self.model, &self.recorder, error.can_be_saved());
            }
            _ => {}
        }
        result
    }

    /// Cleans up memory if it is time to, reduces the micro-batch size if nothing else helps, and records the memory in
    /// use.
    fn manage_memory(&mut self) -> io::Result<()> {
        self.follow_device();
        let ModelState { stepper, state, .. } = &mut self.model;
        if self.memory.safe_point(state.step) {
            let events_before = stepper.guard.events().len();
            stepper.guard.shrink();
            let device = stepper.learner.detector.device();
            self.recorder.size_changes(state, device, &stepper.guard.events()[events_before..])?;
        }
        self.recorder.cleanups(state, self.memory.take_cleanups())?;
        let every = self.config.logging.memory_log_interval;
        if every == 0 || !state.step.is_multiple_of(every) {
            return Ok(());
        }
        let size = self.data.loader.size();
        self.recorder.memory(&MemoryLine {
            step: state.step,
            size: stepper.guard.micro_batch_size(),
            clips_ahead: size.clips_ahead,
            threads: size.threads,
            cache_bytes: self.data.loader.cached_bytes(),
            reading: self.memory.read(),
        })
    }

    /// Where training moved to the CPU, or back, evaluation and clean-ups look at memory there, too.
    pub(super) fn follow_device(&mut self) {
        let is_on_cpu = self.model.stepper.guard.micro_batch_size().on_cpu;
        self.memory.watch_gpu(!is_on_cpu);
        self.model.evaluate_guard.read_host(is_on_cpu);
    }

    /// Validates a trained epoch and finishes it.
    fn validate_epoch(&mut self) -> Result<EpochEnd, TrainError> {
        let known = self.model.state.skipped.len();
        match self.evaluate("validate", &self.data.val_videos.clone()) {
            Ok(evaluation) => {
                let unscored = evaluation.not_finite.len() + self.model.state.skipped.len() - known;
                self.finish_epoch(&evaluation, unscored)?;
                Ok(EpochEnd::Finished)
            }
            Err(TrainError::Evaluate(EvaluateError::Interrupted)) => Ok(EpochEnd::Interrupted),
            Err(error) => {
                if matches!(error, TrainError::Evaluate(_)) {
                    // A resumed run goes on with the validation of this epoch.
                    self.saver.save_and_wait(&mut self.model, &self.recorder)?;
                }
                Err(error)
            }
        }
    }

    /// Scores `videos` with the current weights, or with those of the EMA. `label` names the progress bar.
    ///
    /// # Errors
    /// Interrupted, or memory ran out at the smallest size.
    pub fn evaluate(&mut self, label: &str, videos: &[usize]) -> Result<Evaluation, TrainError> {
        let ModelState { stepper, evaluate_guard, state } = &mut self.model;
        let events_before = evaluate_guard.events().len();
        let mut evaluator = Evaluator {
            loader: self.data.loader,
            guard: evaluate_guard,
            clean_up: &mut stepper.clean_up,
            batch_size: self.config.training.batch_size.clips(),
            clips_a_video: self.config.data.clips_per_video,
            pin_memory: self.config.dataloader.pin_memory,
            pooling: Pooling::default(),
            stop: self.stop,
            label,
        };
        let result = evaluator.run(stepper.learner.eval_model(), videos);
        let device = stepper.learner.detector.device();
        let logged = self.recorder.size_changes(state, device, &evaluate_guard.events()[events_before..]);
        let logged = logged.and_then(|()| self.recorder.cleanups(state, self.memory.take_cleanups()));
        let evaluation = result?;
        logged?;
        self.recorder.skipped_videos(state, &evaluation.skipped);
        Ok(evaluation)
    }

    /// Records an epoch after its validation, and saves it. `unscored` videos that earlier epochs scored have no score in
    /// this one.
    fn finish_epoch(&mut self, evaluation: &Evaluation, unscored: usize) -> Result<(), TrainError> {
        let training = &self.config.training;
        let samples = scored_videos(&evaluation.videos);
        let schedule = self.schedule();
        let state = &mut self.model.state;
        let lr = state.learning_rate(&schedule, state.step.saturating_sub(1));
        let record = EpochRecord::new(state.epoch + 1, state.step, &state.tally, &samples, lr);
        let mut record = EpochRecord { unscored, ..record };
        if unscored > 0 {
            tracing::warn!(
                "{} of {} validation videos have no score after epoch {}, so it cannot be the best",
                unscored,
                unscored + evaluation.videos.len(),
                record.epoch
            );
        }
        let is_best = Best::beats(&Best::of(&record, training.early_stopping.monitor), state.best.as_ref());
        record.is_best = is_best;
        self.recorder.epoch(&record, &samples)?;
        state.finish_epoch(record, training);
        self.recorder.epoch_table(&state.history)?;
        self.save(is_best)?;
        self.recorder.refresh_page();
        Ok(())
    }

    fn save(&mut self, is_best: bool) -> Result<(), TrainError> {
        Ok(self.saver.save(&mut self.model, &self.recorder, is_best)?)
    }

    fn schedule(&self) -> Schedule {
        let training = &self.config.training;
        let steps_per_epoch = self.data.steps_per_epoch();
        let steps = |epochs: f64| (epochs * steps_per_epoch as f64).round() as u64;
        Schedule {
            kind: training.scheduler,
            peak: training.learning_rate,
            minimum: training.min_lr,
            warmup_steps: steps(training.warmup_epochs),
            total_steps: steps_per_epoch * u64::from(training.epochs),
            restart_steps: steps(training.restart_period),
            decay_steps: steps(training.decay_epochs),
        }
    }

    fn progress_line(&self) -> String {
        let ModelState { stepper, state, .. } = &self.model;
        progress_line(
            state,
            self.config.training.epochs,
            stepper.learner.detector.device(),
            stepper.guard.micro_batch_size(),
        )
    }
}

/// The batches of the next step; `None` at the end of the epoch.
fn next_batches(pass: &mut Pass, count: usize) -> Option<Vec<HostBatch>> {
    let batches: Vec<_> = std::iter::from_fn(|| pass.next_batch()).take(count).collect();
    (!batches.is_empty()).then_some(batches)
}

/// The seed of a step: splitmix64 of the run's seed and the step. It needs no saved generator state.
pub(super) fn step_seed(seed: u64, step: u64) -> i64 {
    let mut z = seed.wrapping_add((step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    // libtorch takes a signed seed, so the top bit is dropped.
    ((z ^ (z >> 31)) >> 1) as i64
}
