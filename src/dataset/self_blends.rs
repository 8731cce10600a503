//! Records of self-blended fakes, which are made from real videos during training: every real has a second record, a
//! fake. On which sides they are used is in `learned_fakes.rs`. This file knows nothing of pixels; `clip/self_blend.rs` blends
//! them.

use std::collections::HashMap;

use super::manifest::Manifest;
use super::record::{Label, Split, VideoRecord};

const METHOD: &str = "self_blend";

/// Adds a self-blended fake of every real, except for reals of cross-tests.
pub(super) fn add_self_blends(manifest: &mut Manifest) {
    let is_own = |video: &&VideoRecord| video.label == Label::Real && video.split != Split::CrossTest;
    let blend = |real: &VideoRecord| VideoRecord {
        label: Label::Fake,
        method: Some(METHOD.into()),
        original: Some(real.path.clone()),
        ..real.clone()
    };
    let blends: Vec<_> = manifest.videos.iter().filter(is_own).map(blend).collect();
    manifest.videos.extend(blends);
}

/// For each video, the index of the video whose frames it shows: itself, or the real of a self-blended fake.
#[must_use]
pub fn shown_videos(manifest: &Manifest) -> Vec<usize> {
    let mut reals = HashMap::new();
    for (number, video) in manifest.videos.iter().enumerate().filter(|(_, video)| video.label == Label::Real) {
        reals.insert((video.set, &video.path), number);
    }
    let shown = |(number, video): (usize, &VideoRecord)| match video.is_self_blend() {
        true => reals.get(&(video.set, &video.path)).copied().unwrap_or(number),
        false => number,
    };
    manifest.videos.iter().enumerate().map(shown).collect()
}
