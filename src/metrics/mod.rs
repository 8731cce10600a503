//! Pure functions of scores and labels. Fake is the positive class; a score is the probability of fake.
//!
//! A metric that the data does not define (one class only, no samples) is `None`, never 0 or 0.5.

mod bins;
mod calibration;
mod curve;
mod delong;
mod ranking;
mod samples;

use serde::{Deserialize, Serialize};

pub use calibration::{Calibration, CalibrationBin, calibrated, fit_temperature, logit, sigmoid};
pub use curve::{Confusion, CurvePoint, OperatingPoint, curve, operating_points};
pub use delong::{Comparison, compare};
pub use samples::Samples;

use ranking::Ranking;

/// From, to.
pub type Interval = [f64; 2];

/// Area under the ROC curve by the rank statistic; ties count half.
///
/// `None` where one class is missing or a score is not a number.
#[must_use]
pub fn auc(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    Some(ranking::auc(&Ranking::new(scores, is_fake)?.ties(|_| 1.0)?))
}

/// Mean negative log-likelihood of the labels, probabilities clipped to `[1e-7, 1 - 1e-7]`.
#[must_use]
pub fn log_loss(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), is_fake.len(), "one label a score");
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    mean(scores.iter().zip(is_fake).map(|(score, fake)| (nll(*score, *fake), 1.0)))
}

/// Negative log-likelihood of one label.
fn nll(score: f64, is_fake: bool) -> f64 {
    let p = score.clamp(1e-7, 1.0 - 1e-7);
    if is_fake { -p.ln() } else { -(1.0 - p).ln() }
}

/// Of values and their weights; `None` where nothing counts.
fn mean(weighted: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weight) =
        weighted.fold((0.0, 0.0), |(sum, total), (value, weight)| (sum + weight * value, total + weight));
    (weight > 0.0).then(|| sum / weight)
}

/// What is said of a set of videos; undefined values are absent. Intervals are at 95%, and there only where they were
/// asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// AUC over single frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_auc: Option<f64>,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_auc_ci95: Option<Interval>,
    /// AUC over videos; a video's score is the mean of its clips' probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_auc: Option<f64>,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_auc_ci95: Option<Interval>,
    /// Equal error rate over videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eer: Option<f64>,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eer_ci95: Option<Interval>,
    /// Average precision over videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ap: Option<f64>,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ap_ci95: Option<Interval>,
    /// Accuracy over videos at 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acc: Option<f64>,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acc_ci95: Option<Interval>,
    /// Accuracy over real videos: the specificity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acc_real: Option<f64>,
    /// Accuracy over fake videos: the recall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acc_fake: Option<f64>,
    /// Mean of the accuracies of both classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced_acc: Option<f64>,
    /// Share of fakes among videos called fake; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Harmonic mean of precision and recall; 0 where no fake is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
    /// Log-loss over videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_loss: Option<f64>,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_loss_ci95: Option<Interval>,
    /// Expected calibration error over videos, 15 bins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ece: Option<f64>,
    /// Videos that were scored.
    pub videos: usize,
    /// Clips that were scored.
    pub clips: usize,
}
