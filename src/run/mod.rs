//! Runs and trained detectors: what a user of the library calls, and what the command line is made of.
//!
//! [`prepare()`] makes a [`PreparedRun`] of a configuration and [`resume()`] one of a run's folder; [`train()`] trains
//! and tests it, and leaves its report. A [`TrainedDetector`] is opened from a [`StoredCheckpoint`]; it evaluates
//! videos with labels, and predicts those without. Knows nothing of arguments and terminals; the caller may set the
//! stop flag.

mod batch_size;
mod byte_text;
mod clip_cache;
mod clips;
mod data_preview;
mod data_scan;
mod device_facts;
mod error;
mod evaluation;
mod explanation;
mod export;
mod extraction;
mod face_decision;
mod face_reader;
mod given_scores;
mod gpu_support;
mod import;
mod learner;
mod leave_one_out;
mod memory_hooks;
mod network;
mod oom_snapshots;
mod output_files;
mod prediction;
mod prepare;
mod resume;
mod run_folder;
mod run_report;
mod scored_set;
mod test_sets;
mod trained_detector;
mod training;
mod trial_steps;

#[cfg(test)]
mod every_backbone;

pub use batch_size::{BatchSizeCheck, MeasuredBatchSize, TriedBatchSize, measure_advice};
pub(crate) use byte_text::size;
pub use data_preview::draw_data_preview;
pub use data_scan::DataScan;
pub(crate) use device_facts::{allowed_bytes, detected_device, host_facts};
pub(crate) use error::cannot_write;
pub use error::{RunError, error_text};
pub use evaluation::{ComparedEvaluation, DetectorComparison, EvaluationOptions, EvaluationVideos};
pub use export::ExportedDetector;
pub use extraction::{Extracted, Extraction, Shard};
pub use given_scores::{GivenScores, ScoreFormat};
pub use gpu_support::unusable_gpus;
pub use import::{ImportedDetector, Publisher, import};
pub use leave_one_out::LeaveOneOut;
pub(crate) use output_files::write_csv;
pub use prediction::{FaceVerdict, Prediction, PredictionOptions, PredictionVideos, Segment, Verdict};
pub use prepare::{EpochPlan, PreparedRun, ResumedRun, prepare};
pub use resume::{latest_run, resume};
pub use trained_detector::{ScoringOptions, StoredCheckpoint, TrainedDetector};
pub use training::{FinishedRun, train};
pub use trial_steps::run_trial;
