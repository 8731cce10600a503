//! The seeds of all that is random about an epoch's clips. Pure functions.

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
    pub(crate) fn of_visit(self, visit: usize) -> Self {
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
