//! mixup and CutMix: each clip of a batch is mixed with the one at the mirrored position, frame by frame, and so is the
//! target. Knows nothing of tensors, and does not choose the batches.
//!
//! Sources: Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019. As in timm's `Mixup` (mode `batch`), one
//! share is drawn for a batch, and where both are on, one of the two.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

use super::host_batch::HostBatch;
use crate::clip::ReadClip;
use crate::config::AugmentationConfig;
use crate::dataset::Label;

/// The mixing of the clips of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixing {
    /// The parameter of the Beta distribution of each; 0 = off.
    mixup: f64,
    cutmix: f64,
}

impl Mixing {
    /// As configured; `None` if both are off.
    pub(super) fn new(config: &AugmentationConfig) -> Option<Self> {
        config.mixes().then_some(Self { mixup: config.mixup, cutmix: config.cutmix })
    }

    /// Mixes the clips of a batch, whose frames are `height` x `width` pixels.
    pub(super) fn apply(&self, batch: &mut HostBatch, [height, width]: [usize; 2], seed: u64) {
        let clips = batch.labels.len();
        if clips < 2 {
            return;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cuts = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (true, true) => rng.random_bool(0.5),
            (_, cutmix) => cutmix,
        };
        let alpha = if cuts { self.cutmix } else { self.mixup };
        // The share that a clip keeps of itself. Only with an alpha of 0 there is no such distribution.
        let own = Beta::new(alpha, alpha).map_or(1.0, |beta| beta.sample(&mut rng));
        let rows = width * 3;
        let pairs = (0..clips / 2).map(|clip| (clip, clips - 1 - clip));
        let own = if cuts {
            let [top, bottom, left, right] = cut(&mut rng, own, [height, width]);
            for (a, b) in pairs {
                let (a, b) = both(&mut batch.clips, a, b);
                for (row, (a, b)) in a.chunks_exact_mut(rows).zip(b.chunks_exact_mut(rows)).enumerate() {
                    if (top..bottom).contains(&(row % height)) {
                        a[3 * left..3 * right].swap_with_slice(&mut b[3 * left..3 * right]);
                    }
                }
            }
            1.0 - ((bottom - top) * (right - left)) as f64 / (height * width) as f64
        } else {
            // Whole numbers, which the compiler turns into vector instructions.
            let share = (own * 65536.0).round() as u32;
            let mixed = |own: u32, other: u32| ((own * share + other * (65536 - share) + 32768) >> 16) as u8;
            for (a, b) in pairs {
                let (a, b) = both(&mut batch.clips, a, b);
                for (a, b) in a.iter_mut().zip(b) {
                    let (x, y) = (u32::from(*a), u32::from(*b));
                    (*a, *b) = (mixed(x, y), mixed(y, x));
                }
            }
            own
        };
        let fake = |clip: usize| f64::from(u8::from(batch.labels[clip] == Label::Fake));
        batch.fake_shares = (0..clips).map(|clip| own * fake(clip) + (1.0 - own) * fake(clips - 1 - clip)).collect();
    }
}

/// The bytes of two clips; `a` is below `b`. Clips that the cache shares are copied.
fn both(clips: &mut [Arc<ReadClip>], a: usize, b: usize) -> (&mut [u8], &mut [u8]) {
    let (first, second) = clips.split_at_mut(b);
    (&mut Arc::make_mut(&mut first[a]).thwc, &mut Arc::make_mut(&mut second[0]).thwc)
}

