//! What is counted of a cache.

/// How often clips were found and where, and how many bytes are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Clips asked for that were in memory.
    pub hits: u64,
    /// Clips asked for that were on disk.
    pub disk_hits: u64,
    /// Clips asked for that were nowhere, and were read.
    pub misses: u64,
    /// Clips that were read without looking, because their frames are drawn anew each epoch.
    pub bypassed: u64,
    /// Files of the cache that were damaged, and removed.
    pub damaged: u64,
    /// Clips that could not be written to the disk.
    pub write_failures: u64,
    /// Clips that were not written because the disk's share is taken by others that this run uses.
    pub refused: u64,
    /// Bytes of the clips that are in memory now.
    pub bytes: u64,
    /// Bytes of the files on disk, by all that share the folder, when last looked at.
    pub disk_bytes: u64,
}
