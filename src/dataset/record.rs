//! The record of one video (path, label, people, side of the split) and the types that it is made of. Opens no file;
//! the list of all records is in `manifest.rs`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::LayoutChoice;

/// The class of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// A genuine recording.
    Real,
    /// A fake.
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

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Training.
    Train,
    /// Validation, which chooses the best epoch.
    Val,
    /// Test, evaluated once, after training.
    Test,
    /// Test on another data set, evaluated once, after training.
    CrossTest,
}

/// The kind of files at the path of a record.
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
    /// These pictures, in this order; their paths are relative to the root of the data set.
    Frames(Arc<[PathBuf]>),
}

/// A data set: a folder of videos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSet {
    /// The absolute path of the folder.
    pub root: PathBuf,
    /// The layout of the folder.
    pub layout: LayoutChoice,
    /// How the layout was recognised.
    #[serde(default)]
    pub recognised: String,
    /// What is known to make results on it mean less than they seem to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// Whether faces are cropped from its frames.
    #[serde(default)]
    pub crop_faces: bool,
    /// Whether its frames show faces, cropped or filling the frame; `None` if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows_faces: Option<bool>,
}

impl DataSet {
    /// The data set in the folder `root`; what else is known of it is filled in.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, layout: LayoutChoice) -> Self {
        let root = root.into();
        Self { root, layout, recognised: String::new(), caveats: Vec::new(), crop_faces: false, shows_faces: None }
    }

    /// The last part of its path, for output.
    #[must_use]
    pub fn name(&self) -> String {
        self.root.file_name().unwrap_or(self.root.as_os_str()).to_string_lossy().into_owned()
    }
}

/// A video file, or pictures in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footage {
    /// The absolute path of the file or folder.
    pub path: PathBuf,
    /// The kind of files there.
    pub media: Media,
    /// The root of the data set, to which the paths of listed frames are relative.
    pub root: Arc<Path>,
}

impl Footage {
    /// A video file.
    #[must_use]
    pub fn video(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), media: Media::Video, root: Path::new("").into() }
    }

    /// The absolute paths of these frames, which are relative to the root.
    #[must_use]
    pub fn absolute(&self, frames: &[PathBuf]) -> Vec<PathBuf> {
        frames.iter().map(|frame| self.root.join(frame)).collect()
    }
}

/// One video of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRecord {
    /// The index of its data set in the manifest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: usize,
    /// The path below the root of the data set.
    pub path: PathBuf,
    /// The kind of files there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub media: Media,
    /// Real or fake.
    pub label: Label,
    /// The method of a fake, if the data set names it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// The compression, if the data set has several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compression: Option<String>,
    /// The people in it: one, or two for a face swap.
    pub source_ids: Vec<String>,
    /// The original of a fake, if the data set names it: its path below the same root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original: Option<PathBuf>,
    /// The side of the split.
    pub split: Split,
    /// Whether the data set itself assigns this side.
    #[serde(default, skip_serializing_if = "is_default")]
    pub official: bool,
}

impl VideoRecord {
    /// A video file of the first data set, not yet assigned to a side, with only these properties.
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

    /// Whether its method has one of these names.
    #[must_use]
    pub fn is_of(&self, methods: &[String]) -> bool {
        self.method.as_ref().is_some_and(|method| methods.iter().any(|name| name.eq_ignore_ascii_case(method)))
    }

    /// Whether this is a self-blended fake, which is made from a real during training.
    #[must_use]
    pub fn is_self_blend(&self) -> bool {
        self.label == Label::Fake && self.original.as_ref() == Some(&self.path)
    }
}

/// A video that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedVideo {
    /// The index of its data set in the manifest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: usize,
    /// The path below the root of the data set.
    pub path: PathBuf,
    /// Whether this is the self-blended fake of the video at that path, which itself may be usable.
    #[serde(default, skip_serializing_if = "is_default")]
    pub self_blend: bool,
    /// The reason, in one line.
    pub reason: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