/// A rectangle of the frame's shape with about `1 - own` of its area: top, bottom, left, right. Its centre is anywhere,
/// so that a part of it may be outside the frame.
fn cut(rng: &mut ChaCha8Rng, own: f64, size: [usize; 2]) -> [usize; 4] {
    let side = (1.0 - own).sqrt();
    let [[top, bottom], [left, right]] = size.map(|length| {
        let (half, centre) = ((length as f64 * side) as usize / 2, rng.random_range(0..length));
        [centre.saturating_sub(half), (centre + half).min(length)]
    });
    [top, bottom, left, right]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [8, 6];

    /// Clips of two frames, each of one level: real, fake, fake, real, and so on.
    fn batch(levels: &[u8]) -> HostBatch {
        let frames_bthwc: Vec<_> = levels.iter().flat_map(|level| vec![*level; 2 * 8 * 6 * 3]).collect();
        let label = |at: usize| if matches!(at % 4, 0 | 3) { Label::Real } else { Label::Fake };
        HostBatch::of_bytes(&frames_bthwc, (0..levels.len()).map(label).collect())
    }

    fn mixing(mixup: f64, cutmix: f64) -> Mixing {
        Mixing::new(&AugmentationConfig { mixup, cutmix, ..AugmentationConfig::default() }).unwrap()
    }

    /// The share of each clip's pixels that show its own level.
    fn own_pixels(batch: &HostBatch, levels: &[u8]) -> Vec<f64> {
        let clips = batch.clips.iter().map(|clip| &clip.thwc).zip(levels);
        clips
            .map(|(clip, level)| clip.iter().filter(|value| *value == level).count() as f64 / clip.len() as f64)
            .collect()
    }

    #[test]
    fn mixup_adds_pixels_and_targets_with_the_same_shares() {
        let mut shares = Vec::new();
        for seed in 0..50 {
            let mut batch = batch(&[0, 200, 100, 40, 80]);
            mixing(0.8, 0.0).apply(&mut batch, SIZE, seed);
            // Real 0 is mixed with real 80 (the fifth), fake 200 with real 40, and fake 100 with itself.
            let level = |clip: usize| f64::from(batch.clips[clip].thwc[0]);
            let own = 1.0 - level(0) / 80.0;
            let expected =
                [80.0 * (1.0 - own), 200.0 * own + 40.0 * (1.0 - own), 100.0, 40.0 * own + 200.0 * (1.0 - own)];
            (0..4).for_each(|clip| assert!((level(clip) - expected[clip]).abs() < 3.0, "{clip}: {}", level(clip)));
            let targets = [0.0, own, 1.0, 1.0 - own, 0.0];
            let close = |(a, b): (&f64, f64)| (a - b).abs() < 0.01;
            assert!(batch.fake_shares.iter().zip(targets).all(close), "{:?}", batch.fake_shares);
            shares.push(own);
        }
        let mean = shares.iter().sum::<f64>() / 50.0;
        assert!((0.35..0.65).contains(&mean) && shares.iter().any(|own| (own - mean).abs() > 0.3), "{shares:?}");
    }

    #[test]
    fn cutmix_exchanges_the_same_rectangle_of_all_frames_and_targets_are_its_exact_area() {
        let levels = [10, 20, 30, 40];
        for seed in 0..50 {
            let mut batch = batch(&levels);
            mixing(0.0, 1.0).apply(&mut batch, SIZE, seed);
            let own = own_pixels(&batch, &levels);
            assert!(own.iter().all(|share| *share == own[0]), "{own:?}");
            let expected = [0.0, 1.0, 1.0, 0.0];
            assert_eq!(batch.fake_shares, expected, "real with real, fake with fake");
            let bytes = batch.frames_bthwc();
            let frames: Vec<_> = bytes.chunks(8 * 6 * 3).collect();
            assert!(frames[0] == frames[1] && frames[6] == frames[7]);
        }
        let mixed = |seed: u64| {
            let mut pair = batch(&[10, 20]);
            mixing(0.0, 1.0).apply(&mut pair, SIZE, seed);
            let own = own_pixels(&pair, &[10, 20])[0];
            let targets = [1.0 - own, own];
            assert!(pair.fake_shares.iter().zip(targets).all(|(a, b)| (a - b).abs() < 1e-9), "seed {seed}: {own}");
            (0.01..0.99).contains(&own)
        };
        assert!((0..50).filter(|seed| mixed(*seed)).count() > 25);
    }

    #[test]
    fn a_seed_mixes_alike_and_both_are_drawn_where_both_are_on() {
        let mixed = |seed| {
            let mut batch = batch(&[10, 20, 30, 40]);
            mixing(1.0, 1.0).apply(&mut batch, SIZE, seed);
            batch
        };
        assert!(mixed(5) == mixed(5));
        let cut = |seed: &u64| own_pixels(&mixed(*seed), &[10, 20, 30, 40])[0] > 0.0;
        let cuts = (0..100).filter(cut).count();
        assert!((30..75).contains(&cuts), "{cuts} of 100");
        let mut one = batch(&[10]);
        mixing(1.0, 0.0).apply(&mut one, SIZE, 1);
        assert!(one == batch(&[10]));
        assert_eq!(Mixing::new(&AugmentationConfig::default()), None);
        assert_eq!(
            Mixing::new(&AugmentationConfig { enabled: false, mixup: 1.0, ..AugmentationConfig::default() }),
            None
        );
    }
}
