//! Loader and frame cache that fit the cores and the memory of the host. The memory that they take is predicted in
//! `predict/loader.rs`.

use super::budget::MemoryBudget;
use crate::config::{AutoBytes, Config, Switch};

/// A cache smaller than this is not worth its bookkeeping.
const SMALLEST_CACHE_BYTES: u64 = 256 << 20;

/// The configuration with a loader and a frame cache that fit the cores and the memory of the host.
pub(super) fn fit_loader(config: &Config, budget: &MemoryBudget) -> Config {
    let mut fitted = config.clone();
    match_cores(&mut fitted, budget);
    fit_host_memory(&mut fitted, budget);
    fitted
}

/// Makes cache and loader fit the host memory that the step leaves: the cache shrinks first, because that only costs
/// time.
fn fit_host_memory(config: &mut Config, budget: &MemoryBudget) {
    let shrinks: [fn(&mut Config); 3] = [
        |_| {},
        |config| config.dataloader.prefetch_factor = 1,
        |config| config.dataloader.num_workers = config.dataloader.num_workers.min(1),
    ];
    for shrink in shrinks {
        shrink(config);
        if budget.host_fits(config) {
            return;
        }
        let left_bytes = budget.host_bytes.saturating_sub(budget.host_work_bytes(config));
        let cache_bytes = left_bytes / SMALLEST_CACHE_BYTES * SMALLEST_CACHE_BYTES;
        if cache_bytes > 0 && budget.cache_bytes(config) > 0 {
            config.cache.memory_bytes = AutoBytes::Bytes(cache_bytes);
            return;
        }
    }
    config.cache.enable_cache = Switch::Off;
}

/// Sets the number of decoding threads: not more than there are cores, and not so few that the trainer waits for them.
fn match_cores(config: &mut Config, budget: &MemoryBudget) {
    let workers = config.dataloader.num_workers;
    let cores = budget.host.cores.max(1);
    let mut matched = config.clone();
    matched.dataloader.num_workers = workers.clamp((cores / 2).min(4), cores);
    if matched.dataloader.num_workers < workers || budget.fits(&matched) {
        *config = matched;
    }
}

/// The configuration with the loader that takes the least memory, without a frame cache.
pub(super) fn leanest_loader(config: &Config) -> Config {
    let mut lean = config.clone();
    lean.cache.enable_cache = Switch::Off;
    lean.dataloader.prefetch_factor = 1;
    lean.dataloader.num_workers = lean.dataloader.num_workers.min(1);
    lean
}
