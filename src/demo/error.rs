//! The errors of making a demo set, and of encoding a video. Exit codes are in `cli/exit.rs`.

use std::io;
use std::path::{Path, PathBuf};

use super::video_list::{MAX_VIDEOS, MIN_VIDEOS};

/// Why a demo set could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The FFmpeg that this program runs with cannot write H.264.
    #[error(
        "this FFmpeg has no H.264 encoder (libx264)\n  hint: install an FFmpeg that was built with libx264, or train on videos of your own"
    )]
    NoEncoder,
    /// The number of videos is out of range.
    #[error("found {0} videos, allowed are {MIN_VIDEOS} to {MAX_VIDEOS}\n  hint: 160 is a good size to start with")]
    Videos(usize),
    /// The folder is not empty.
    #[error("{}: {found}\n  hint: {hint}", .folder.display())]
    Occupied {
        /// The folder of the set.
        folder: PathBuf,
        /// What is there.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// No set can be made from the folder of real videos.
    #[error("{}: {found}\n  hint: {hint}", .folder.display())]
    Footage {
        /// The folder.
        folder: PathBuf,
        /// What was found instead.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// The face detector failed.
    #[error("the face detector fails: {0}\n  hint: run scripts/setup.sh again, which fetches its model")]
    Detector(String),
    /// One video cannot be written.
    #[error("{}: {reason}\n  hint: is there space left, and may you write there?", .path.display())]
    Video {
        /// The file.
        path: PathBuf,
        /// Why, in one line.
        reason: String,
    },
    /// A file or folder cannot be written.
    #[error("{}: {source}\n  hint: choose an --output where there is space and you may write", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user interrupted it.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// Whether the user's input is at fault (exit code 2), as opposed to a failure at run time (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Videos(_) | Self::Occupied { .. } | Self::Footage { .. })
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> DemoError {
    DemoError::Io { path: path.to_owned(), source }
}
