//! One epoch of training: its running sums, its record once it is finished, and the comparison with other epochs.
//! Knows nothing of the loop and of files.

use serde::{Deserialize, Serialize};

use crate::config::Monitor;
use crate::metrics::{Metrics, ScoredVideos, auc, fit_temperature};

/// Sums over the current epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Sum of the loss over clips.
    pub loss_sum: f64,
    /// For each clip, its predicted probability of fake and whether it is fake.
    pub scores: Vec<(f64, bool)>,
    /// Time in training steps, seconds; the wait for data is included.
    pub seconds: f64,
    /// Time spent waiting for data, seconds.
    pub wait_secs: f64,
}

impl Tally {
    /// Clips trained on.
    #[must_use]
    pub fn clips(&self) -> usize {
        self.scores.len()
    }

    /// Mean loss over the clips; `None` before the first clip.
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

    /// Clips trained on per second; `None` before the first step.
    #[must_use]
    pub fn clips_per_sec(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.clips() as f64 / self.seconds)
    }
}

/// The record of a finished epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Training steps since the start of the run.
    pub step: u64,
    /// Mean loss over the training clips.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_loss: Option<f64>,
    /// AUC over the training clips, each scored before its update.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_auc: Option<f64>,
    /// Log loss over the validation videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub val_loss: Option<f64>,
    /// Metrics over the validation videos.
    #[serde(flatten)]
    pub validation: Metrics,
    /// Learning rate of the last step of the epoch.
    pub lr: f64,
    /// Time in training steps, seconds.
    pub seconds: f64,
    /// Share of this time that was spent waiting for data.
    pub data_wait_share: f64,
    /// Clips trained on.
    pub train_clips: usize,
    /// Clips trained on per second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clips_per_sec: Option<f64>,
    /// The temperature that calibrates the logits on the validation videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature: Option<f64>,
    /// Validation videos that earlier epochs scored and this one did not.
    #[serde(default)]
    pub unscored: usize,
    /// Whether this epoch is the best so far.
    pub is_best: bool,
}

impl EpochRecord {
    /// The record of the epoch with these sums and validation samples; `epoch` counts from 1.
    pub(super) fn new(epoch: u32, step: u64, tally: &Tally, samples: &ScoredVideos, lr: f64) -> Self {
        let validation = samples.metrics();
        Self {
            epoch,
            step,
            train_loss: tally.loss(),
            train_auc: tally.auc(),
            val_loss: validation.log_loss,
            validation,
            lr,
            seconds: tally.seconds,
            data_wait_share: if tally.seconds > 0.0 { tally.wait_secs / tally.seconds } else { 0.0 },
            train_clips: tally.clips(),
            clips_per_sec: tally.clips_per_sec(),
            temperature: fit_temperature(&samples.scores, &samples.is_fake),
            unscored: 0,
            is_best: false,
        }
    }

    /// The monitored metric, negated where less is better; `None` where it is absent, not finite, or of a part of the
    /// validation videos.
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
        value.map(|value| sign * value).filter(|value| value.is_finite() && self.unscored == 0)
    }
}

/// The best epoch of a run, or a candidate for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Counted from 1.
    pub epoch: u32,
    /// The monitored metric, negated where less is better.
    pub value: Option<f64>,
    /// Metrics over the validation videos.
    pub validation: Metrics,
}

impl Best {
    /// The epoch of `record`.
    pub(super) fn of(record: &EpochRecord, monitor: Monitor) -> Self {
        let validation = record.validation.clone();
        Self { epoch: record.epoch, value: record.monitored(monitor), validation }
    }

    /// Whether `new` is better than `old`: a higher monitored metric, or an equal one with a lower log loss.
    #[must_use]
    pub fn beats(new: &Self, old: Option<&Self>) -> bool {
        let key = |best: &Self| {
            let loss = best.validation.log_loss.unwrap_or(f64::INFINITY);
            (best.value.unwrap_or(f64::NEG_INFINITY), -loss)
        };
        old.is_none_or(|old| key(new) > key(old))
    }
}

/// The counter of early stopping: epochs since the monitored metric last got better.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Patience {
    /// The best value so far, which a later epoch must exceed.
    pub level: Option<f64>,
    /// Epochs since that value.
    pub epochs: u32,
}

impl Patience {
    /// Counts an epoch; a higher `value` is better.
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
    /// A record of which tests set only the epoch and its metrics.
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
            unscored: 0,
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
        let part = EpochRecord { unscored: 1, ..record };
        assert_eq!(part.monitored(Monitor::ValAuc), None, "of a part of the videos");
    }
}
