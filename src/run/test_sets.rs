//! Sets of videos that are scored together, each with its name, and the test sets of a run. Assigns no split and scores
//! nothing.

use crate::dataset::{Manifest, SkippedVideo, Split, VideoRecord};
use crate::report::TEST_SET;

/// Videos of a manifest under a name.
#[derive(Debug, Clone)]
pub struct VideoSet {
    /// What it is called in reports.
    pub name: String,
    /// Those that can be used, by index.
    pub videos: Vec<usize>,
    /// Those that cannot be used.
    pub unusable: Vec<SkippedVideo>,
}

impl VideoSet {
    /// The videos for which `is_in` holds.
    pub fn of(name: String, manifest: &Manifest, is_in: impl Fn(&VideoRecord) -> bool) -> Self {
        let skips = manifest.skips();
        let (mut videos, mut unusable) = (Vec::new(), Vec::new());
        for (index, video) in manifest.videos.iter().enumerate().filter(|(_, video)| is_in(video)) {
            match skips.of(video) {
                None => videos.push(index),
                Some(video) => unusable.push(video.clone()),
            }
        }
        Self { name, videos, unusable }
    }
}

/// The test videos of a run: its own, and those of each other data set by its folder's name.
pub(super) fn test_sets(manifest: &Manifest) -> Vec<VideoSet> {
    let mut sets = vec![VideoSet::of(TEST_SET.to_owned(), manifest, |video| video.split == Split::Test)];
    for (number, set) in manifest.sets.iter().enumerate() {
        let name = set.name();
        let taken = sets.iter().any(|other| other.name == name);
        let name = if taken { set.root.display().to_string() } else { name };
        let is_in = |video: &VideoRecord| video.split == Split::CrossTest && video.set == number;
        sets.push(VideoSet::of(name, manifest, is_in));
    }
    sets.retain(|set| !set.videos.is_empty());
    sets
}
