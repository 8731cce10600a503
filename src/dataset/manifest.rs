//! The manifest: the index of the videos of all data sets, and its JSON file. Opens no video. `layouts` finds the
//! videos, and `split` divides them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::error::DataError;
use super::layouts::folder_and_list;
use super::record::{DataSet, Footage, Label, SkippedVideo, Split, VideoRecord};
use crate::files;

const HINT_WRITE: &str = "free some space, or allow writing there";
const HINT_READ: &str = "evaluate a checkpoint of the run with --checkpoint and --data, or train again";

/// The index of one or several data sets, sorted by set and path, so that it does not depend on the file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The data sets.
    pub sets: Vec<DataSet>,
    /// All videos that were found.
    pub videos: Vec<VideoRecord>,
    /// The videos that cannot be used, with the reasons.
    pub skipped: Vec<SkippedVideo>,
}

impl Manifest {
    /// The files of a video.
    #[must_use]
    pub fn footage(&self, video: usize) -> Footage {
        let record = &self.videos[video];
        let root = self.sets[record.set].root.as_path();
        Footage { path: root.join(&record.path), media: record.media.clone(), root: root.into() }
    }

    /// Whether all data sets for training show faces, or none does; `None` if they differ or it is unknown.
    #[must_use]
    pub fn shows_faces(&self) -> Option<bool> {
        let trained = self.videos.iter().filter(|video| video.split != Split::CrossTest);
        let mut answers = trained.map(|video| self.sets[video.set].shows_faces);
        let first = answers.next()?;
        answers.all(|answer| answer == first).then_some(first)?
    }

    /// The folder for errors about the whole manifest.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.sets.first().map_or(Path::new("."), |set| &set.root)
    }

    /// Replaces the folders of the data sets, which may have moved since the manifest was written.
    ///
    /// # Errors
    /// [`DataError::Unusable`] if the number of folders differs, or one does not exist.
    pub fn move_to(&mut self, roots: &[PathBuf]) -> Result<(), DataError> {
        let unusable = |root: &Path, problem: String| {
            DataError::Unusable {
            root: root.to_owned(),
            problem,
            hint: "name the folders that the videos are in now, in the same order: --data for data.root, and data.test_roots"
                .into(),
        }
        };
        if roots.len() != self.sets.len() {
            let problem = format!("the run has {} data sets, {} folders are named", self.sets.len(), roots.len());
            return Err(unusable(self.root(), problem));
        }
        for (set, root) in self.sets.iter_mut().zip(roots) {
            if !root.exists() {
                return Err(unusable(root, "there is no such folder".into()));
            }
            (set.root, _) = folder_and_list(root.clone());
        }
        Ok(())
    }

    /// A path for output: below its root, and with the name of the root if there are several.
    #[must_use]
    pub fn name(&self, set: usize, path: &Path) -> String {
        match self.sets.as_slice() {
            [_] => path.display().to_string(),
            sets => Path::new(&sets[set].name()).join(path).display().to_string(),
        }
    }

    /// The name of a video for output; see [`name`](Self::name).
    #[must_use]
    pub fn video_name(&self, video: usize) -> String {
        self.name(self.videos[video].set, &self.videos[video].path)
    }

    /// The indices of all videos on one side of the split, usable or not, ascending.
    #[must_use]
    pub fn members(&self, split: Split) -> Vec<usize> {
        let on_side = self.videos.iter().enumerate().filter(|(_, video)| video.split == split);
        on_side.map(|(index, _)| index).collect()
    }

    /// The indices of the usable videos on one side of the split, ascending.
    #[must_use]
    pub fn indices(&self, split: Split) -> Vec<usize> {
        let skips = self.skips();
        let usable = |video: &VideoRecord| video.split == split && skips.of(video).is_none();
        self.videos.iter().enumerate().filter(|(_, video)| usable(video)).map(|(index, _)| index).collect()
    }

    /// The number of usable videos of a class on one side of the split.
    #[must_use]
    pub fn count(&self, split: Split, label: Label) -> usize {
        self.indices(split).into_iter().filter(|index| self.videos[*index].label == label).count()
    }

    /// The methods of the usable fakes on one side of the split, sorted, each once.
    #[must_use]
    pub fn methods(&self, split: Split) -> Vec<String> {
        let methods = self.indices(split).into_iter().filter_map(|video| self.videos[video].method.clone());
        methods.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What is known of videos that cannot be used.
    #[must_use]
    pub fn skips(&self) -> Skips<'_> {
        Skips(self.skipped.iter().map(|video| ((video.set, video.path.as_path(), video.self_blend), video)).collect())
    }

    /// Adds videos that cannot be used, with the reasons. A video that is already known is not added again, and neither
    /// is the self-blended fake of such a video.
    pub fn mark_unusable(&mut self, unusable: impl IntoIterator<Item = (usize, String)>) {
        let mut known: HashSet<_> =
            self.skipped.iter().map(|video| (video.set, video.path.as_path(), video.self_blend)).collect();
        let mut new = Vec::new();
        for (video, reason) in unusable {
            // The index may come from a checkpoint with another manifest.
            let Some(record @ VideoRecord { set, path, .. }) = self.videos.get(video) else { continue };
            let self_blend = record.is_self_blend();
            if !known.contains(&(*set, path.as_path(), false)) && known.insert((*set, path, self_blend)) {
                let reason = if self_blend { format!("its self-blend: {reason}") } else { reason };
                new.push(SkippedVideo { set: *set, path: path.clone(), self_blend, reason });
            }
        }
        self.skipped.extend(new);
    }

    /// Writes the manifest as JSON. An existing file is replaced as a whole or not at all.
    ///
    /// # Errors
    /// [`DataError::Manifest`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), DataError> {
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        json.and_then(|json| files::write_whole(path, &json))
            .map_err(|error| failure(path, format!("the manifest cannot be written: {error}"), HINT_WRITE))
    }

    /// The hash of the list of videos with labels and sides. It does not depend on the folders of the data sets.
    #[must_use]
    pub fn hash(&self) -> String {
        // Only a path that is not UTF-8 cannot become JSON, and `save` refuses that too.
        let json = serde_json::to_vec(&self.videos).unwrap_or_default();
        format!("xxh3:{:032x}", xxh3_128(&json))
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`DataError::Manifest`] if the file cannot be read or is no manifest.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path)
            .map_err(|error| failure(path, format!("the manifest cannot be read: {error}"), HINT_READ))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| failure(path, format!("this is not a manifest: {error}"), HINT_READ))
    }
}

