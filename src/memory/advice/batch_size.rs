//! Batch sizes: candidates for the place of the configured one, and the choice for `training.batch_size: auto`. What
//! fits is computed in `budget.rs`; the search by trial steps is in `trials.rs`.

use super::budget::MemoryBudget;
use super::facts::{DeviceFacts, HostFacts};
use crate::config::{BatchSize, Config};
use crate::memory::predict::Estimate;

/// The limit of `training.gradient_accumulation`.
const MOST_ACCUMULATION: usize = 4096;
/// The largest batch that advice looks for.
pub(super) const LARGEST_BATCH: usize = 256;
/// The sizes that may take the place of `training.batch_size: auto`. More clips a step would need another learning
/// rate.
const AUTO_SIZES: [usize; 10] = [32, 24, 16, 12, 8, 6, 4, 3, 2, 1];

/// The configuration for each batch size that could take the place of the configured one, from small to large.
#[must_use]
pub fn batch_sizes(config: &Config) -> Vec<Config> {
    batch_size_candidates(config).into_iter().rev().collect()
}

/// The choice for `training.batch_size: auto`.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenBatchSize {
    /// The configuration with a number in place of `auto`.
    pub config: Config,
    /// Its predicted step.
    pub estimate: Estimate,
}

/// Puts a number in place of `training.batch_size: auto`, at most `most_clips`, by prediction alone.
#[must_use]
pub fn choose_batch_size(config: &Config, device: &DeviceFacts, host: HostFacts, most_clips: usize) -> ChosenBatchSize {
    let budget = MemoryBudget::new(device, host);
    let config = with_chosen_batch_size(config, &budget, most_clips);
    ChosenBatchSize { estimate: budget.step(&config), config }
}

/// The configuration with a number in place of `training.batch_size: auto`: the largest candidate that is predicted to
/// fit and is not above `most_clips`, or 1. Any other configuration stays as it is.
pub(super) fn with_chosen_batch_size(config: &Config, budget: &MemoryBudget, most_clips: usize) -> Config {
    if config.training.batch_size != BatchSize::Auto {
        return config.clone();
    }
    let sizes =
        batch_size_candidates(config).into_iter().filter(|sized| sized.training.batch_size.clips() <= most_clips);
    let sizes: Vec<_> = sizes.collect();
    // The size fits beside the cache as it is configured or, where none does, with a smaller cache.
    let found =
        sizes.iter().find(|sized| budget.fits(sized)).or_else(|| sizes.iter().find(|sized| budget.device_fits(sized)));
    found.cloned().unwrap_or_else(|| with_batch_size(config, 1))
}

/// The configuration for each candidate, from large to small: the configured size and the smaller ones that divide the
/// effective batch. Where the size is `auto`, the candidates are a fixed list, and accumulation stays.
pub(super) fn batch_size_candidates(config: &Config) -> Vec<Config> {
    match config.training.batch_size {
        BatchSize::Auto => AUTO_SIZES.into_iter().map(|clips| with_batch_size(config, clips)).collect(),
        BatchSize::Clips(largest) => {
            (1..=largest).rev().filter_map(|clips| with_same_effective_batch(config, clips)).collect()
        }
    }
}

/// The configuration with another batch size.
fn with_batch_size(config: &Config, clips: usize) -> Config {
    let mut sized = config.clone();
    sized.training.batch_size = BatchSize::Clips(clips);
    sized
}

/// The configuration with batches of `clips` and the same effective batch, where `clips` divides that.
pub(super) fn with_same_effective_batch(config: &Config, clips: usize) -> Option<Config> {
    let effective = config.training.effective_batch();
    let accumulation = effective / clips;
    let even = effective.is_multiple_of(clips) && accumulation <= MOST_ACCUMULATION;
    even.then(|| {
        let mut sized = with_batch_size(config, clips);
        sized.training.gradient_accumulation = accumulation;
        sized
    })
}
