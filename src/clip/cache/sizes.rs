//! The sizes of the caches in memory and on disk. Only `free_disk_bytes` accesses the file system; the
//! decision itself is a pure function.

use std::io;
use std::path::Path;

use bytesize::ByteSize;

use super::disk::DiskCache;
use crate::config::{AutoBytes, CacheConfig, Switch};

/// The largest sizes of the caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlan {
    /// The size in memory; 0 = no cache.
    pub memory_bytes: u64,
    /// The size on disk; 0 = no cache.
    pub disk_bytes: u64,
    /// The decision with its reason, for the log.
    pub why: String,
}

/// Decides the sizes. `needed_bytes` is the size of all clips, `memory_budget_bytes` the memory that the loader leaves,
/// and `free_disk_bytes` comes from [`free_disk_bytes`].
#[must_use]
pub fn plan_cache(
    config: &CacheConfig,
    needed_bytes: u64,
    free_disk_bytes: u64,
    memory_budget_bytes: u64,
) -> CachePlan {
    if config.enable_cache == Switch::Off {
        return CachePlan { memory_bytes: 0, disk_bytes: 0, why: "off".into() };
    }
    let memory_bytes = match config.memory_bytes {
        AutoBytes::Auto => memory_budget_bytes,
        AutoBytes::Bytes(bytes) => bytes.min(memory_budget_bytes),
    };
    let (limit_bytes, limit) = match config.disk_bytes {
        AutoBytes::Auto => (free_disk_bytes / 2, "half of what is free on disk"),
        AutoBytes::Bytes(bytes) => (bytes, "cache.disk_bytes"),
    };
    // If only some of the clips fit, they would evict clips of other data sets for little benefit.
    let fits = needed_bytes <= limit_bytes;
    let disk_bytes = if fits || config.enable_cache == Switch::On { limit_bytes } else { 0 };
    let size = |bytes: u64| ByteSize(bytes).to_string();
    let needed = size(needed_bytes);
    let memory = if memory_bytes == 0 { "none".to_owned() } else { format!("up to {}", size(memory_bytes)) };
    let why = match (disk_bytes, fits) {
        (0, _) if limit_bytes == 0 => format!("{memory} in memory for clips of {needed}, none on disk"),
        (0, _) => format!(
            "{memory} in memory; none on disk, as clips of {needed} are more than {} ({limit})",
            size(limit_bytes)
        ),
        (bytes, true) => format!("all clips ({needed}) on disk (up to {}), {memory} in memory", size(bytes)),
        (bytes, false) => format!("{} of clips of {needed} on disk, {memory} in memory", size(bytes)),
    };
    CachePlan { memory_bytes, disk_bytes, why }
}

/// The disk space for the cache in this folder, which may not exist yet: the free space, and the space that the cache
/// uses.
///
/// # Errors
/// The disk cannot be queried.
pub fn free_disk_bytes(directory: &Path) -> io::Result<u64> {
    let absolute = std::path::absolute(directory)?;
    let there = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(there)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize) + DiskCache::bytes_in(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(enable_cache: Switch, memory_bytes: AutoBytes, disk_bytes: AutoBytes) -> CacheConfig {
        CacheConfig { enable_cache, memory_bytes, disk_bytes, ..CacheConfig::default() }
    }

    fn plan(config: &CacheConfig) -> (u64, u64) {
        let plan = plan_cache(config, 100, 150, 40);
        (plan.memory_bytes, plan.disk_bytes)
    }

    #[test]
    fn auto_uses_the_disk_only_where_all_clips_fit() {
        use AutoBytes::{Auto, Bytes};
        assert_eq!(plan(&config(Switch::Auto, Auto, Auto)), (40, 0), "100 of 75");
        assert_eq!(plan(&config(Switch::Auto, Auto, Bytes(100))), (40, 100));
        assert_eq!(plan(&config(Switch::Auto, Auto, Bytes(99))), (40, 0));
        assert_eq!(plan(&config(Switch::On, Auto, Auto)), (40, 75));
        assert_eq!(plan(&config(Switch::On, Bytes(10), Bytes(0))), (10, 0));
        assert_eq!(plan(&config(Switch::On, Bytes(1000), Auto)).0, 40, "never above the budget");
        assert_eq!(plan(&config(Switch::Off, Bytes(10), Bytes(10))), (0, 0));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_space_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_disk_bytes(&folder.path().join("a/b")).unwrap() > 0);
    }
}
