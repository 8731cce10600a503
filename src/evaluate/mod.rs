//! Evaluation: forward-only scoring of videos, shared by validation, the final test and `evaluate`. Knows nothing of
//! training: no gradients, no updates, no checkpoints.

mod batch_frames;
mod error;
mod evaluator;
mod forward;
mod pooling;
mod scores;
mod uploads;

pub use batch_frames::Frames;
pub use error::EvaluateError;
pub use evaluator::Evaluator;
pub use forward::{probabilities, score_batch};
pub use pooling::Pooling;
pub use scores::{ClipScore, Evaluation, VideoScore, scored_videos};
pub use uploads::{Feed, Uploads};