/// The videos that cannot be used, by data set, path, and whether they are self-blended fakes.
pub struct Skips<'a>(HashMap<(usize, &'a Path, bool), &'a SkippedVideo>);

impl<'a> Skips<'a> {
    /// Why the video cannot be used; `None` if it can. A self-blended fake cannot without the video that it is made
    /// from.
    #[must_use]
    pub fn of(&self, video: &VideoRecord) -> Option<&'a SkippedVideo> {
        let key = |self_blend| (video.set, video.path.as_path(), self_blend);
        let own = video.is_self_blend().then(|| self.0.get(&key(true))).flatten();
        own.or_else(|| self.0.get(&key(false))).copied()
    }
}

fn failure(path: &Path, reason: String, hint: &'static str) -> DataError {
    DataError::Manifest { path: path.to_owned(), reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LayoutChoice;

    fn video(path: &str, label: Label, split: Split) -> VideoRecord {
        VideoRecord { split, ..VideoRecord::new(path, label, vec![path.into()]) }
    }

    fn skipped(path: &str, self_blend: bool, reason: &str) -> SkippedVideo {
        SkippedVideo { set: 0, path: path.into(), self_blend, reason: reason.into() }
    }

    fn sets() -> Vec<DataSet> {
        vec![DataSet::new("/videos", LayoutChoice::Folders)]
    }

    #[test]
    fn a_manifest_survives_being_saved_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        fs::write(&path, "older").unwrap();
        let manifest = Manifest {
            sets: sets(),
            videos: vec![
                video("fake/a.mp4", Label::Fake, Split::Val),
                video("real/ü.mp4", Label::Real, Split::Train),
                video("real/z.mp4", Label::Real, Split::Train),
            ],
            skipped: vec![skipped("real/x.mp4", false, "the file is empty")],
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
        let mut manifest = Manifest { sets: sets(), videos, skipped: Vec::new() };
        manifest.mark_unusable([(1, "of another manifest".into())]);
        manifest.mark_unusable([(0, "empty".into()), (0, "said twice".into())]);
        manifest.mark_unusable([(0, "said again".into())]);
        assert_eq!(manifest.skipped, [skipped("real/a.mp4", false, "empty")]);
    }

    #[test]
    fn a_self_blend_that_fails_leaves_its_real_video_and_a_real_takes_its_self_blend_along() {
        let real = |path| video(path, Label::Real, Split::Train);
        let blend = |path: &str| VideoRecord { original: Some(path.into()), ..video(path, Label::Fake, Split::Train) };
        let videos = vec![real("a"), real("b"), real("c"), blend("a"), blend("b"), blend("c")];
        let mut manifest = Manifest { sets: sets(), videos, skipped: Vec::new() };
        manifest.mark_unusable([(3, "no face".into()), (1, "empty".into()), (4, "empty".into())]);
        assert_eq!(manifest.skipped, [skipped("a", true, "its self-blend: no face"), skipped("b", false, "empty")]);
        assert_eq!(manifest.indices(Split::Train), [0, 2, 5]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        manifest.save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), manifest, "also after a resume");
    }

    #[test]
    fn a_manifest_that_cannot_be_had_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        let missing = Manifest::load(&path).unwrap_err();
        assert!(missing.to_string().contains("manifest.json") && !missing.is_usage());
        fs::write(&path, "{\"sets\": 1}").unwrap();
        assert!(Manifest::load(&path).unwrap_err().to_string().contains("not a manifest"));
        let manifest = Manifest { sets: sets(), videos: Vec::new(), skipped: Vec::new() };
        assert!(manifest.save(&folder.path().join("no/manifest.json")).is_err());
    }
}
