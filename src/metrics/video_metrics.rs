//! The metrics of a set of videos, and the type of their confidence intervals. Only data: `scored_videos.rs` computes
//! them.

use serde::{Deserialize, Serialize};

/// Lower and upper bound of a confidence interval.
pub type Interval = [f64; 2];

/// The metrics of a set of videos; undefined values are absent. Intervals are 95% confidence intervals, present only
/// where they were asked for.
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
