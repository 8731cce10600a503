//! Records of self-blended fakes, which are made from real videos during training: every real has a second record, a
//! fake. This file knows nothing of pixels; `clip/self_blend.rs` blends them.

use std::collections::HashMap;

use super::manifest::Manifest;
use super::record::{Label, Split, VideoRecord};
use crate::config::SelfBlend;

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

/// Removes self-blended fakes after the split, except in training and on sides without other fakes. With
/// [`SelfBlend::Only`], it removes all other fakes from training and validation.
pub fn place_self_blends(manifest: &mut Manifest, self_blend: SelfBlend) {
    if self_blend == SelfBlend::Only {
        let learned = |video: &VideoRecord| matches!(video.split, Split::Train | Split::Val);
        manifest.videos.retain(|video| video.label == Label::Real || video.is_self_blend() || !learned(video));
    }
    for side in [Split::Val, Split::Test] {
        let is_fake =
            |video: &usize| manifest.videos[*video].label == Label::Fake && !manifest.videos[*video].is_self_blend();
        if manifest.indices(side).iter().any(is_fake) {
            manifest.videos.retain(|video| video.split != side || !video.is_self_blend());
        }
    }
}

/// Marks as unusable what [`place_self_blends`] would remove. This is for videos that are divided again, when their
/// indices are in use.
pub(super) fn set_aside(manifest: &mut Manifest, self_blend: SelfBlend) {
    let of = |manifest: &Manifest, side: Split, made: bool| -> Vec<usize> {
        let fakes = manifest.indices(side).into_iter().filter(|video| manifest.videos[*video].label == Label::Fake);
        fakes.filter(|video| manifest.videos[*video].is_self_blend() == made).collect()
    };
    if self_blend == SelfBlend::Only {
        let learned = [Split::Train, Split::Val].map(|side| of(manifest, side, false)).concat();
        manifest.mark_unusable(learned.into_iter().map(|video| (video, "only self-blends are learned from".into())));
    }
    for side in [Split::Val, Split::Test] {
        if !of(manifest, side, false).is_empty() {
            let blends = of(manifest, side, true);
            manifest
                .mark_unusable(blends.into_iter().map(|video| (video, "there are true fakes beside it now".into())));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LayoutChoice;
    use crate::dataset::record::DataSet;

    fn video(path: &str, label: Label, split: Split) -> VideoRecord {
        VideoRecord { split, ..VideoRecord::new(path, label, vec![path.into()]) }
    }

    fn manifest(videos: Vec<VideoRecord>) -> Manifest {
        let set = DataSet::new("/videos", LayoutChoice::Folders);
        let mut manifest = Manifest { sets: vec![set], videos, skipped: Vec::new() };
        add_self_blends(&mut manifest);
        manifest
    }

    /// The numbers of other fakes and of self-blended fakes on each side.
    fn fakes(manifest: &Manifest) -> [(usize, usize); 4] {
        [Split::Train, Split::Val, Split::Test, Split::CrossTest].map(|side| {
            let fakes = manifest.videos.iter().filter(|video| video.split == side && video.label == Label::Fake);
            let (made, true_ones): (Vec<_>, Vec<_>) = fakes.partition(|video| video.is_self_blend());
            (true_ones.len(), made.len())
        })
    }

    #[test]
    fn forgeries_are_made_for_training_and_where_there_are_no_others() {
        use Label::{Fake, Real};
        use Split::{CrossTest, Test, Train, Val};
        let reals = [("a", Train), ("b", Train), ("c", Val), ("d", Test), ("e", CrossTest)];
        let reals = || reals.map(|(path, split)| video(path, Real, split));
        let fakes_too = || [("f", Train), ("g", Val), ("h", Test)].map(|(path, split)| video(path, Fake, split));

        let mut alone = manifest(reals().to_vec());
        place_self_blends(&mut alone, SelfBlend::Add);
        assert_eq!(fakes(&alone), [(0, 2), (0, 1), (0, 1), (0, 0)]);
        assert_eq!(shown_videos(&alone), [0, 1, 2, 3, 4, 0, 1, 2, 3]);

        let mut added = manifest([&reals()[..], &fakes_too()].concat());
        place_self_blends(&mut added, SelfBlend::Add);
        assert_eq!(fakes(&added), [(1, 2), (1, 0), (1, 0), (0, 0)]);

        let mut only = manifest([&reals()[..], &fakes_too()].concat());
        place_self_blends(&mut only, SelfBlend::Only);
        assert_eq!(fakes(&only), [(0, 2), (0, 1), (1, 0), (0, 0)], "tested on true forgeries");
    }
}
