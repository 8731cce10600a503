//! The cache in host memory, up to a budget.
//!
//! An epoch reads every video once, in random order. So no clip is evicted for another one: the next epoch needs both
//! equally. This file knows nothing of how clips are made. Decoder threads share the cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::read_clip::ReadClip;

/// Clips by the index of their video, for any number of threads.
#[derive(Debug)]
pub(super) struct MemoryCache {
    configured_bytes: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    budget_bytes: u64,
    clips: BTreeMap<usize, Arc<ReadClip>>,
    bytes: u64,
}

impl MemoryCache {
    /// A cache of at most this size; 0 = nothing is cached.
    pub(super) fn new(budget_bytes: u64) -> Self {
        let inner = Inner { budget_bytes, clips: BTreeMap::new(), bytes: 0 };
        Self { configured_bytes: budget_bytes, inner: Mutex::new(inner) }
    }

    pub(super) fn get(&self, video: usize) -> Option<Arc<ReadClip>> {
        self.lock().clips.get(&video).cloned()
    }

    /// Stores a clip if it fits.
    pub(super) fn insert(&self, video: usize, clip: &Arc<ReadClip>) {
        let mut inner = self.lock();
        let bytes = inner.bytes + clip.bytes();
        if bytes <= inner.budget_bytes && !inner.clips.contains_key(&video) {
            inner.bytes = bytes;
            inner.clips.insert(video, clip.clone());
        }
    }

    /// Whether a clip of this size fits.
    pub(super) fn has_room(&self, clip_bytes: u64) -> bool {
        let inner = self.lock();
        inner.bytes + clip_bytes <= inner.budget_bytes
    }

    /// Sets the budget, at most to the configured one, and drops clips until they fit.
    pub(super) fn set_budget(&self, budget_bytes: u64) {
        let mut inner = self.lock();
        inner.budget_bytes = budget_bytes.min(self.configured_bytes);
        while inner.bytes > inner.budget_bytes {
            let Some((_, clip)) = inner.clips.pop_last() else {
                break;
            };
            inner.bytes -= clip.bytes();
        }
    }

    pub(super) fn budget_bytes(&self) -> u64 {
        self.lock().budget_bytes
    }

    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// A poisoned lock is used on, because a thread that panicked cannot have left the maps half-changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(bytes: usize) -> Arc<ReadClip> {
        Arc::new(ReadClip { thwc: vec![7; bytes], ..ReadClip::default() })
    }

    #[test]
    fn the_budget_is_kept_and_what_is_in_stays() {
        let cache = MemoryCache::new(10);
        cache.insert(1, &clip(6));
        assert!(!cache.has_room(5) && cache.has_room(4));
        cache.insert(2, &clip(5));
        assert!(cache.get(2).is_none(), "11 of 10 bytes");
        cache.insert(3, &clip(4));
        assert!(cache.get(3).is_some(), "exactly full");
        cache.insert(4, &clip(1));
        assert!(cache.get(4).is_none());
        cache.insert(1, &clip(6));
        assert_eq!(cache.get(1), Some(clip(6)));
        assert_eq!(cache.bytes(), 10);
    }

    #[test]
    fn a_budget_of_zero_keeps_nothing() {
        let cache = MemoryCache::new(0);
        cache.insert(0, &clip(1));
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn shrinking_frees_memory_and_growing_ends_at_what_was_configured() {
        let cache = MemoryCache::new(12);
        let kept = clip(4);
        for (video, clip) in [clip(4), clip(4), kept.clone()].iter().enumerate() {
            cache.insert(video, clip);
        }
        cache.set_budget(9);
        assert_eq!(cache.bytes(), 8);
        assert_eq!(Arc::strong_count(&kept), 1, "the cache let go of it");
        cache.insert(9, &clip(4));
        assert!(cache.get(9).is_none());
        cache.set_budget(100);
        assert_eq!(cache.budget_bytes(), 12);
        cache.insert(9, &clip(4));
        assert!(cache.get(9).is_some(), "there is room again");
        cache.set_budget(0);
        assert_eq!(cache.bytes(), 0);
    }
}
