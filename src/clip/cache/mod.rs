//! The cache of clips, in memory and on disk.
//!
//! This folder knows nothing of how clips are made, nor of the order of requests. `key` hashes the content of a video
//! and all settings that decide its clip, `entry` is the file format, `sizes` decides how much is cached.

mod clip_cache;
mod disk;
mod entry;
mod key;
mod memory;
mod note_store;
mod notes;
mod read_clip;
mod sizes;
mod stats;

pub use clip_cache::ClipCache;
pub(in crate::clip) use clip_cache::Content;
pub use disk::DiskCache;
pub use notes::Notes;
pub use read_clip::ReadClip;
pub use sizes::{CachePlan, free_disk_bytes, plan_cache};
pub use stats::CacheStats;
