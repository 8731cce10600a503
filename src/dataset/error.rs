//! The errors of the data path: of a data set, of one of its videos, or of a batch. Knows nothing of training.

use std::path::PathBuf;

/// An error of a data set or of one of its videos.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder cannot be used to train or test a detector.
    #[error("{}: {problem}\n  hint: {hint}", .root.display())]
    Unusable {
        /// The folder of the data set.
        root: PathBuf,
        /// The problem.
        problem: String,
        /// A hint for the user.
        hint: String,
    },
    /// A video cannot be read. It is skipped and reported; training goes on.
    #[error("{}: {reason}", .path.display())]
    Video {
        /// The file.
        path: PathBuf,
        /// The reason, in one line.
        reason: String,
    },
    /// There is no host memory for a clip. There may be later.
    #[error("{}: no memory for its {bytes} bytes", .path.display())]
    NoMemory {
        /// The file.
        path: PathBuf,
        /// The bytes of the clip.
        bytes: usize,
    },
    /// A video shows no face, faces are cropped, and such videos are skipped. The result does not change when the video
    /// is read again.
    #[error("{}: no face was found in {looked_at} frames", .path.display())]
    NoFace {
        /// The file.
        path: PathBuf,
        /// The number of frames that were searched.
        looked_at: usize,
    },
    /// A manifest file cannot be read or written.
    #[error("{}: {reason}\n  hint: {hint}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The reason, in one line.
        reason: String,
        /// A hint for the user.
        hint: &'static str,
    },
}

impl DataError {
    /// Whether the user named an unusable folder (exit code 2). Other failures have exit code 1.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unusable { .. })
    }
}
