//! The index of a data set: which videos there are, what they are, which side of the split they are on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a video is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// A recording.
    Real,
    /// A forgery.
    Fake,
}

/// Which side of the split a video is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Weights are learned from it.
    Train,
    /// The best epoch is chosen by it.
    Val,
    /// Looked at once, at the end.
    Test,
}

/// One video of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRecord {
    /// Path below the data set's root.
    pub path: PathBuf,
    /// Real or fake.
    pub label: Label,
    /// How a fake was made, where the folders say so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// The people in it: one, or two for a face swap.
    pub source_ids: Vec<String>,
    /// Its side of the split.
    pub split: Split,
}

/// A video that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedVideo {
    /// Path below the data set's root.
    pub path: PathBuf,
    /// Why, in one line.
    pub reason: String,
}

/// The index of a data set, sorted by path so that the file system decides nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The data set's folder, absolute.
    pub root: PathBuf,
    /// Usable videos.
    pub videos: Vec<VideoRecord>,
    /// Videos that cannot be used, and why.
    pub skipped: Vec<SkippedVideo>,
}
