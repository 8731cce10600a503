//! Decoded clips kept in host memory, up to a budget.
//!
//! An epoch visits every video once, in random order. So nothing is evicted to make room: a clip that is in is certain to
//! be used again, a new one no more so. Knows nothing of how clips are made. Used by the decoding threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clips by the number of their video; any thread may use it.
#[derive(Debug)]
pub struct FrameCache {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    budget_bytes: u64,
    clips: BTreeMap<usize, Arc<[u8]>>,
    stats: CacheStats,
}

/// What a cache did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Clips asked for that were there.
    pub hits: u64,
    /// Clips asked for that were not.
    pub misses: u64,
    /// Bytes of the clips that are there now.
    pub bytes: u64,
}

impl FrameCache {
    /// A cache that holds at most this much; 0 = nothing.
    #[must_use]
    pub fn new(budget_bytes: u64) -> Self {
        Self { inner: Mutex::new(Inner { budget_bytes, clips: BTreeMap::new(), stats: CacheStats::default() }) }
    }

    /// The clip of a video, where it is there.
    #[must_use]
    pub fn get(&self, video: usize) -> Option<Arc<[u8]>> {
        let mut inner = self.lock();
        let clip = inner.clips.get(&video).cloned();
        match clip {
            Some(_) => inner.stats.hits += 1,
            None => inner.stats.misses += 1,
        }
        clip
    }

    /// Keeps a clip, unless it does not fit any more; says whether the video's clip is there now.
    pub fn insert(&self, video: usize, clip: Arc<[u8]>) -> bool {
        let mut inner = self.lock();
        if inner.clips.contains_key(&video) {
            return true;
        }
        let bytes = inner.stats.bytes + clip.len() as u64;
        if bytes > inner.budget_bytes {
            return false;
        }
        inner.stats.bytes = bytes;
        inner.clips.insert(video, clip);
        true
    }

    /// Whether the clip of a video is there; not counted as a use.
    #[must_use]
    pub fn contains(&self, video: usize) -> bool {
        self.lock().clips.contains_key(&video)
    }

    /// Whether a clip of this size still fits.
    #[must_use]
    pub fn has_room(&self, clip_bytes: u64) -> bool {
        let inner = self.lock();
        inner.stats.bytes + clip_bytes <= inner.budget_bytes
    }

    /// Lowers the budget for good and lets clips go until it is kept: for when memory runs short.
    pub fn shrink_to(&self, budget_bytes: u64) {
        let mut inner = self.lock();
        inner.budget_bytes = inner.budget_bytes.min(budget_bytes);
        while inner.stats.bytes > inner.budget_bytes {
            let Some((_, clip)) = inner.clips.pop_last() else {
                break;
            };
            inner.stats.bytes -= clip.len() as u64;
        }
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.lock().stats
    }

    /// A thread that panicked cannot have left the maps half-changed, so its lock is taken over.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(bytes: usize) -> Arc<[u8]> {
        vec![7; bytes].into()
    }

    #[test]
    fn the_budget_is_kept_and_what_is_in_stays() {
        let cache = FrameCache::new(10);
        assert!(cache.insert(1, clip(6)));
        assert!(!cache.has_room(5) && cache.has_room(4));
        assert!(!cache.insert(2, clip(5)), "11 of 10 bytes");
        assert!(cache.insert(3, clip(4)), "exactly full");
        assert!(!cache.insert(4, clip(1)));
        assert!(cache.insert(1, clip(6)), "it is there already");
        assert_eq!(cache.get(1).as_deref(), Some(&[7; 6][..]));
        assert!(cache.get(2).is_none() && cache.contains(3));
        assert_eq!(cache.stats(), CacheStats { hits: 1, misses: 1, bytes: 10 });
    }

    #[test]
    fn a_budget_of_zero_keeps_nothing() {
        let cache = FrameCache::new(0);
        assert!(!cache.insert(0, clip(1)));
        assert_eq!(cache.stats().bytes, 0);
    }

    #[test]
    fn shrinking_frees_memory_and_lasts() {
        let cache = FrameCache::new(12);
        let kept = clip(4);
        for (video, clip) in [clip(4), clip(4), kept.clone()].into_iter().enumerate() {
            assert!(cache.insert(video, clip));
        }
        cache.shrink_to(9);
        assert_eq!(cache.stats().bytes, 8);
        assert_eq!(Arc::strong_count(&kept), 1, "the cache let go of it");
        assert!(!cache.insert(9, clip(4)));
        cache.shrink_to(100);
        assert!(!cache.insert(9, clip(4)), "a higher figure does not undo it");
        cache.shrink_to(0);
        assert_eq!(cache.stats().bytes, 0);
        assert!(!cache.contains(0));
    }
}
