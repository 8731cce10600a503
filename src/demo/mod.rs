//! A small data set of real H.264 videos, made from nothing: talking heads and forgeries of them.
//!
//! Knows nothing of training or of how a data set is read. Called by `dfdetect demo-data`, and by tests that need videos.

pub mod encode;

use std::path::PathBuf;

pub use encode::{VideoSettings, VideoWriter};

/// What goes wrong while a demo set is made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The FFmpeg that this program runs with cannot write H.264.
    #[error(
        "this FFmpeg has no H.264 encoder (libx264)\n  hint: install an FFmpeg that was built with libx264, or train on videos of your own"
    )]
    NoEncoder,
    /// One video cannot be written.
    #[error("{}: {reason}", .path.display())]
    Video {
        /// The file.
        path: PathBuf,
        /// Why, in one line.
        reason: String,
    },
}
