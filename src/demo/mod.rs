//! A small labelled data set of H.264 videos, made from nothing (talking heads and forgeries of them) or from real videos
//! (their faces, blended into themselves).
//!
//! Knows nothing of training or of how a data set is read. Called by `dfdetect demo-data`, and by tests that need videos.
//! `folder` is where a set is made and put in place. From nothing:
//! `plan` says which videos there are; `film` paints one from a `scene` (what differs between clips), a `person` and
//! perhaps a `forge`ry; `dataset` makes the folder; `cues` checks that nothing but the faces gives the classes away. From videos: `from_videos`, with the segments of `footage`.

mod cues;
mod dataset;
pub mod encode;
mod face;
mod film;
mod folder;
mod footage;
mod forge;
mod from_videos;
mod head;
mod paint;
mod person;
mod plan;
mod preview;
mod scene;

use std::io;
use std::path::{Path, PathBuf};

pub use cues::Cue;
pub use dataset::{LeftOut, MAX_VIDEOS, MIN_VIDEOS, Made, Summary, UsedFootage, make};
pub use encode::{VideoSettings, VideoWriter};
pub use from_videos::{PEOPLE_SHARED, make_from};

/// What goes wrong while a demo set is made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The FFmpeg that this program runs with cannot write H.264.
    #[error(
        "this FFmpeg has no H.264 encoder (libx264)\n  hint: install an FFmpeg that was built with libx264, or train on videos of your own"
    )]
    NoEncoder,
    /// The number of videos makes no set.
    #[error("found {0} videos, allowed are {MIN_VIDEOS} to {MAX_VIDEOS}\n  hint: 160 is a good size to start with")]
    Videos(usize),
    /// There is something in the folder already.
    #[error("{}: {found}\n  hint: {hint}", .folder.display())]
    Occupied {
        /// The folder that was to be made.
        folder: PathBuf,
        /// What is there.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// The folder of real videos has none that a set can be made from.
    #[error("{}: {found}\n  hint: {hint}", .folder.display())]
    Footage {
        /// The folder.
        folder: PathBuf,
        /// What was found instead.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// The face detector itself failed.
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
    /// The user did not want to wait.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// Whether the user asked for something impossible (exit code 2), as opposed to a failure on the way (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Videos(_) | Self::Occupied { .. } | Self::Footage { .. })
    }
}

fn io_error(path: &Path, source: io::Error) -> DemoError {
    DemoError::Io { path: path.to_owned(), source }
}
