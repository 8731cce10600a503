//! The choice of the frames of a clip, by numbers alone. Knows nothing of packets and pixels.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::spec::ClipSpec;
use crate::config::Sampling;

/// The numbers of the clip's frames out of `frames` (at least one), ascending. A short video repeats some.
///
/// `draw` seeds a random choice; without it, `random_segment` is the same as `uniform`. `reference_frames` moves each
/// pick to the nearest frame for which `is_reference` is true, the earlier one of two; if there is none, it is the same
/// as `uniform`.
pub(super) fn choose(
    spec: &ClipSpec,
    frames: usize,
    draw: Option<u64>,
    is_reference: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let step = spec.skip_frames;
    let mut picks = choose_of_all(spec.sampling, spec.choices(frames), spec.frames, draw, |at| is_reference(at * step));
    picks.iter_mut().for_each(|pick| *pick *= step);
    picks
}

/// The numbers of `wanted` frames out of `frames`: the centres of equal parts.
pub(super) fn spread(frames: usize, wanted: usize) -> Vec<usize> {
    (0..wanted).map(|part| (2 * part + 1) * frames / (2 * wanted)).collect()
}

fn choose_of_all(
    sampling: Sampling,
    frames: usize,
    wanted: usize,
    draw: Option<u64>,
    is_reference: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let centres = || spread(frames, wanted);
    match (sampling, draw) {
        (Sampling::Uniform, _) | (Sampling::RandomSegment, None) => centres(),
        (Sampling::RandomSegment, Some(seed)) => {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let pick = |part| {
                let (start, end) = (part * frames / wanted, (part + 1) * frames / wanted);
                if start < end { rng.random_range(start..end) } else { start }
            };
            (0..wanted).map(pick).collect()
        }
        (Sampling::Consecutive, _) if frames >= wanted => {
            let start = (frames - wanted) / 2;
            (start..start + wanted).collect()
        }
        (Sampling::Consecutive, _) => centres(),
        (Sampling::ReferenceFrames, _) => {
            let references: Vec<_> = (0..frames).filter(|frame| is_reference(*frame)).collect();
            centres().into_iter().map(|frame| nearest(&references, frame).unwrap_or(frame)).collect()
        }
    }
}

fn nearest(ascending: &[usize], frame: usize) -> Option<usize> {
    let after = ascending.partition_point(|candidate| *candidate < frame);
    let before = after.checked_sub(1).and_then(|at| ascending.get(at));
    before.into_iter().chain(ascending.get(after)).copied().min_by_key(|candidate| candidate.abs_diff(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(sampling: Sampling, frames: usize, wanted: usize, draw: Option<u64>) -> Vec<usize> {
        every(1, sampling, frames, wanted, draw)
    }

    fn every(skip_frames: usize, sampling: Sampling, frames: usize, wanted: usize, draw: Option<u64>) -> Vec<usize> {
        let spec = ClipSpec { sampling, skip_frames, ..ClipSpec::uniform(wanted, 32, 32, 1) };
        choose(&spec, frames, draw, |frame| frame % 10 == 0)
    }

    #[test]
    fn uniform_picks_are_the_centres_of_equal_parts() {
        let uniform = |frames, wanted| picks(Sampling::Uniform, frames, wanted, Some(1));
        assert_eq!(uniform(100, 4), [12, 37, 62, 87]);
        assert_eq!(uniform(4, 4), [0, 1, 2, 3]);
        assert_eq!(uniform(3, 1), [1]);
        assert_eq!(uniform(3, 6), [0, 0, 1, 1, 2, 2]);
        assert_eq!(uniform(1, 3), [0, 0, 0]);
    }

    #[test]
    fn random_picks_stay_in_their_parts_and_follow_the_draw() {
        let random = |draw| picks(Sampling::RandomSegment, 100, 4, draw);
        assert_eq!(random(None), [12, 37, 62, 87]);
        assert_eq!(random(Some(7)), random(Some(7)));
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let picks = random(Some(seed));
            assert!(picks.iter().enumerate().all(|(part, frame)| (25 * part..25 * (part + 1)).contains(frame)));
            seen.insert(picks[3]);
        }
        assert_eq!((seen.len(), seen.first(), seen.last()), (25, Some(&75), Some(&99)), "every frame has its chance");
        assert_eq!(picks(Sampling::RandomSegment, 2, 4, Some(3)), [0, 0, 1, 1]);
    }

    #[test]
    fn consecutive_picks_are_in_the_middle() {
        assert_eq!(picks(Sampling::Consecutive, 11, 4, Some(1)), [3, 4, 5, 6]);
        assert_eq!(picks(Sampling::Consecutive, 4, 4, None), [0, 1, 2, 3]);
        assert_eq!(picks(Sampling::Consecutive, 2, 4, None), [0, 0, 1, 1]);
    }

    #[test]
    fn reference_picks_move_to_the_nearest() {
        assert_eq!(picks(Sampling::ReferenceFrames, 100, 4, None), [10, 40, 60, 90]);
        assert_eq!(picks(Sampling::ReferenceFrames, 31, 1, None), [10], "15 lies as near to 20");
        let spec = ClipSpec { sampling: Sampling::ReferenceFrames, ..ClipSpec::uniform(4, 32, 32, 1) };
        assert_eq!(choose(&spec, 100, None, |_| false), [12, 37, 62, 87]);
    }

    #[test]
    fn skipped_frames_are_never_picked() {
        assert_eq!(every(2, Sampling::Consecutive, 11, 4, None), [2, 4, 6, 8], "the middle of 0, 2, 4, 6, 8, 10");
        assert_eq!(every(3, Sampling::Uniform, 100, 4, None), [12, 36, 63, 87]);
        assert_eq!(every(4, Sampling::ReferenceFrames, 100, 2, None), [20, 80], "20 and 80 are among 0, 4, 8");
        assert_eq!(every(100, Sampling::Uniform, 3, 2, None), [0, 0]);
        let random = every(7, Sampling::RandomSegment, 100, 5, Some(1));
        assert!(random.iter().all(|frame| frame % 7 == 0 && *frame < 100), "{random:?}");
    }
}
