//! Where a run stands, apart from weights and moments: everything else that resuming needs.

use serde::{Deserialize, Serialize};

use crate::config::Monitor;
use crate::memory::{Cut, GuardState};
use crate::metrics::{Metrics, auc};
use crate::optim::{LossScaler, PlateauState};

/// Of what a checkpoint holds and under which names. Other formats are refused.
pub const FORMAT: u32 = 2;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Of what the checkpoint holds and under which names; of another format it is refused.
    pub format: u32,
    /// Epochs that are finished, validation included.
    pub epoch: u32,
    /// Batches of the epoch under way that are learned from.
    pub batches_done: usize,
    /// Optimizer steps, those that were skipped for infinities included.
    pub step: u64,
    /// Updates of the optimizer.
    pub optimizer_step: i32,
    /// The loss scale.
    pub scaler: LossScaler,
    /// The size that held in training.
    pub train_guard: GuardState,
    /// The size that held in forward passes alone.
    pub evaluate_guard: GuardState,
    /// The epoch under way.
    pub tally: Tally,
    /// Finished epochs.
    pub history: Vec<EpochRecord>,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// What a later epoch must beat, and epochs since it was set.
    pub patience: Patience,
    /// What the schedule `plateau` has seen.
    pub plateau: PlateauState,
    /// Steps in a row whose loss or gradients were not finite.
    pub bad_steps: u32,
    /// Steps so far that moved no weight because loss or gradients were not finite, without those that only lowered the
    /// loss scale.
    pub skipped_steps: u64,
    /// Factor on the learning rate; smaller than 1 once the run has diverged and was taken back.
    pub lr_factor: f64,
    /// Times that memory ran out.
    pub oom_events: usize,
    /// Clean-ups of memory.
    pub cleanups: CleanupTotals,
    /// Times that a larger size was tried.
    pub times_grown: usize,
    /// Most device memory that tensors took.
    pub gpu_peak_bytes: Option<u64>,
    /// Most device memory that libtorch took from the driver.
    pub gpu_reserved_peak_bytes: Option<u64>,
    /// Training time, seconds.
    pub seconds: f64,
    /// Length of `metrics.jsonl` when this was saved: what a killed run wrote after it is written again.
    pub log_bytes: u64,
    /// Length of TensorBoard's event file when this was saved.
    #[serde(default)]
    pub event_bytes: u64,
    /// Videos that could not be read when it was their turn: index and reason.
    pub skipped: Vec<(usize, String)>,
    /// Whether the training videos show faces, cut out here or before; `None` where nobody looked.
    #[serde(default)]
    pub shows_faces: Option<bool>,
}

impl TrainState {
    /// Before the first step: whole batches until memory says otherwise.
    #[must_use]
    pub fn new(scaler: LossScaler, batch_size: usize) -> Self {
        let whole = GuardState { cut: Cut::whole(batch_size), barred: None };
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
            skipped_steps: 0,
            lr_factor: 1.0,
            oom_events: 0,
            cleanups: CleanupTotals::default(),
            times_grown: 0,
            gpu_peak_bytes: None,
            gpu_reserved_peak_bytes: None,
            seconds: 0.0,
            log_bytes: 0,
            event_bytes: 0,
            skipped: Vec::new(),
            shows_faces: None,
        }
    }

    /// The temperature of the weights that this goes with; `None` unless they are those of a validated end of an epoch.
    #[must_use]
    pub fn temperature(&self) -> Option<f64> {
        self.history.last().filter(|_| self.ends_epoch())?.temperature
    }

    /// Whether this is a validated end of an epoch, or the start, that a run which diverges can be taken back to.
    #[must_use]
    pub fn ends_epoch(&self) -> bool {
        self.batches_done == 0 && self.bad_steps == 0
    }
}

/// Sums over the clean-ups of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CleanupTotals {
    /// How many.
    pub times: usize,
    /// What they gave back.
    pub freed_bytes: u64,
    /// Time that they took, milliseconds.
    pub ms: f64,
}

/// Sums over the epoch under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Loss times clips.
    pub loss_sum: f64,
    /// Probability of fake and the truth, of every clip.
    pub scores: Vec<(f64, bool)>,
    /// Seconds in this epoch so far, and of these, waiting for data.
    pub seconds: f64,
    /// Seconds waiting for data.
    pub wait_secs: f64,
}

impl Tally {
    /// Clips learned from.
    #[must_use]
    pub fn clips(&self) -> usize {
        self.scores.len()
    }

    /// Mean loss over the clips; `None` before the first.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        (self.clips() > 0).then(|| self.loss_sum / self.clips() as f64)
    }

    /// AUC over the clips; `None` while one class is missing.
    #[must_use]
    pub fn auc(&self) -> Option<f64> {
        let (scores, is_fake): (Vec<f64>, Vec<bool>) = self.scores.iter().copied().unzip();
        auc(&scores, &is_fake)
    }

    /// Clips learned from in a second; `None` before the first.
    #[must_use]
    pub fn clips_per_sec(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.clips() as f64 / self.seconds)
    }
}

