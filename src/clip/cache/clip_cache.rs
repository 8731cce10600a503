//! Both caches behind one type: memory, then disk. Knows nothing of how clips are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::DiskCache;
use super::memory::MemoryCache;
use super::read_clip::ReadClip;
use super::stats::CacheStats;
use crate::dataset::Footage;
use crate::video::ClipSpec;

/// The cache of clips in memory and on disk, for any number of threads.
#[derive(Debug)]
pub struct ClipCache {
    memory: MemoryCache,
    disk: Option<DiskCache>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    disk_hits: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
}

impl ClipCache {
    /// A cache of at most `memory_bytes` in memory (0 = none), and on `disk` if given.
    #[must_use]
    pub fn new(memory_bytes: u64, disk: Option<DiskCache>) -> Self {
        Self { memory: MemoryCache::new(memory_bytes), disk, counts: Counts::default() }
    }

    /// A cache that stores nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(0, None)
    }

    /// Whether clips are stored on disk.
    #[must_use]
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// The clip of a video, if it is cached and not damaged.
    pub(in crate::clip) fn get(
        &self,
        video: usize,
        footage: &Footage,
        spec: &ClipSpec,
        crop: &str,
    ) -> Option<Arc<ReadClip>> {
        if let Some(clip) = self.memory.get(video) {
            count(&self.counts.hits);
            return Some(clip);
        }
        let found = self.disk.as_ref().and_then(|disk| disk.get(&disk.key(footage, spec, crop)?));
        let Some(clip) = found.map(Arc::new) else {
            count(&self.counts.misses);
            return None;
        };
        count(&self.counts.disk_hits);
        self.memory.insert(video, &clip);
        Some(clip)
    }

    /// Stores a clip if it fits.
    pub(in crate::clip) fn insert(
        &self,
        video: usize,
        clip: &Arc<ReadClip>,
        footage: &Footage,
        spec: &ClipSpec,
        crop: &str,
    ) {
        self.memory.insert(video, clip);
        if let Some(disk) = &self.disk
            && let Some(key) = disk.key(footage, spec, crop)
        {
            disk.insert(&key, clip);
        }
    }

    /// The data that is stored with a clip, if it is cached and the video need not be opened. Loads the clip into
    /// memory if it fits. This is not counted as a use.
    pub(in crate::clip) fn preload(
        &self,
        video: usize,
        footage: &Footage,
        spec: &ClipSpec,
        crop: &str,
    ) -> Option<Vec<u8>> {
        if let Some(clip) = self.memory.get(video) {
            return Some(clip.meta.clone());
        }
        let disk = self.disk.as_ref()?;
        let key = disk.key(footage, spec, crop)?;
        if !self.memory.has_room(spec.clip_bytes() as u64) {
            return disk.peek(&key);
        }
        let clip = Arc::new(disk.get(&key)?);
        self.memory.insert(video, &clip);
        Some(clip.meta.clone())
    }

    /// The note about a video with this `name`: a few bytes on disk, kept as long as clips.
    pub(in crate::clip) fn note(&self, footage: &Footage, spec: &ClipSpec, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk.as_ref()?;
        disk.peek(&disk.key(footage, &without_frames(spec), name)?)
    }

    /// Stores a note about a video.
    pub(in crate::clip) fn keep_note(&self, footage: &Footage, spec: &ClipSpec, name: &str, meta: Vec<u8>) {
        if let Some(disk) = &self.disk
            && let Some(key) = disk.key(footage, &without_frames(spec), name)
        {
            disk.insert(&key, &ReadClip { thwc: Vec::new(), meta });
        }
    }

    /// Whether another clip of this size would be stored, in memory or on disk.
    pub(in crate::clip) fn has_room(&self, clip_bytes: u64) -> bool {
        self.memory.has_room(clip_bytes) || self.disk.as_ref().is_some_and(|disk| disk.has_room())
    }

    pub(in crate::clip) fn count_bypassed(&self) {
        count(&self.counts.bypassed);
    }

    /// The current budget in memory.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.memory.budget_bytes()
    }

    /// Halves the cache in memory, for when memory is short. Returns whether it became smaller.
    pub fn shrink(&self) -> bool {
        let before = self.memory.budget_bytes();
        self.memory.set_budget(self.memory.bytes() / 2);
        before > 0
    }

    /// Doubles the budget in memory, up to the configured one. Returns whether it became larger.
    pub fn grow(&self) -> bool {
        // The smallest budget after growing, because twice 0 is 0.
        const MIN_BYTES: u64 = 64 << 20;
        let before = self.memory.budget_bytes();
        self.memory.set_budget(before.saturating_mul(2).max(MIN_BYTES));
        self.memory.budget_bytes() > before
    }

    /// The current counters.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let on_disk = self.disk.as_ref().map(DiskCache::stats).unwrap_or_default();
        CacheStats {
            hits: load(&self.counts.hits),
            disk_hits: load(&self.counts.disk_hits),
            misses: load(&self.counts.misses),
            bypassed: load(&self.counts.bypassed),
            bytes: self.memory.bytes(),
            ..on_disk
        }
    }
}

/// A note is stored as a clip without frames.
fn without_frames(spec: &ClipSpec) -> ClipSpec {
    ClipSpec { frames: 0, ..*spec }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
