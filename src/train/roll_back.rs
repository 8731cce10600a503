//! Rolling back a diverged run: once, to a good checkpoint, with a smaller learning rate. That a run has diverged is
//! decided in `trainer.rs`.

use super::checkpoint::{Checkpoint, CheckpointError, Checkpoints};
use super::epoch::EpochRecord;
use super::error::TrainError;
use super::model_state::ModelState;
use super::recorder::Recorder;
use super::saver::Saver;
use super::state::{MAX_BAD_STEPS, TrainState};

/// The factor on the learning rate after a roll-back.
const LR_FACTOR: f64 = 0.1;

/// Loads the last good checkpoint and lowers the learning rate.
///
/// # Errors
/// The run was rolled back before, or there is no good checkpoint.
pub(super) fn roll_back(model: &mut ModelState, saver: &mut Saver, recorder: &mut Recorder) -> Result<(), TrainError> {
    let step = model.state.step;
    let diverged = |history| TrainError::Diverged { step, history };
    if model.state.lr_factor < 1.0 {
        return Err(diverged("although the run was taken back before, and went on with a tenth of its learning rate"));
    }
    let checkpoint = good_checkpoint(saver.checkpoints()?)?;
    let checkpoint = checkpoint.ok_or_else(|| diverged("and there is no checkpoint to go back to"))?;
    let loaded = checkpoint.load_training(&mut model.stepper.learner)?;
    model.stepper.scaler = loaded.scaler.clone();
    model.state = rolled_back_state(&model.state, loaded);

    let to_step = model.state.step;
    tracing::warn!(
        "loss or gradients were not finite for {MAX_BAD_STEPS} steps in a row: back from step {step} to step {to_step}, \
         with a tenth of the learning rate"
    );
    recorder.rolled_back(step, to_step, LR_FACTOR)?;
    // If the run is killed now, it must resume with the smaller learning rate.
    saver.save(model, recorder, false)?;
    Ok(())
}

/// The state of the checkpoint, with the counters of the whole run, which are not rolled back.
fn rolled_back_state(current: &TrainState, loaded: TrainState) -> TrainState {
    TrainState {
        lr_factor: LR_FACTOR,
        oom_events: current.oom_events,
        oom_advice: current.oom_advice.clone(),
        cleanups: current.cleanups,
        times_grown: current.times_grown,
        late_passes: current.late_passes,
        saves_without_copy: current.saves_without_copy,
        gpu_peak_bytes: current.gpu_peak_bytes,
        gpu_reserved_peak_bytes: current.gpu_reserved_peak_bytes,
        skipped_steps: current.skipped_steps,
        skipped: current.skipped.clone(),
        seconds: current.seconds,
        ..loaded
    }
}

/// The newest end of an epoch with sound losses, else the best epoch, if no loss was infinite up to there. A checkpoint
/// from within an epoch is not good, because its weights were never validated.
fn good_checkpoint(checkpoints: &Checkpoints) -> Result<Option<Checkpoint>, CheckpointError> {
    let good = |(_, state): &(String, TrainState)| state.ends_epoch() && is_sound(&state.history);
    if let Some((name, _)) = checkpoints.all().into_iter().rfind(good) {
        return Checkpoint::open(&checkpoints.path(&name)).map(Some);
    }
    let best = checkpoints.path("best");
    if !best.exists() {
        return Ok(None);
    }
    let best = Checkpoint::open(&best)?;
    Ok(is_finite(&best.state()?.history).then_some(best))
}

/// Whether all losses are finite, and neither loss of the last epoch is more than twice its lowest value. In a run that
/// diverges, losses rise long before weights overflow. Validation loss has a ceiling, as probabilities are clipped, so
/// a run that is bad from its first epoch shows only in the training loss; that one counts from twice the loss of a
/// guess, as close to 0 it varies.
fn is_sound(history: &[EpochRecord]) -> bool {
    let Some(last) = history.last() else { return true };
    let lowest = |loss: fn(&EpochRecord) -> Option<f64>| history.iter().filter_map(loss).fold(f64::INFINITY, f64::min);
    let validation = last.val_loss.is_some_and(|loss| loss <= 2.0 * lowest(|epoch| epoch.val_loss));
    let least_training = lowest(|epoch| epoch.train_loss).max(std::f64::consts::LN_2);
    is_finite(history) && validation && last.train_loss.is_none_or(|loss| loss <= 2.0 * least_training)
}

/// Whether every epoch has a finite validation loss. Weights that once gave none are lost, whatever a later loss is.
fn is_finite(history: &[EpochRecord]) -> bool {
    history.iter().all(|epoch| epoch.val_loss.is_some_and(f64::is_finite))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    /// Epochs with these training and validation losses.
    fn history(losses: &[(f64, f64)]) -> Vec<EpochRecord> {
        let record = |(epoch, (train_loss, val_loss)): (u32, &(f64, f64))| EpochRecord {
            train_loss: Some(*train_loss),
            val_loss: Some(*val_loss),
            ..EpochRecord::validated(epoch, Metrics::default())
        };
        (1..).zip(losses).map(record).collect()
    }

    #[test]
    fn losses_that_rise_are_not_sound() {
        assert!(is_sound(&[]));
        assert!(is_sound(&history(&[(0.7, 0.7), (0.3, 0.5), (0.02, 0.6)])));
        assert!(!is_sound(&history(&[(0.7, 0.7), (0.6, 3.0)])), "validation loss");
        let ceiling = 8.059;
        assert!(is_sound(&history(&[(22.0, ceiling)])), "the first epoch has nothing to compare with");
        assert!(!is_sound(&history(&[(22.0, ceiling), (1900.0, ceiling)])), "validation loss cannot rise any more");
        assert!(is_sound(&history(&[(0.7, 0.7), (0.01, 0.5), (0.05, 0.5)])), "a small loss that varies");
        assert!(!is_sound(&history(&[(0.7, 0.7), (0.7, f64::NAN), (0.7, 0.7)])), "after an epoch without a loss");
    }
}
