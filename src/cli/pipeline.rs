//! What `train`, `evaluate` and `data` share: the stop flag, and the way from a manifest to clips.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::config::{AutoBytes, Config};
use crate::data::{
    ClipCache, ClipSource, ClipSpec, DECODER_BYTES, DiskCache, Loader, LoaderNeeds, LoaderPlan, Manifest, Split,
    free_disk_bytes, plan_cache, plan_loader,
};
use crate::memory::Snapshot;

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

/// The clips of a manifest's videos, the cache they go through, and how the loader's memory is divided.
pub(super) struct Clips {
    pub source: Arc<ClipSource>,
    loader: LoaderPlan,
}

impl Clips {
    /// As configured, within `dataloader.host_memory_budget`. Where each clip is asked for `once`, none is kept in memory.
    pub fn new(config: &Config, manifest: &Manifest, once: bool) -> Self {
        let spec = ClipSpec::of(&config.data);
        let loader = plan_loader(host_memory_budget_bytes(config), &loader_needs(config, &spec));
        if let Some(why) = &loader.why {
            tracing::warn!("loader: {why}");
        }
        let memory_bytes = if once { 0 } else { loader.cache_bytes };
        let cache = open_cache(config, manifest, &spec, memory_bytes);
        let source = ClipSource::new(manifest, spec, Arc::new(cache)).with_augmentation(&config.augmentation);
        Self { source: Arc::new(source), loader }
    }

    pub fn loader(&self) -> Loader {
        Loader::new(self.source.clone(), &self.loader)
    }
}

fn host_memory_budget_bytes(config: &Config) -> u64 {
    match config.dataloader.host_memory_budget {
        AutoBytes::Auto => Snapshot::take().host_free_bytes() / 2,
        AutoBytes::Bytes(bytes) => bytes,
    }
}

fn loader_needs(config: &Config, spec: &ClipSpec) -> LoaderNeeds {
    LoaderNeeds {
        num_workers: config.dataloader.num_workers,
        prefetch_factor: config.dataloader.prefetch_factor,
        batch_size: config.training.batch_size,
        held_batches: config.training.gradient_accumulation,
        clip_bytes: spec.clip_bytes() as u64,
        worker_bytes: DECODER_BYTES,
    }
}

fn open_cache(config: &Config, manifest: &Manifest, spec: &ClipSpec, memory_bytes: u64) -> ClipCache {
    let directory = &config.cache.directory;
    let needed_bytes = (manifest.videos.len() * spec.clip_bytes()) as u64;
    let free_bytes = free_disk_bytes(directory).unwrap_or_else(|error| {
        tracing::warn!("{}: nothing is cached on disk: {error}", directory.display());
        0
    });
    let plan = plan_cache(&config.cache, needed_bytes, free_bytes, memory_bytes);
    tracing::info!("clip cache: {}", plan.why);
    let disk = (plan.disk_bytes > 0).then(|| DiskCache::open(directory, plan.disk_bytes));
    ClipCache::new(plan.memory_bytes, disk)
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
