//! The seeds of all random choices about the clips of an epoch. Knows nothing of the choices.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of all random choices about the clips of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// How often the epoch contained the video before.
    visit: usize,
}

impl Draw {
    /// The draw of an epoch of a run with this seed.
    #[must_use]
    pub fn new(seed: u64, epoch: u32) -> Self {
        Self { seed, epoch, visit: 0 }
    }

    /// The draw for the `visit`-th time, counted from 0, that an epoch contains the same video.
    pub(crate) fn of_visit(self, visit: usize) -> Self {
        Self { visit, ..self }
    }

    /// One of `count` clips of a video. The visits of an epoch take them in turn, from one that is drawn.
    pub(super) fn clip(self, video: usize, count: usize) -> usize {
        let first = self.of_visit(0).of(video, "clip") % count as u64;
        (first as usize + self.visit) % count
    }

    /// The seed of all choices about one batch of the epoch.
    pub(crate) fn of_batch(self, batch: usize) -> u64 {
        self.of(batch, "batch")
    }

    /// The seed of one kind of choice about one video. It does not depend on thread or time.
    pub(super) fn of(self, video: usize, purpose: &str) -> u64 {
        let seed = match self.visit {
            0 => self.seed,
            visit => self.of_visit(0).of(visit, "visit"),
        };
        let epoch = self.epoch.to_le_bytes();
        let video = (video as u64).to_le_bytes();
        xxh3_64_with_seed(&[&epoch[..], &video, purpose.as_bytes()].concat(), seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_video_epoch_seed_and_purpose_draws_its_own() {
        let draw = Draw::new;
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
        let draw = Draw::new(1, 3);
        assert_eq!(draw.of_visit(0), draw);
        let seeds = [0, 1, 2].map(|visit| draw.of_visit(visit).of(7, "frames"));
        assert_eq!(seeds.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    }

    #[test]
    fn the_visits_of_an_epoch_take_all_clips_of_a_video_in_turn_from_any_of_them() {
        let clips = |video, epoch| [0, 1, 2, 3].map(|visit| Draw::new(1, epoch).of_visit(visit).clip(video, 4));
        let mut firsts = std::collections::HashSet::new();
        for (video, epoch) in (0..8).flat_map(|video| (0..4).map(move |epoch| (video, epoch))) {
            let [first, ..] = clips(video, epoch);
            assert_eq!(clips(video, epoch), [0, 1, 2, 3].map(|visit| (first + visit) % 4));
            firsts.insert(first);
        }
        assert_eq!(firsts.len(), 4);
    }
}
