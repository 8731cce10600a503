//! The frames of self-blended fakes, which are made from real videos during training.
//!
//! A fake of this kind is read like its real; then the face in its frames is blended with itself, by a recipe that is
//! drawn anew each epoch. See Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", 2022. This file
//! neither reads nor caches clips. The records of these fakes are made in `dataset/self_blends.rs`; the blending of one
//! frame is in `blend/recipe.rs`.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::blend::Recipe;
use super::cache::ReadClip;
use crate::face::{Face, FaceFacts};
use crate::video::{self, ClipSpec};

/// Blends the face in these frames of a clip with itself: one recipe, with a little flicker in each frame. A frame
/// without landmarks uses those of the nearest frame.
///
/// # Errors
/// No frame has a face.
pub(crate) fn blended(clip: &ReadClip, spec: &ClipSpec, frames: &[usize], seed: u64) -> Result<ReadClip, String> {
    let no_face = || "no face was found in it to blend".to_owned();
    let facts = FaceFacts::from_bytes(&clip.meta).ok_or_else(no_face)?;
    let known: Vec<_> = (0..facts.landmarks.len()).filter_map(|at| Some((at, facts.landmarks[at]?))).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let recipe = Recipe::draw(&mut rng);
    let whole = video::frames_of(&clip.thwc, spec.height, spec.width);
    let (mut thwc, mut changed) = (Vec::with_capacity(clip.thwc.len()), false);
    for number in frames {
        let nearest = known.iter().min_by_key(|(at, _)| at.abs_diff(*number));
        let (_, landmarks) = nearest.ok_or_else(no_face)?;
        let frame = recipe.apply(&whole[*number], &Face::around(*landmarks), rng.random());
        changed |= frame != whole[*number];
        thwc.extend_from_slice(&frame);
    }
    match changed {
        true => Ok(ReadClip { thwc, ..clip.without_pixels() }),
        false => Err("the face in it is too small to blend".into()),
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    const SIDE: u32 = 64;

    /// A clip of a smooth face that does not move; some of its frames have landmarks.
    fn clip(seen: [bool; 3]) -> (ReadClip, ClipSpec) {
        let spec = ClipSpec::uniform(3, SIDE as usize, SIDE as usize, 1);
        let frame = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([(3 * x) as u8, (3 * y) as u8, (x + y) as u8]));
        let landmarks = [[24.0, 26.0], [40.0, 26.0], [32.0, 34.0], [26.0, 42.0], [38.0, 42.0]];
        let facts = FaceFacts {
            frame_size: [SIDE; 2],
            landmarks: seen.map(|seen| seen.then_some(landmarks)).to_vec(),
            ..FaceFacts::default()
        };
        (ReadClip { thwc: frame.repeat(3), usable_frames: 3, meta: facts.to_bytes() }, spec)
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
