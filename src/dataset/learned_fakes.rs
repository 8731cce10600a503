//! Which fakes are learned from, by `data.holdout_methods` and `augmentation.self_blend`. The split knows nothing of it, so
//! that a fake which is only tested on stays with its people.

use std::collections::BTreeSet;

use super::error::DataError;
use super::manifest::Manifest;
use super::record::{Label, Split, VideoRecord};
use crate::config::{DataConfig, SelfBlend};

/// Removes fakes after the split: from training and validation those of `data.holdout_methods`, and with
/// [`SelfBlend::Only`] all but self-blends; from validation and test self-blends where there are other fakes.
///
/// # Errors
/// [`DataError::Unusable`] if training or validation has only fakes of `data.holdout_methods`.
pub fn place_fakes(manifest: &mut Manifest, data: &DataConfig, self_blend: SelfBlend) -> Result<(), DataError> {
    let left_out = left_out(manifest, data, self_blend);
    if !data.holdout_methods.is_empty() {
        let is_fake = |video: &usize| manifest.videos[*video].label == Label::Fake;
        let emptied = |side: &Split| {
            let mut fakes = manifest.indices(*side).into_iter().filter(is_fake).peekable();
            fakes.peek().is_some() && fakes.all(|video| left_out.contains(&video))
        };
        if let Some(side) = [Split::Train, Split::Val].into_iter().find(emptied) {
            return Err(no_fakes_left(manifest, data, side));
        }
    }
    let mut number = 0..;
    manifest.videos.retain(|_| number.next().is_some_and(|number| !left_out.contains(&number)));
    Ok(())
}

/// Marks as unusable what [`place_fakes`] would remove. This is for videos that are divided again, when their indices are
/// in use.
pub(super) fn set_aside(manifest: &mut Manifest, data: &DataConfig, self_blend: SelfBlend) {
    let left_out = left_out(manifest, data, self_blend);
    manifest.mark_unusable(left_out.into_iter().map(|video| (video, "such fakes are not used on this side".into())));
}

fn left_out(manifest: &Manifest, data: &DataConfig, self_blend: SelfBlend) -> BTreeSet<usize> {
    let fakes = || manifest.videos.iter().enumerate().filter(|(_, video)| video.label == Label::Fake);
    let is_unlearned = |(_, video): &(usize, &VideoRecord)| {
        let is_learned_from = matches!(video.split, Split::Train | Split::Val);
        let is_held_out = video.is_of(&data.holdout_methods);
        is_learned_from && (is_held_out || self_blend == SelfBlend::Only && !video.is_self_blend())
    };
    let mut left_out: BTreeSet<usize> = fakes().filter(is_unlearned).map(|(number, _)| number).collect();
    for side in [Split::Val, Split::Test] {
        let true_fakes = manifest.indices(side).into_iter().filter(|number| {
            let video = &manifest.videos[*number];
            video.label == Label::Fake && !video.is_self_blend() && !left_out.contains(number)
        });
        if true_fakes.count() > 0 {
            let blends = fakes().filter(|(_, video)| video.split == side && video.is_self_blend());
            left_out.extend(blends.map(|(number, _)| number));
        }
    }
    left_out
}

