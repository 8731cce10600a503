//! Saving a run: at the end of an epoch, when a checkpoint is due between two steps, and before the run ends. Knows
//! nothing of the format of checkpoints.
//!
//! The thread of training copies what a checkpoint holds to the host, and goes on while another thread writes the copy.
//! At most one checkpoint is being written: the next one, the end of the run, and all that reads checkpoints wait for it.
//! The memory of the copy is kept for the next one, until memory is cleaned up.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use super::checkpoint::{CheckpointError, Checkpoints, Contents, Tensors};
use super::model_state::ModelState;
use super::recorder::Recorder;
use crate::config::Config;
use crate::memory::{self, MemoryManager};
use crate::report::RunFolder;
use crate::torch::OneThread;

/// A thread that writes a checkpoint, and then gives the memory of its tensors back.
type Writing = JoinHandle<(Result<(), CheckpointError>, Tensors)>;

/// Writes the checkpoints of a run.
pub(super) struct Saver<'a> {
    config: &'a Config,
    checkpoints: Checkpoints,
    /// The checkpoint that is being written.
    writing: Option<Writing>,
    /// The memory of the copy that was written last.
    room: Rc<RefCell<Option<Tensors>>>,
    /// The time of the last checkpoint, or of the start of the run.
    last_saved: Instant,
}

impl<'a> Saver<'a> {
    /// A saver whose spare memory `memory` can have back.
    pub fn new(config: &'a Config, folder: &RunFolder, memory: &MemoryManager) -> Self {
        let room: Rc<RefCell<Option<Tensors>>> = Rc::default();
        let spare = Rc::clone(&room);
        memory.on_cleanup(move || drop(spare.take()));
        let checkpoints = Checkpoints::of_run(folder.path());
        Self { config, checkpoints, writing: None, room, last_saved: Instant::now() }
    }

    /// The checkpoints of the run, all of them whole.
    ///
    /// # Errors
    /// The last one could not be written.
    pub fn checkpoints(&mut self) -> Result<&Checkpoints, CheckpointError> {
        self.finish()?;
        Ok(&self.checkpoints)
    }

    /// Waits for the checkpoint that is being written.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(&mut self) -> Result<(), CheckpointError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let (written, room) = writing.join().unwrap_or_else(|panic| resume_unwind(panic));
        self.room.replace(Some(room));
        written
    }

    fn finish_or_log(&mut self) {
        if let Err(unwritten) = self.finish() {
            tracing::error!("{unwritten}");
        }
    }

    /// Saves a checkpoint of now, and moves the link `last` to it, and `best` if `is_best`. It is written while training
    /// goes on; without host memory for that, before this returns.
    ///
    /// # Errors
    /// This checkpoint, or the one before it, could not be written.
    pub fn save(&mut self, model: &mut ModelState, recorder: &Recorder, is_best: bool) -> Result<(), CheckpointError> {
        self.finish()?;
        match self.write_beside(contents(model, recorder, self.config), is_best) {
            Ok(writing) => self.writing = Some(writing),
            Err(reason) => {
                if model.state.saves_without_copy == 0 {
                    tracing::warn!("training waits while a checkpoint is written: {reason}");
                }
                model.state.saves_without_copy += 1;
                self.checkpoints.save(&contents(model, recorder, self.config), is_best)?;
            }
        }
        self.last_saved = Instant::now();
        Ok(())
    }

    /// Saves a checkpoint of now before this returns, for a run that is about to end. That the one before it could not be
    /// written is only logged.
    ///
    /// # Errors
    /// This checkpoint could not be written.
    pub fn save_and_wait(&mut self, model: &mut ModelState, recorder: &Recorder) -> Result<(), CheckpointError> {
        self.finish_or_log();
        self.checkpoints.save(&contents(model, recorder, self.config), false)
    }

    /// Starts a thread that writes a copy of `contents`; where that cannot be, the reason.
    fn write_beside(&self, mut contents: Contents, is_best: bool) -> Result<Writing, String> {
        let room = self.room.take();
        let (needed_bytes, free_bytes) = (contents.tensor_bytes(), memory::host_free_bytes());
        if room.is_none() && !memory::copies_for_checkpoints(needed_bytes, free_bytes) {
            return Err(format!("a copy takes {needed_bytes} bytes of host memory, and {free_bytes} are free"));
        }
        contents.copy_tensors(room).map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
        let checkpoints = self.checkpoints.clone();
        let write = move || {
            let _one_thread = OneThread::enter();
            let written = checkpoints.save(&contents, is_best);
            (written, contents.into_tensors())
        };
        Builder::new().name("checkpoint".to_owned()).spawn(write).map_err(|error| error.to_string())
    }

    /// Saves between two steps if the last checkpoint is older than `output.save_every_secs`, and none is being written.
    ///
    /// It does not save after a step without an update, because a diverged run must not resume from there.
    ///
    /// # Errors
    /// A checkpoint could not be written.
    pub fn save_when_due(&mut self, model: &mut ModelState, recorder: &Recorder) -> Result<(), CheckpointError> {
        match &self.writing {
            Some(writing) if !writing.is_finished() => return Ok(()),
            // A failure ends the run at the first step after it.
            _ => self.finish()?,
        }
        let every_secs = self.config.output.save_every_secs;
        let is_due = every_secs > 0.0 && self.last_saved.elapsed().as_secs_f64() >= every_secs;
        if is_due && model.state.bad_steps == 0 { self.save(model, recorder, false) } else { Ok(()) }
    }

    /// Saves before the run ends with an error, if weights and optimizer are those of before the step.
    pub fn save_after_failure(&mut self, model: &mut ModelState, recorder: &Recorder, can_be_saved: bool) {
        self.finish_or_log();
        let last = self.checkpoints.path("last");
        let step = model.state.step;
        let note = match can_be_saved.then(|| self.save_and_wait(model, recorder)) {
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

/// What a checkpoint of now holds.
fn contents(model: &mut ModelState, recorder: &Recorder, config: &Config) -> Contents {
    let ModelState { stepper, evaluate_guard, state } = model;
    state.optimizer_step = stepper.learner.optimizer.step_count();
    state.scaler = stepper.scaler.clone();
    state.train_guard = stepper.guard.state();
    state.evaluate_guard = evaluate_guard.state();
    state.log_bytes = recorder.log.bytes();
    state.event_bytes = recorder.log.event_bytes();
    Contents::of(&stepper.learner, state, config)
}

#[cfg(test)]
mod tests;
