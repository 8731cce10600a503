//! What can be said of a set of scores beyond one number: curves, operating points, calibration.

use serde::{Deserialize, Serialize};

/// One threshold; the points of all thresholds are the ROC curve, and the precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// From which score on a video is called fake; absent above all scores, where nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// Share of reals that are called fake.
    pub false_positive_rate: f64,
    /// Share of fakes that are called fake: the recall.
    pub true_positive_rate: f64,
    /// Share of fakes among what is called fake.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub precision: Option<f64>,
}

/// A threshold that somebody may want to work with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// What it was chosen by.
    pub name: String,
    /// From which score on a video is called fake; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// Share of reals that are called fake.
    pub false_positive_rate: f64,
    /// Share of fakes that are called fake.
    pub true_positive_rate: f64,
    /// Videos by what they are and what they are called.
    pub confusion: Confusion,
}

/// Videos by what they are and what they are called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Reals that are called real.
    pub real_as_real: usize,
    /// Reals that are called fake.
    pub real_as_fake: usize,
    /// Fakes that are called real.
    pub fake_as_real: usize,
    /// Fakes that are called fake.
    pub fake_as_fake: usize,
}

/// How far scores can be taken for probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error: mean distance between score and share of fakes, over the bins.
    pub ece: f64,
    /// Videos by their score; empty bins are left out.
    pub bins: Vec<CalibrationBin>,
    /// The error once the temperature is applied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ece_calibrated: Option<f64>,
    /// The log-loss once the temperature is applied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log_loss_calibrated: Option<f64>,
}

/// The videos whose scores are in one range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Where the range begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// How many videos.
    pub videos: usize,
    /// Mean of their scores.
    pub mean_score: f64,
    /// Share of fakes among them.
    pub fake_share: f64,
}
