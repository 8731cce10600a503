//! What goes wrong with a data set or one of its videos.

use std::path::PathBuf;

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
