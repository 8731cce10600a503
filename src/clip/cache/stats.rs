//! The counters of a cache, as a value for logs and reports. Only data: `clip_cache.rs` and `disk.rs` count.

/// The counters of a cache: hits, misses and sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requested clips that were in memory.
    pub hits: u64,
    /// Requested clips that were on disk.
    pub disk_hits: u64,
    /// Requested clips that were not cached, and were read from the video.
    pub misses: u64,
    /// Clips that were read without a lookup, because their frames are drawn anew each epoch.
    pub bypassed: u64,
    /// Damaged files of the cache, which were removed.
    pub damaged: u64,
    /// Clips that could not be written to the disk.
    pub write_failures: u64,
    /// Clips that were not written because clips that this run uses fill the space on disk.
    pub refused: u64,
    /// Size of the clips in memory.
    pub bytes: u64,
    /// Size of the files on disk, of all processes that share the folder, when last counted.
    pub disk_bytes: u64,
}
