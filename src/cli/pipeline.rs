//! What `train` and `evaluate` both need: the stop flag, the cache budget, and videos made ready.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use bytesize::ByteSize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::config::Config;
use crate::data::{ClipSource, ClipSpec, FrameCache, Loader, Manifest, Split};
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
    Arc::new(ClipSource::new(manifest, ClipSpec::of(&config.data), Arc::new(FrameCache::new(budget_bytes))))
}

/// The configured number of threads, each with its batches kept ready.
pub(super) fn loader(config: &Config, source: Arc<ClipSource>) -> Loader {
    let workers = config.dataloader.num_workers;
    Loader::new(source, workers, workers.max(1) * config.dataloader.prefetch_factor)
}

/// What a run's own test videos are called where sets are listed by name.
pub(super) const OWN_TEST: &str = "test";

/// Videos of a manifest under a name.
pub(super) type NamedSet = (String, Vec<usize>);

/// The usable test videos of a run: its own, and those of each other data set by its folder's name.
pub(super) fn test_sets(manifest: &Manifest) -> Vec<NamedSet> {
    let mut sets = vec![(OWN_TEST.to_owned(), manifest.indices(Split::Test))];
    let others = manifest.indices(Split::CrossTest);
    for (number, set) in manifest.sets.iter().enumerate() {
        let videos: Vec<_> = others.iter().copied().filter(|video| manifest.videos[*video].set == number).collect();
        let name = set.name();
        let taken = sets.iter().any(|(other, _)| *other == name);
        sets.push((if taken { set.root.display().to_string() } else { name }, videos));
    }
    sets.retain(|(_, videos)| !videos.is_empty());
    sets
}
