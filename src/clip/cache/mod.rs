//! Clips that need not be read again: in memory, and on disk.
//!
//! Knows nothing of how clips are made, nor of the order they are asked for in. `key` names a clip by the content of its
//! video and all that decides what is made of it, `entry` is the format of a file, `sizes` divides the space.

mod clip_cache;
mod disk;
mod entry;
mod key;
mod memory;
mod read_clip;
mod sizes;
mod stats;

pub use clip_cache::ClipCache;
pub use disk::DiskCache;
pub use read_clip::ReadClip;
pub use sizes::{CachePlan, free_disk_bytes, plan_cache};
pub use stats::CacheStats;
