//! What decides the randomness of an epoch's clips, and plans that hold no randomness. Pure functions.

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
    /// For the `visit`-th time, counted from 0, that an epoch shows the same video: each time its own draw.
    pub(super) fn of_visit(self, visit: usize) -> Self {
        match visit {
            0 => self,
            visit => Self { seed: self.of(visit, "visit"), ..self },
        }
    }

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

/// All videos in the order given, cut into batches.
#[must_use]
pub fn sequential_plan(videos: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    videos.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn each_visit_draws_its_own() {
        let draw = Draw { seed: 1, epoch: 3 };
        assert_eq!(draw.of_visit(0), draw);
        let seeds = [0, 1, 2].map(|visit| draw.of_visit(visit).of(7, "frames"));
        assert_eq!(seeds.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    }

    #[test]
    fn plans_without_randomness_keep_the_order() {
        let videos: Vec<usize> = (0..10).collect();
        assert_eq!(sequential_plan(&videos, 4), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    }
}
