//! What is known of one video of a data set: where it lies, what it is, who is in it, which side of the split it is on.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::LayoutChoice;

/// What a video is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// A recording.
    Real,
    /// A forgery.
    Fake,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Real => "real",
            Self::Fake => "fake",
        })
    }
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
    /// Of another data set, looked at once, at the end.
    CrossTest,
}

/// What lies at a record's path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// A video file.
    #[default]
    Video,
    /// A single picture.
    Picture,
    /// A folder whose pictures are the frames, in the natural order of their names.
    Folder,
    /// These pictures, in this order; paths below the data set's root.
    Frames(Vec<PathBuf>),
}

/// A folder that videos come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSet {
    /// The folder, absolute.
    pub root: PathBuf,
    /// How it is laid out.
    pub layout: LayoutChoice,
    /// What that was recognised by.
    #[serde(default)]
    pub recognised: String,
    /// Whether faces are cut out of its frames.
    #[serde(default)]
    pub crop_faces: bool,
    /// Whether its frames show faces, cut out or filling them; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows_faces: Option<bool>,
}

impl DataSet {
    /// The last part of its path, for people.
    #[must_use]
    pub fn name(&self) -> String {
        self.root.file_name().unwrap_or(self.root.as_os_str()).to_string_lossy().into_owned()
    }
}

/// A video file, or pictures that stand for one; all paths absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footage {
    /// The file or folder.
    pub path: PathBuf,
    /// What lies there.
    pub media: Media,
}

impl Footage {
    /// A video file.
    #[must_use]
    pub fn video(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), media: Media::Video }
    }
}

/// One video of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRecord {
    /// Which of the manifest's data sets it is from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: usize,
    /// Path below the data set's root.
    pub path: PathBuf,
    /// What lies there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub media: Media,
    /// Real or fake.
    pub label: Label,
    /// How a fake was made, where the data set says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// Which of several compressions it has, where the data set has several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compression: Option<String>,
    /// The people in it: one, or two for a face swap.
    pub source_ids: Vec<String>,
    /// The real that a fake was made from: its path below the same root, where the data set says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original: Option<PathBuf>,
    /// Its side of the split.
    pub split: Split,
    /// Whether the data set itself says so.
    #[serde(default, skip_serializing_if = "is_default")]
    pub official: bool,
}

impl VideoRecord {
    /// A video file of the first data set, not yet on any side, of which no more is known.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, label: Label, source_ids: Vec<String>) -> Self {
        Self {
            set: 0,
            path: path.into(),
            media: Media::Video,
            label,
            method: None,
            compression: None,
            source_ids,
            original: None,
            split: Split::Train,
            official: false,
        }
    }

    /// Whether this is a forgery that is made of a real while training.
    #[must_use]
    pub fn is_self_blend(&self) -> bool {
        self.label == Label::Fake && self.original.as_ref() == Some(&self.path)
    }
}

/// A video that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedVideo {
    /// Which of the manifest's data sets it is from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: usize,
    /// Path below the data set's root.
    pub path: PathBuf,
    /// Why, in one line.
    pub reason: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
