//! Forgeries made of real videos while training: every real has a second record, a fake that is made of itself.
//!
//! Such a record is read as its real is; then the face in its frames is blended with itself, by a recipe that is drawn anew
//! each epoch. So samplers, splits and reports deal with it as with any other fake. See Shiohara and Yamasaki, "Detecting
//! Deepfakes with Self-Blended Images", 2022.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::blend::Recipe;
use super::cache::ReadClip;
use super::decode::{self, ClipSpec};
use super::face::{Face, FaceFacts};
use super::manifest::{Label, Manifest, Split, VideoRecord};
use crate::config::SelfBlend;

const METHOD: &str = "self_blend";

impl VideoRecord {
    /// Whether this is a forgery that is made of a real while training.
    #[must_use]
    pub fn is_self_blend(&self) -> bool {
        self.label == Label::Fake && self.original.as_ref() == Some(&self.path)
    }
}

impl Manifest {
    /// Gives every real, but those of other data sets to test on, a forgery made of itself.
    pub(super) fn add_self_blends(&mut self) {
        let is_own = |video: &&VideoRecord| video.label == Label::Real && video.split != Split::CrossTest;
        let blend = |real: &VideoRecord| VideoRecord {
            label: Label::Fake,
            method: Some(METHOD.into()),
            original: Some(real.path.clone()),
            ..real.clone()
        };
        let blends: Vec<_> = self.videos.iter().filter(is_own).map(blend).collect();
        self.videos.extend(blends);
    }

    /// Once every video has its side: leaves forgeries made while training only where they are wanted, which is in
    /// training and on sides without other fakes; with [`SelfBlend::Only`], leaves out all others to train and validate
    /// with.
    pub fn place_self_blends(&mut self, self_blend: SelfBlend) {
        if self_blend == SelfBlend::Only {
            let learned = |video: &VideoRecord| matches!(video.split, Split::Train | Split::Val);
            self.videos.retain(|video| video.label == Label::Real || video.is_self_blend() || !learned(video));
        }
        for side in [Split::Val, Split::Test] {
            let is_fake =
                |video: &usize| self.videos[*video].label == Label::Fake && !self.videos[*video].is_self_blend();
            if self.indices(side).iter().any(is_fake) {
                self.videos.retain(|video| video.split != side || !video.is_self_blend());
            }
        }
    }

    /// Of each video, whose frames it shows: its own, or those of the real that it is made of.
    pub(super) fn shown(&self) -> Vec<usize> {
        let mut reals = HashMap::new();
        for (number, video) in self.videos.iter().enumerate().filter(|(_, video)| video.label == Label::Real) {
            reals.insert((video.set, &video.path), number);
        }
        let shown = |(number, video): (usize, &VideoRecord)| match video.is_self_blend() {
            true => reals.get(&(video.set, &video.path)).copied().unwrap_or(number),
            false => number,
        };
        self.videos.iter().enumerate().map(shown).collect()
    }
}

