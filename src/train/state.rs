//! The state of a run without its tensors, as a checkpoint saves it. Knows nothing of files.

use serde::{Deserialize, Serialize};

use super::epoch::{Best, EpochRecord, Patience, Tally};
use crate::config::{Scheduler, TrainingConfig};
use crate::memory::{GuardState, MicroBatchSize};
use crate::metrics::Metrics;
use crate::optim::{LossScaler, PlateauState, Schedule};

/// The version of the checkpoint format: which fields and tensors there are, and their names. Other versions are
/// refused.
pub const FORMAT: u32 = 2;
/// After so many steps in a row with a non-finite loss or gradient, the run has diverged.
pub(super) const MAX_BAD_STEPS: u32 = 20;

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// The version of the checkpoint format.
    pub format: u32,
    /// Finished epochs, validation included.
    pub epoch: u32,
    /// Batches of the current epoch that were trained on.
    pub batches_done: usize,
    /// Training steps, those without an update included.
    pub step: u64,
    /// Updates of the optimizer.
    pub optimizer_step: i32,
    /// The loss scale.
    pub scaler: LossScaler,
    /// The micro-batch size of training.
    pub train_guard: GuardState,
    /// The micro-batch size of evaluation.
    pub evaluate_guard: GuardState,
    /// Sums over the current epoch.
    pub tally: Tally,
    /// Records of the finished epochs.
    pub history: Vec<EpochRecord>,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// The counter of early stopping.
    pub patience: Patience,
    /// The state of the schedule `plateau`.
    pub plateau: PlateauState,
    /// Steps in a row whose loss or gradients were not finite, without those of `overflows`.
    pub bad_steps: u32,
    /// Steps in a row whose gradients overflowed in fp16 while the loss was finite. They lower the loss scale; such a step
    /// says nothing of the weights.
    #[serde(default)]
    pub overflows: u32,
    /// All steps without an update because loss or gradients were not finite, except those that only lowered the loss
    /// scale.
    pub skipped_steps: u64,
    /// Factor on the learning rate: 1, or less after the run diverged and was rolled back.
    pub lr_factor: f64,
    /// Times that memory ran out.
    pub oom_events: usize,
    /// Why a GPU had too little memory the last time that it ran out, and what helps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oom_advice: Option<String>,
    /// Clean-ups of memory.
    pub cleanups: CleanupTotals,
    /// Times that a larger micro-batch size was tried.
    pub times_grown: usize,
    /// Passes that waited for their frames, because the GPU had no memory to send them ahead.
    #[serde(default)]
    pub late_passes: usize,
    /// Checkpoints that training waited for, because there was no host memory to copy them and go on.
    #[serde(default)]
    pub saves_without_copy: usize,
    /// Peak of the device memory that tensors took.
    pub gpu_peak_bytes: Option<u64>,
    /// Peak of the device memory that libtorch took from the driver.
    pub gpu_reserved_peak_bytes: Option<u64>,
    /// Training time, seconds.
    pub seconds: f64,
    /// Length of `metrics.jsonl` when this was saved. A resumed run truncates the file to it.
    pub log_bytes: u64,
    /// Length of TensorBoard's event file when this was saved.
    #[serde(default)]
    pub event_bytes: u64,
    /// Videos that could not be read during training: index and reason.
    pub skipped: Vec<(usize, String)>,
    /// Whether the training videos show faces, cut out by this program or before; `None` if unknown.
    #[serde(default)]
    pub shows_faces: Option<bool>,
    /// The methods of the fakes that are trained on, as far as they are named.
    #[serde(default)]
    pub trained_methods: Vec<String>,
    /// Where the weights before the first step came from; `None` if unknown.
    #[serde(default)]
    pub first_weights: Option<String>,
    /// The averaged network (`training.average_best`), once training has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub average: Option<Average>,
}

