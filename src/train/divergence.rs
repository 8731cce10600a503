//! What becomes of a run whose loss or gradients are not finite any more: steps are skipped and named, then the run is
//! taken back to a good checkpoint, once, and goes on more slowly.

use std::io;

use super::checkpoint::{Checkpoint, Checkpoints};
use super::lines::{SkipLine, TakenBackLine};
use super::state::{EpochRecord, TrainState};
use super::trainer::{TrainError, Trainer};
use crate::loader::HostBatch;

/// So many steps in a row without finite gradients mean that the run has diverged.
pub(super) const MAX_BAD_STEPS: u32 = 20;
/// What is left of the learning rate after the run was taken back.
const LR_FACTOR: f64 = 0.1;

impl Trainer<'_> {
    /// A step moved no weight, because its loss or gradients were not finite.
    pub(super) fn note_bad_step(&mut self, group: &[HostBatch], loss: f64) -> io::Result<()> {
        self.state.bad_steps += 1;
        let step = self.state.step;
        if loss.is_finite() && self.stepper.scaler.is_enabled() {
            tracing::debug!("step {step}: fp16 gradients overflowed, the loss scale is halved");
            return Ok(());
        }
        let videos = group.iter().flat_map(|batch| &batch.videos);
        let videos: Vec<_> = videos.map(|video| self.manifest.video_name(*video)).collect();
        let reason = if loss.is_finite() { "gradients are not finite" } else { "the loss is not finite" };
        self.state.skipped_steps += 1;
        tracing::warn!("step {step}: {reason}; no weight was moved. Clips: {}", videos.join(", "));
        self.log.write("skip", &SkipLine { step, reason, videos })
    }

    /// Back to the last good checkpoint with a smaller learning rate; the second time is the end.
    pub(super) fn take_back(&mut self) -> Result<(), TrainError> {
        let step = self.state.step;
        let diverged = |history| TrainError::Diverged { step, history };
        if self.state.lr_factor < 1.0 {
            return Err(diverged(
                "although the run was taken back before, and went on with a tenth of its learning rate",
            ));
        }
        let checkpoint = self.good_checkpoint()?.ok_or_else(|| diverged("and there is no checkpoint to go back to"))?;
        let state = checkpoint.load_training(&mut self.stepper.learner)?;
        // What happened on the way has happened.
        let before = std::mem::replace(&mut self.state, state);
        self.state = TrainState {
            lr_factor: LR_FACTOR,
            oom_events: before.oom_events,
            cleanups: before.cleanups,
            times_grown: before.times_grown,
            gpu_peak_bytes: before.gpu_peak_bytes,
            gpu_reserved_peak_bytes: before.gpu_reserved_peak_bytes,
            skipped_steps: before.skipped_steps,
            skipped: before.skipped,
            seconds: before.seconds,
            ..self.state.clone()
        };
        self.stepper.scaler = self.state.scaler.clone();
        let to_step = self.state.step;
        tracing::warn!(
            "loss or gradients were not finite for {MAX_BAD_STEPS} steps in a row: back from step {step} to step {to_step}, \
             with a tenth of the learning rate"
        );
        self.log.write("taken_back", &TakenBackLine { step, to_step, lr_factor: LR_FACTOR })?;
        // A run that is killed now must not try the same again.
        self.save(false)
    }

    /// The newest end of an epoch from which the way down had not begun, else the best epoch. One from the middle of an
    /// epoch may be on that way, and nobody looked.
    fn good_checkpoint(&self) -> Result<Option<Checkpoint>, TrainError> {
        let checkpoints = Checkpoints::of_run(self.folder.path());
        let good = |(_, state): &(String, TrainState)| state.ends_epoch() && is_sound(&state.history);
        let newest = checkpoints.all().into_iter().filter(good).max_by_key(|(_, state)| state.step);
        let best = Some(checkpoints.path("best")).filter(|path| path.exists());
        let path = newest.map(|(name, _)| checkpoints.path(&name)).or(best);
        Ok(path.map(|path| Checkpoint::open(&path)).transpose()?)
    }
}

/// Whether the last epoch's validation loss is at most twice the lowest: weights that grow without end show there long
/// before they overflow.
fn is_sound(history: &[EpochRecord]) -> bool {
    let Some(last) = history.last() else { return true };
    let lowest = history.iter().filter_map(|epoch| epoch.val_loss).fold(f64::INFINITY, f64::min);
    last.val_loss.is_some_and(|loss| loss <= 2.0 * lowest)
}