/// These frames of a clip, the face in them blended with itself: one recipe, and a little flicker from frame to frame. A
/// frame without landmarks takes those of the nearest.
///
/// # Errors
/// There is no face in it.
pub(super) fn blended(clip: &ReadClip, spec: &ClipSpec, frames: &[usize], seed: u64) -> Result<ReadClip, String> {
    let no_face = || "no face was found in it to blend".to_owned();
    let facts = FaceFacts::from_bytes(&clip.meta).ok_or_else(no_face)?;
    let known: Vec<_> = (0..facts.landmarks.len()).filter_map(|at| Some((at, facts.landmarks[at]?))).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let recipe = Recipe::draw(&mut rng);
    let whole = decode::frames_of(&clip.thwc, spec.height, spec.width);
    let (mut thwc, mut changed) = (Vec::with_capacity(clip.thwc.len()), false);
    for number in frames {
        let nearest = known.iter().min_by_key(|(at, _)| at.abs_diff(*number));
        let (_, landmarks) = nearest.ok_or_else(no_face)?;
        let frame = recipe.apply(&whole[*number], &Face::around(*landmarks), rng.random());
        changed |= frame != whole[*number];
        thwc.extend_from_slice(&frame);
    }
    match changed {
        true => Ok(ReadClip { thwc, meta: clip.meta.clone() }),
        false => Err("the face in it is too small to blend".into()),
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::config::LayoutChoice;
    use crate::data::DataSet;

    const SIDE: u32 = 64;

    fn video(path: &str, label: Label, split: Split) -> VideoRecord {
        VideoRecord { split, ..VideoRecord::new(path, label, vec![path.into()]) }
    }

    fn manifest(videos: Vec<VideoRecord>) -> Manifest {
        let set = DataSet {
            root: "/videos".into(),
            layout: LayoutChoice::Folders,
            recognised: String::new(),
            crop_faces: false,
            shows_faces: None,
        };
        let mut manifest = Manifest { sets: vec![set], videos, skipped: Vec::new() };
        manifest.add_self_blends();
        manifest
    }

    /// How many true fakes and how many self-blends are on each side.
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
        alone.place_self_blends(SelfBlend::Add);
        assert_eq!(fakes(&alone), [(0, 2), (0, 1), (0, 1), (0, 0)]);
        assert_eq!(alone.shown(), [0, 1, 2, 3, 4, 0, 1, 2, 3]);

        let mut added = manifest([&reals()[..], &fakes_too()].concat());
        added.place_self_blends(SelfBlend::Add);
        assert_eq!(fakes(&added), [(1, 2), (1, 0), (1, 0), (0, 0)]);

        let mut only = manifest([&reals()[..], &fakes_too()].concat());
        only.place_self_blends(SelfBlend::Only);
        assert_eq!(fakes(&only), [(0, 2), (0, 1), (1, 0), (0, 0)], "tested on true forgeries");
    }

    /// A clip of a smooth face that stands still, of which some frames have landmarks.
    fn clip(seen: [bool; 3]) -> (ReadClip, ClipSpec) {
        let spec = ClipSpec::uniform(3, SIDE as usize, SIDE as usize, 1);
        let frame = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([(3 * x) as u8, (3 * y) as u8, (x + y) as u8]));
        let landmarks = [[24.0, 26.0], [40.0, 26.0], [32.0, 34.0], [26.0, 42.0], [38.0, 42.0]];
        let facts = FaceFacts {
            square: None,
            frame_size: [SIDE; 2],
            landmarks: seen.map(|seen| seen.then_some(landmarks)).to_vec(),
            missed: false,
        };
        (ReadClip { thwc: frame.repeat(3), meta: facts.to_bytes() }, spec)
    }

    #[test]
    fn a_clip_is_blended_alike_in_all_frames_within_its_face_and_anew_with_each_seed() {
        let (clip, spec) = clip([true; 3]);
        let frame_bytes = (SIDE * SIDE * 3) as usize;
        for seed in 0..20 {
            let blend = blended(&clip, &spec, &[0, 1, 2], seed).unwrap();
            assert!(blend == blended(&clip, &spec, &[0, 1, 2], seed).unwrap());
            assert!(blend.thwc != blended(&clip, &spec, &[0, 1, 2], seed + 1).unwrap().thwc);
            let changes = |frame: usize| -> Vec<i32> {
                let range = frame * frame_bytes..(frame + 1) * frame_bytes;
                let pairs = blend.thwc[range.clone()].iter().zip(&clip.thwc[range]);
                pairs.map(|(new, old)| i32::from(*new) - i32::from(*old)).collect()
            };
            let size = |changes: &[i32]| changes.iter().map(|change| change.abs()).sum::<i32>();
            let (first, last) = (changes(0), changes(2));
            let apart: Vec<i32> = first.iter().zip(&last).map(|(a, b)| a - b).collect();
            assert!(first != last && size(&apart) * 2 < size(&first), "seed {seed}: one recipe and a little flicker");
            let corner = first[..3].iter().chain(&first[frame_bytes - 3..]);
            assert!(corner.into_iter().all(|change| *change == 0), "seed {seed}: far from the face nothing changes");
        }
    }

    #[test]
    fn a_frame_without_landmarks_takes_those_of_its_neighbour_and_without_any_there_is_no_forgery() {
        let (all, spec) = clip([true; 3]);
        let (some, _) = clip([true, false, false]);
        assert!(
            blended(&some, &spec, &[0, 1, 2], 3).unwrap().thwc == blended(&all, &spec, &[0, 1, 2], 3).unwrap().thwc
        );
        let (none, _) = clip([false; 3]);
        assert!(blended(&none, &spec, &[0, 1, 2], 3).unwrap_err().contains("no face was found"));
        assert!(blended(&ReadClip { meta: Vec::new(), ..all }, &spec, &[0], 3).is_err());
    }
}
