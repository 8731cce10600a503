//! Both caches behind one type: memory, then disk. Knows nothing of how clips are made.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::disk::DiskCache;
use super::key::ClipKey;
use super::memory::MemoryCache;
use super::note_store::NoteStore;
use super::read_clip::ReadClip;
use super::stats::CacheStats;
use crate::dataset::Footage;
use crate::video::ClipSpec;

/// The content of a video, by which its clips are found on disk; `None` without a cache on disk, and for a video whose
/// properties cannot be read. It is determined before the video is read, so that a video which changes meanwhile does
/// not leave its old clip behind as that of the new content.
#[derive(Debug, Clone, Copy)]
pub(in crate::clip) struct Content(pub(super) Option<u128>);

impl Content {
    pub(in crate::clip) fn is_known(self) -> bool {
        self.0.is_some()
    }
}

/// The cache of clips in memory and on disk, for any number of threads.
#[derive(Debug)]
pub struct ClipCache {
    memory: MemoryCache,
    pub(super) disk: Option<DiskCache>,
    /// Notes, where they are not on disk.
    pub(super) notes: Mutex<NoteStore>,
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
        Self { memory: MemoryCache::new(memory_bytes), disk, notes: Mutex::default(), counts: Counts::default() }
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

    /// The content of a video.
    pub(in crate::clip) fn content(&self, footage: &Footage) -> Content {
        Content(self.disk.as_ref().and_then(|disk| disk.content(footage)))
    }

    /// The clip of a video, if it is cached and not damaged. `crop` has the settings that decide it apart from `spec`.
    pub(in crate::clip) fn get(
        &self,
        video: usize,
        content: Content,
        spec: &ClipSpec,
        crop: &str,
    ) -> Option<Arc<ReadClip>> {
        if let Some(clip) = self.memory.get(video) {
            count(&self.counts.hits);
            return Some(clip);
        }
        let key = || Some(ClipKey::new(content.0?, spec, crop));
        let found = self.disk.as_ref().and_then(|disk| disk.get(&key()?));
        // Reading a video that is too short for these settings says so.
        let found = found.filter(|clip| clip.usable_frames >= spec.min_frames);
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
        content: Content,
        spec: &ClipSpec,
        crop: &str,
    ) {
        self.memory.insert(video, clip);
        if let (Some(disk), Content(Some(content))) = (&self.disk, content) {
            disk.insert(&ClipKey::new(content, spec, crop), clip);
        }
    }

    /// The data that is stored with a clip, if it is cached and the video need not be opened. Loads the clip into
    /// memory if it fits. This is not counted as a use.
    pub(in crate::clip) fn preload(
        &self,
        video: usize,
        content: Content,
        spec: &ClipSpec,
        crop: &str,
    ) -> Option<Vec<u8>> {
        if let Some(clip) = self.memory.get(video) {
            return Some(clip.meta.clone());
        }
        let disk = self.disk.as_ref()?;
        let key = ClipKey::new(content.0?, spec, crop);
        let has_room = self.memory.has_room(spec.clip_bytes() as u64);
        let clip = if has_room { disk.get(&key)? } else { disk.peek(&key)? };
        let clip = Some(Arc::new(clip)).filter(|clip| clip.usable_frames >= spec.min_frames)?;
        if has_room {
            self.memory.insert(video, &clip);
        }
        Some(clip.meta.clone())
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

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
