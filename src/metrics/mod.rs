//! Pure functions of scores and labels. Fake is the positive class; a score is the probability of fake.
//!
//! A metric that the data does not define (one class only, no samples) is `None`, never 0 or 0.5. This room knows
//! nothing of networks, files and tables.

mod auc_variance;
mod calibration;
mod calibration_bins;
mod curve;
mod delong;
mod log_loss;
mod people;
mod ranking;
mod scored_videos;
mod video_metrics;

pub use calibration::{Calibration, calibrated, fit_temperature, logit, sigmoid};
pub use calibration_bins::CalibrationBin;
pub use curve::{Confusion, CurvePoint, OperatingPoint, curve, operating_points};
pub use delong::{AucComparison, delong_test};
pub use log_loss::log_loss;
pub use people::People;
pub use ranking::auc;
pub use scored_videos::ScoredVideos;
pub use video_metrics::{Interval, Metrics};
