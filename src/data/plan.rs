//! In which order videos are visited, and which go into a batch together. Pure functions.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What decides everything random about the clips of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The run's.
    pub seed: u64,
    /// Which epoch.
    pub epoch: u32,
}

impl Draw {
    /// A seed for one use of one video: the same whoever asks and whenever.
    pub(super) fn of(self, video: usize, purpose: &str) -> u64 {
        let epoch = self.epoch.to_le_bytes();
        let video = (video as u64).to_le_bytes();
        xxh3_64_with_seed(&[&epoch[..], &video, purpose.as_bytes()].concat(), self.seed)
    }
}

/// Part `index` of `count` parts that are as equal as can be and together are all of `videos`; the same on every machine.
#[must_use]
pub fn shard(videos: &[usize], index: usize, count: usize) -> Vec<usize> {
    videos.iter().copied().skip(index).step_by(count.max(1)).collect()
}

/// One epoch of training: all videos once in an order that `seed` and `epoch` alone decide, cut into batches.
///
/// `drop_last` leaves out a last batch that is short, except where it is the only one.
#[must_use]
pub fn epoch_plan(videos: &[usize], seed: u64, epoch: u32, batch_size: usize, drop_last: bool) -> Vec<Vec<usize>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(epoch));
    let mut order = videos.to_vec();
    order.shuffle(&mut rng);
    let mut plan = sequential_plan(&order, batch_size);
    if drop_last && plan.len() > 1 && plan.last().is_some_and(|batch| batch.len() < batch_size) {
        plan.pop();
    }
    plan
}

/// All videos in the order given, cut into batches.
#[must_use]
pub fn sequential_plan(videos: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    videos.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_epoch_decide_the_order_and_every_video_comes_once() {
        let videos: Vec<usize> = (100..150).collect();
        let plan = |seed, epoch| epoch_plan(&videos, seed, epoch, 8, false);
        assert_eq!(plan(1, 2), plan(1, 2));
        assert_ne!(plan(1, 2), plan(1, 3));
        assert_ne!(plan(1, 2), plan(2, 2));
        assert_ne!(plan(1, 2), sequential_plan(&videos, 8));
        assert_eq!(plan(1, 2).iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 8, 8, 8, 8, 2]);
        let mut seen = plan(1, 2).concat();
        seen.sort_unstable();
        assert_eq!(seen, videos);
    }

    #[test]
    fn shards_are_equal_and_all_of_it() {
        let videos: Vec<usize> = (10..21).collect();
        let shards: Vec<_> = (0..3).map(|index| shard(&videos, index, 3)).collect();
        assert_eq!(shards.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 3]);
        let mut all = shards.concat();
        all.sort_unstable();
        assert_eq!(all, videos);
    }

    #[test]
    fn every_video_epoch_seed_and_purpose_draws_its_own() {
        let draw = |seed, epoch| Draw { seed, epoch };
        let seeds = [
            draw(1, 0).of(0, "frames"),
            draw(2, 0).of(0, "frames"),
            draw(1, 1).of(0, "frames"),
            draw(1, 0).of(1, "frames"),
            draw(1, 0).of(0, "augmentation"),
        ];
        assert_eq!(seeds.iter().collect::<std::collections::HashSet<_>>().len(), 5);
        assert_eq!(seeds[0], draw(1, 0).of(0, "frames"));
    }

    #[test]
    fn the_batch_size_does_not_change_the_order() {
        let videos: Vec<usize> = (0..20).collect();
        assert_eq!(epoch_plan(&videos, 5, 0, 3, false).concat(), epoch_plan(&videos, 5, 0, 20, false).concat());
    }

    #[test]
    fn a_short_last_batch_is_dropped_unless_it_is_all_there_is() {
        let videos: Vec<usize> = (0..10).collect();
        assert_eq!(epoch_plan(&videos, 0, 0, 4, true).len(), 2);
        assert_eq!(epoch_plan(&videos, 0, 0, 5, true).len(), 2);
        assert_eq!(epoch_plan(&videos, 0, 0, 40, true).len(), 1);
        assert!(epoch_plan(&[], 0, 0, 4, true).is_empty());
        assert_eq!(sequential_plan(&videos, 4), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    }
}
