//! The seeds of all random choices about the clips of an epoch. Knows nothing of the choices.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of all random choices about the clips of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
}

impl Draw {
    /// The draw for the `visit`-th time, counted from 0, that an epoch contains the same video.
    pub(crate) fn of_visit(self, visit: usize) -> Self {
        match visit {
            0 => self,
            visit => Self { seed: self.of(visit, "visit"), ..self },
        }
    }

    /// The seed of all choices about one batch of the epoch.
    pub(crate) fn of_batch(self, batch: usize) -> u64 {
        self.of(batch, "batch")
    }

    /// The seed of one kind of choice about one video. It does not depend on thread or time.
    pub(super) fn of(self, video: usize, purpose: &str) -> u64 {
        let epoch = self.epoch.to_le_bytes();
        let video = (video as u64).to_le_bytes();
        xxh3_64_with_seed(&[&epoch[..], &video, purpose.as_bytes()].concat(), self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