/// One finished epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Optimizer steps so far.
    pub step: u64,
    /// Mean loss over the clips learned from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_loss: Option<f64>,
    /// Clip AUC while learning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_auc: Option<f64>,
    /// Log-loss over validation videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub val_loss: Option<f64>,
    /// Metrics over validation videos.
    #[serde(flatten)]
    pub validation: Metrics,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds that its training steps took.
    pub seconds: f64,
    /// Share of the training time that waited for data.
    pub data_wait_share: f64,
    /// Clips learned from.
    pub train_clips: usize,
    /// Clips learned from in a second of training.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clips_per_sec: Option<f64>,
    /// What logits are to be divided by so that probabilities mean what they say, by the validation videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature: Option<f64>,
    /// Whether it is the best so far.
    pub is_best: bool,
}

impl EpochRecord {
    /// What is monitored, turned so that more is better.
    #[must_use]
    pub fn monitored(&self, monitor: Monitor) -> Option<f64> {
        let Self { validation: metrics, .. } = self;
        let value = match monitor {
            Monitor::ValAuc => metrics.video_auc,
            Monitor::ValLoss => self.val_loss,
            Monitor::FrameAuc => metrics.frame_auc,
            Monitor::Eer => metrics.eer,
            Monitor::Ap => metrics.ap,
            Monitor::Acc => metrics.acc,
            Monitor::AccReal => metrics.acc_real,
            Monitor::AccFake => metrics.acc_fake,
            Monitor::TrainLoss => self.train_loss,
            Monitor::TrainAuc => self.train_auc,
        };
        let sign = if monitor.less_is_better() { -1.0 } else { 1.0 };
        // What is not a number is as good as absent: it beats nothing.
        value.map(|value| sign * value).filter(|value| value.is_finite())
    }
}

/// The best epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Counted from 1.
    pub epoch: u32,
    /// What was monitored, turned so that more is better.
    pub value: Option<f64>,
    /// Validation metrics.
    pub validation: Metrics,
}

impl Best {
    /// Whether `new` is better than `old`: more of what is monitored, or the same with a lower log-loss.
    #[must_use]
    pub fn beats(new: &Self, old: Option<&Self>) -> bool {
        let key = |best: &Self| {
            let loss = best.validation.log_loss.unwrap_or(f64::INFINITY);
            (best.value.unwrap_or(f64::NEG_INFINITY), -loss)
        };
        old.is_none_or(|old| key(new) > key(old))
    }
}

/// Watches for a number that no longer gets better.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Patience {
    /// What a later epoch must beat.
    pub level: Option<f64>,
    /// Epochs since it was reached.
    pub epochs: u32,
}

impl Patience {
    /// Takes note of an epoch; more is better.
    pub fn update(&mut self, value: Option<f64>, min_delta: f64) {
        match value {
            Some(value) if self.level.is_none_or(|level| value > level + min_delta) => {
                self.level = Some(value);
                self.epochs = 0;
            }
            _ => self.epochs += 1,
        }
    }

    /// Whether it is time to stop; a `patience` of 0 never stops.
    #[must_use]
    pub fn is_exhausted(&self, patience: u32) -> bool {
        patience > 0 && self.epochs >= patience
    }
}

#[cfg(test)]
impl EpochRecord {
    /// An epoch of which no more is known.
    pub(super) fn validated(epoch: u32, validation: Metrics) -> Self {
        Self {
            epoch,
            step: 1,
            train_loss: None,
            train_auc: None,
            val_loss: None,
            validation,
            lr: 0.1,
            seconds: 1.0,
            data_wait_share: 0.0,
            train_clips: 1,
            clips_per_sec: None,
            temperature: None,
            is_best: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_after_patience_epochs_without_a_rise() {
        let mut patience = Patience::default();
        let stops = [0.6, 0.7, 0.7005, 0.69, 0.9].map(|auc| {
            patience.update(Some(auc), 0.001);
            patience.is_exhausted(2)
        });
        assert_eq!(stops, [false, false, false, true, false]);
        (0..100).for_each(|_| patience.update(Some(0.5), 0.0));
        assert!(patience.is_exhausted(100) && !patience.is_exhausted(0));
    }

    #[test]
    fn better_is_more_of_what_is_monitored_then_a_lower_loss() {
        let of =
            |value, loss| Best { epoch: 1, value, validation: Metrics { log_loss: Some(loss), ..Metrics::default() } };
        assert!(Best::beats(&of(Some(0.5), 9.0), None));
        assert!(Best::beats(&of(Some(0.8), 0.5), Some(&of(Some(0.7), 0.1))));
        assert!(Best::beats(&of(Some(1.0), 0.1), Some(&of(Some(1.0), 0.5))));
        assert!(!Best::beats(&of(Some(1.0), 0.5), Some(&of(Some(1.0), 0.5))));
        assert!(!Best::beats(&of(None, 0.1), Some(&of(Some(-3.0), 0.5))));
    }

    #[test]
    fn anything_that_is_logged_can_be_monitored_and_more_is_better() {
        let validation = Metrics { video_auc: Some(0.75), eer: Some(0.25), ..Metrics::default() };
        let record =
            EpochRecord { train_loss: Some(0.5), val_loss: Some(f64::NAN), ..EpochRecord::validated(1, validation) };
        let values = [Monitor::ValAuc, Monitor::Eer, Monitor::TrainLoss, Monitor::TrainAuc, Monitor::ValLoss]
            .map(|monitor| record.monitored(monitor));
        assert_eq!(values, [Some(0.75), Some(-0.25), Some(-0.5), None, None]);
    }
}
