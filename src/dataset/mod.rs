//! Data sets: their videos, labels, people, and the split into training, validation and test.
//!
//! `record` and `manifest` are the data types. `layouts` finds the videos of a folder, `people` reads names, `split`
//! divides, `overlap` warns, `sampler` orders an epoch. This room opens no video and knows nothing of pixels.

mod batches;
mod error;
mod layouts;
mod learned_fakes;
mod manifest;
mod overlap;
mod people;
mod record;
mod sample;
mod sampler;
mod self_blends;
mod split;

pub use batches::{sequential_plan, shard};
pub use error::DataError;
pub use layouts::{ScoreRow, named_videos, read_scores, scan, scan_for, scan_to_measure};
pub use learned_fakes::place_fakes;
pub use manifest::{Manifest, Skips};
pub use people::{people_numbers, people_of};
pub use record::{DataSet, Footage, Label, Media, SkippedVideo, Split, VideoRecord};
pub use sample::sample;
pub use sampler::Sampler;
pub use self_blends::shown_videos;
pub use split::{assign_splits, mend_splits};
