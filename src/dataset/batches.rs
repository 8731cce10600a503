//! Lists of videos, cut into batches or into parts of equal size, without randomness. Knows nothing of epochs and
//! labels.

/// Part `index` of `count` parts of `videos`. The parts have nearly equal sizes and are the same on every machine.
#[must_use]
pub fn shard(videos: &[usize], index: usize, count: usize) -> Vec<usize> {
    videos.iter().copied().skip(index).step_by(count.max(1)).collect()
}

/// All videos in the given order, cut into batches.
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
    fn plans_without_randomness_keep_the_order() {
        let videos: Vec<usize> = (0..10).collect();
        assert_eq!(sequential_plan(&videos, 4), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    }
}
