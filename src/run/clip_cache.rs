//! The size of the clip cache in memory and on disk, from the configuration and the free space. Reads and keeps no
//! clips; that is `clip`.

use crate::clip::{CachePlan, DiskCache, free_disk_bytes, plan_cache};
use crate::config::Config;
use crate::dataset::Manifest;
use crate::video::ClipSpec;

/// How much of memory and disk the cache takes.
pub(super) fn plan_clip_cache(config: &Config, manifest: &Manifest, spec: &ClipSpec, memory_bytes: u64) -> CachePlan {
    let directory = &config.cache.directory;
    let needed_bytes = (manifest.videos.len() * spec.clip_bytes()) as u64;
    let free_bytes = free_disk_bytes(directory).unwrap_or_else(|error| {
        tracing::warn!("{}: nothing is cached on disk: {error}", directory.display());
        0
    });
    plan_cache(&config.cache, needed_bytes, free_bytes, memory_bytes)
}

/// The part on disk, if there is one.
pub(super) fn open_disk(config: &Config, plan: &CachePlan) -> Option<DiskCache> {
    (plan.disk_bytes > 0).then(|| DiskCache::open(&config.cache.directory, plan.disk_bytes))
}