fn no_fakes_left(manifest: &Manifest, data: &DataConfig, side: Split) -> DataError {
    let side = if side == Split::Train { "train on" } else { "validate on" };
    DataError::Unusable {
        root: manifest.root().to_owned(),
        problem: format!("without {} there is no fake to {side}", data.holdout_methods.join(", ")),
        hint: "name fewer methods in data.holdout_methods".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LayoutChoice;
    use crate::dataset::record::DataSet;
    use crate::dataset::self_blends::{add_self_blends, shown_videos};

    fn video(path: &str, label: Label, split: Split) -> VideoRecord {
        VideoRecord { split, ..VideoRecord::new(path, label, vec![path.into()]) }
    }

    fn manifest(videos: Vec<VideoRecord>) -> Manifest {
        Manifest { sets: vec![DataSet::new("/videos", LayoutChoice::Folders)], videos, skipped: Vec::new() }
    }

    fn with_self_blends(videos: Vec<VideoRecord>) -> Manifest {
        let mut manifest = manifest(videos);
        add_self_blends(&mut manifest);
        manifest
    }

    /// The numbers of other fakes and of self-blended fakes on each side.
    fn fakes(manifest: &Manifest) -> [(usize, usize); 4] {
        [Split::Train, Split::Val, Split::Test, Split::CrossTest].map(|side| {
            let usable = manifest.indices(side).into_iter().map(|video| &manifest.videos[video]);
            let fakes = usable.filter(|video| video.label == Label::Fake);
            let (made, true_ones): (Vec<_>, Vec<_>) = fakes.partition(|video| video.is_self_blend());
            (true_ones.len(), made.len())
        })
    }

    /// What is left by [`place_fakes`]; [`set_aside`] leaves the same.
    fn placed(mut manifest: Manifest, data: &DataConfig, self_blend: SelfBlend) -> [(usize, usize); 4] {
        let mut marked = manifest.clone();
        set_aside(&mut marked, data, self_blend);
        place_fakes(&mut manifest, data, self_blend).unwrap();
        assert_eq!(fakes(&marked), fakes(&manifest));
        fakes(&manifest)
    }

    #[test]
    fn forgeries_are_made_for_training_and_where_there_are_no_others() {
        use Label::{Fake, Real};
        use Split::{CrossTest, Test, Train, Val};
        let reals = [("a", Train), ("b", Train), ("c", Val), ("d", Test), ("e", CrossTest)];
        let reals = || reals.map(|(path, split)| video(path, Real, split));
        let fakes_too = || [("f", Train), ("g", Val), ("h", Test)].map(|(path, split)| video(path, Fake, split));
        let data = DataConfig::default();

        let alone = with_self_blends(reals().to_vec());
        assert_eq!(placed(alone.clone(), &data, SelfBlend::Add), [(0, 2), (0, 1), (0, 1), (0, 0)]);
        assert_eq!(shown_videos(&alone), [0, 1, 2, 3, 4, 0, 1, 2, 3]);

        let both = || with_self_blends([&reals()[..], &fakes_too()].concat());
        assert_eq!(placed(both(), &data, SelfBlend::Add), [(1, 2), (1, 0), (1, 0), (0, 0)]);
        let only = placed(both(), &data, SelfBlend::Only);
        assert_eq!(only, [(0, 2), (0, 1), (1, 0), (0, 0)], "tested on true forgeries");
    }

    #[test]
    fn held_out_methods_are_only_tested_on() {
        let sides = [Split::Train, Split::Val, Split::Test, Split::CrossTest];
        let of_side = |side: Split| {
            let fake = |method: &str| VideoRecord {
                method: Some(method.into()),
                ..video(&format!("{method} {side:?}"), Label::Fake, side)
            };
            [video(&format!("real {side:?}"), Label::Real, side), fake("FaceSwap"), fake("NeuralTextures")]
        };
        let all = || sides.iter().flat_map(|side| of_side(*side)).collect::<Vec<_>>();
        let held_out = |methods: &[&str]| DataConfig {
            holdout_methods: methods.iter().map(ToString::to_string).collect(),
            ..DataConfig::default()
        };
        let data = held_out(&["neuraltextures"]);
        assert_eq!(placed(manifest(all()), &data, SelfBlend::Off), [(1, 0), (1, 0), (2, 0), (2, 0)]);
        let blended = placed(with_self_blends(all()), &data, SelfBlend::Add);
        assert_eq!(blended, [(1, 1), (1, 0), (2, 0), (2, 0)]);

        // Without them, nothing is left to learn from, unless fakes are made.
        let data = held_out(&["NeuralTextures", "FaceSwap"]);
        let error = place_fakes(&mut manifest(all()), &data, SelfBlend::Off).unwrap_err().to_string();
        assert!(error.contains("no fake to train on") && error.contains("holdout_methods"), "{error}");
        let blended = placed(with_self_blends(all()), &data, SelfBlend::Add);
        assert_eq!(blended, [(0, 1), (0, 1), (2, 0), (2, 0)]);
    }
}