impl TrainState {
    /// The state before the first step. The micro-batch is the whole batch.
    #[must_use]
    pub fn new(scaler: LossScaler, batch_size: usize) -> Self {
        let whole = GuardState::at(MicroBatchSize::whole(batch_size));
        Self {
            format: FORMAT,
            epoch: 0,
            batches_done: 0,
            step: 0,
            optimizer_step: 0,
            scaler,
            train_guard: whole.clone(),
            evaluate_guard: whole,
            tally: Tally::default(),
            history: Vec::new(),
            best: None,
            patience: Patience::default(),
            plateau: PlateauState::default(),
            bad_steps: 0,
            overflows: 0,
            skipped_steps: 0,
            lr_factor: 1.0,
            oom_events: 0,
            oom_advice: None,
            cleanups: CleanupTotals::default(),
            times_grown: 0,
            late_passes: 0,
            saves_without_copy: 0,
            gpu_peak_bytes: None,
            gpu_reserved_peak_bytes: None,
            seconds: 0.0,
            log_bytes: 0,
            event_bytes: 0,
            skipped: Vec::new(),
            shows_faces: None,
            trained_methods: Vec::new(),
            first_weights: None,
            average: None,
        }
    }

    /// The temperature of the saved weights; `None` unless they are those of a validated end of an epoch.
    #[must_use]
    pub fn temperature(&self) -> Option<f64> {
        if let Some(average) = &self.average {
            return average.temperature;
        }
        self.history.last().filter(|_| self.ends_epoch())?.temperature
    }

    /// Whether this is the start of the run or a validated end of an epoch, to which a diverged run can be rolled back.
    #[must_use]
    pub fn ends_epoch(&self) -> bool {
        self.batches_done == 0 && self.bad_steps == 0
    }

    /// Whether so many steps in a row had no update that the run has diverged.
    pub(super) fn has_diverged(&self) -> bool {
        self.bad_steps + self.overflows >= MAX_BAD_STEPS
    }

    /// The learning rate of step `step`, counted from 0.
    pub(super) fn learning_rate(&self, schedule: &Schedule, step: u64) -> f64 {
        self.lr_factor * schedule.at(step, self.plateau.factor)
    }

    /// Counts a finished epoch and starts the next one.
    pub(super) fn finish_epoch(&mut self, record: EpochRecord, training: &TrainingConfig) {
        let stopping = &training.early_stopping;
        let value = record.monitored(stopping.monitor);
        if record.is_best {
            self.best = Some(Best::of(&record, stopping.monitor));
        }
        self.history.push(record);
        self.epoch += 1;
        self.batches_done = 0;
        self.tally = Tally::default();
        self.patience.update(value, stopping.min_delta);
        if training.scheduler == Scheduler::Plateau {
            self.plateau.update(value, stopping.min_delta);
        }
    }
}

/// Sums over the clean-ups of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CleanupTotals {
    /// The number of clean-ups.
    pub times: usize,
    /// Bytes that they freed.
    pub freed_bytes: u64,
    /// Time that they took, milliseconds.
    pub ms: f64,
}

/// The averaged network of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// The epochs whose weights were averaged, the best first; counted from 1.
    pub epochs: Vec<u32>,
    /// Metrics over the validation videos.
    #[serde(flatten)]
    pub validation: Metrics,
    /// The temperature that calibrates its logits on the validation videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn an_overflow_in_the_last_step_does_not_spoil_the_end_of_an_epoch() {
        let mut state = TrainState::new(LossScaler::new(true), 4);
        let record = EpochRecord { temperature: Some(1.5), ..EpochRecord::validated(1, Metrics::default()) };
        state.history.push(record);
        state.overflows = 3;
        assert_eq!((state.ends_epoch(), state.temperature()), (true, Some(1.5)));
        state.overflows = MAX_BAD_STEPS - 1;
        assert!(!state.has_diverged());
        state.bad_steps = 1;
        assert!(!state.ends_epoch() && state.has_diverged(), "neither ends");
    }
}
