//! From folders of videos to batches of pixels: manifest, split, decoding, frame cache, loader.
//!
//! Deals in bytes and knows nothing of tensors. Called by training, evaluation and the command line.

mod augment;
pub mod blend;
mod budget;
mod cache;
pub mod decode;
pub mod face;
pub mod identity;
mod layouts;
mod loader;
pub mod manifest;
mod overlap;
mod plan;
pub mod preview;
mod sampler;
mod self_blend;
mod source;
mod split;

use std::path::PathBuf;

pub use augment::Augmentation;
pub use budget::{DECODER_BYTES, LoaderNeeds, LoaderPlan, plan_loader};
pub use cache::{CachePlan, CacheStats, ClipCache, DiskCache, ReadClip, free_disk_bytes, plan_cache};
pub use decode::ClipSpec;
pub use loader::{HostBatch, Loader, LoaderSize, Pass};
pub use manifest::{DataSet, Footage, Label, Manifest, Media, SkippedVideo, Split, VideoRecord};
pub use plan::{Draw, sequential_plan, shard};
pub use sampler::Sampler;
pub use source::{ClipReader, ClipSource, Prepared, prepare, unusable};

/// What goes wrong with a data set or one of its videos.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder cannot train or test a detector as it is.
    #[error("{}: {problem}\n  hint: {hint}", .root.display())]
    Unusable {
        /// The data set's folder.
        root: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// One video cannot be read. It is skipped and reported, never fatal by itself.
    #[error("{}: {reason}", .path.display())]
    Video {
        /// The file.
        path: PathBuf,
        /// Why, in one line.
        reason: String,
    },
    /// One video shows no face where faces are cut out and such videos are to be skipped. That is lasting: the same
    /// frames of it will show none the next time.
    #[error("{}: no face was found in {looked_at} frames", .path.display())]
    NoFace {
        /// The file.
        path: PathBuf,
        /// Frames that were looked at.
        looked_at: usize,
    },
    /// A manifest file cannot be read or written.
    #[error("{}: {reason}\n  hint: {hint}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why, in one line.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// There is no host memory for a batch.
    #[error(
        "no host memory for a batch of {bytes} bytes\n  hint: lower training.batch_size, dataloader.prefetch_factor or dataloader.num_workers"
    )]
    NoMemory {
        /// Of the clips of the batch.
        bytes: usize,
    },
}

impl DataError {
    /// Whether the user pointed at something unusable (exit code 2), as opposed to a failure on the way (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unusable { .. })
    }
}
