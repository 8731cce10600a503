//! What `train` and `evaluate` both need: the stop flag, the cache budget, and videos made ready.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use bytesize::ByteSize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::config::Config;
use crate::data::{ClipCache, ClipSource, ClipSpec, Loader, LoaderPlan, Manifest};
use crate::memory::{Snapshot, cache_budget_bytes};

/// A flag that Ctrl-C and termination set; a second signal ends the process at once with code 130.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .context("signals cannot be handled")?;
    }
    Ok(stop)
}

/// Clips of a manifest's videos through a cache of the configured size.
pub(super) fn clip_source(config: &Config, manifest: &Manifest) -> Arc<ClipSource> {
    let budget_bytes = cache_budget_bytes(&config.cache, Snapshot::take().host_free_bytes());
    match budget_bytes {
        0 => tracing::info!("frame cache: off"),
        bytes => tracing::info!("frame cache: up to {}", ByteSize(bytes)),
    }
    let cache = Arc::new(ClipCache::new(budget_bytes, None));
    Arc::new(ClipSource::new(manifest, ClipSpec::of(&config.data), cache).with_augmentation(&config.augmentation))
}

/// The configured number of threads, each with its batches kept ready.
pub(super) fn loader(config: &Config, source: Arc<ClipSource>) -> Loader {
    let workers = config.dataloader.num_workers;
    let window_clips = workers.max(1) * config.dataloader.prefetch_factor * config.training.batch_size;
    Loader::new(source, &LoaderPlan::fixed(workers, window_clips))
}
