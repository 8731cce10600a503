//! The index of a data set: which videos there are, what they are, which side of the split they are on.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DataError;
use crate::files;

const HINT_WRITE: &str = "free some space, or allow writing there";
const HINT_READ: &str = "evaluate a checkpoint of the run with --checkpoint and --data, or train again";

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
    /// All videos that were found.
    pub videos: Vec<VideoRecord>,
    /// Those of them that cannot be used, and why.
    pub skipped: Vec<SkippedVideo>,
}

impl Manifest {
    /// Numbers of all videos on one side of the split, usable or not, ascending.
    #[must_use]
    pub fn members(&self, split: Split) -> Vec<usize> {
        let on_side = self.videos.iter().enumerate().filter(|(_, video)| video.split == split);
        on_side.map(|(index, _)| index).collect()
    }

    /// Numbers of the usable videos on one side of the split, ascending.
    #[must_use]
    pub fn indices(&self, split: Split) -> Vec<usize> {
        let skipped: HashSet<_> = self.skipped.iter().map(|skipped| &skipped.path).collect();
        let usable = |video: &VideoRecord| video.split == split && !skipped.contains(&video.path);
        self.videos.iter().enumerate().filter(|(_, video)| usable(video)).map(|(index, _)| index).collect()
    }

    /// How many usable videos of a class are on one side of the split.
    #[must_use]
    pub fn count(&self, split: Split, label: Label) -> usize {
        self.indices(split).into_iter().filter(|index| self.videos[*index].label == label).count()
    }

    /// Takes note that a video cannot be used; said twice, it counts once.
    pub fn mark_unusable(&mut self, video: usize, reason: &str) {
        // The number may come from a checkpoint that belongs to another manifest.
        let Some(VideoRecord { path, .. }) = self.videos.get(video) else { return };
        if self.skipped.iter().all(|skipped| skipped.path != *path) {
            self.skipped.push(SkippedVideo { path: path.clone(), reason: reason.to_owned() });
        }
    }

    /// Writes it as JSON. A file of that name is replaced at once or not at all.
    ///
    /// # Errors
    /// [`DataError::Manifest`] where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), DataError> {
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        json.and_then(|json| files::write_whole(path, &json))
            .map_err(|error| failure(path, format!("the manifest cannot be written: {error}"), HINT_WRITE))
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`DataError::Manifest`] where the file cannot be read or is no manifest.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path)
            .map_err(|error| failure(path, format!("the manifest cannot be read: {error}"), HINT_READ))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| failure(path, format!("this is not a manifest: {error}"), HINT_READ))
    }
}

fn failure(path: &Path, reason: String, hint: &'static str) -> DataError {
    DataError::Manifest { path: path.to_owned(), reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(path: &str, label: Label, split: Split) -> VideoRecord {
        VideoRecord { path: path.into(), label, method: None, source_ids: vec![path.into()], split }
    }

    #[test]
    fn a_manifest_survives_being_saved_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        fs::write(&path, "older").unwrap();
        let manifest = Manifest {
            root: "/videos".into(),
            videos: vec![
                video("fake/a.mp4", Label::Fake, Split::Val),
                video("real/ü.mp4", Label::Real, Split::Train),
                video("real/z.mp4", Label::Real, Split::Train),
            ],
            skipped: vec![SkippedVideo { path: "real/x.mp4".into(), reason: "the file is empty".into() }],
        };
        manifest.save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), manifest);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
        assert_eq!(manifest.indices(Split::Train), [1, 2]);
        assert_eq!(manifest.count(Split::Train, Label::Real), 2);
        assert_eq!(manifest.count(Split::Val, Label::Real), 0);
    }

    #[test]
    fn a_number_that_is_no_video_of_this_manifest_is_left_alone() {
        let videos = vec![video("real/a.mp4", Label::Real, Split::Train)];
        let mut manifest = Manifest { root: "/".into(), videos, skipped: Vec::new() };
        manifest.mark_unusable(1, "of another manifest");
        manifest.mark_unusable(0, "empty");
        manifest.mark_unusable(0, "said twice");
        assert_eq!(manifest.skipped, [SkippedVideo { path: "real/a.mp4".into(), reason: "empty".into() }]);
    }

    #[test]
    fn a_manifest_that_cannot_be_had_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        let missing = Manifest::load(&path).unwrap_err();
        assert!(missing.to_string().contains("manifest.json") && !missing.is_usage());
        fs::write(&path, "{\"root\": 1}").unwrap();
        assert!(Manifest::load(&path).unwrap_err().to_string().contains("not a manifest"));
        let manifest = Manifest { root: "/".into(), videos: Vec::new(), skipped: Vec::new() };
        assert!(manifest.save(&folder.path().join("no/manifest.json")).is_err());
    }
}
