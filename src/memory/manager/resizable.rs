//! Caches and queues that a memory manager makes smaller and larger. Only the interface: its implementations are in
//! `run/memory_hooks.rs`.

/// A cache or queue in host memory that can shrink and grow in notches.
pub trait Resizable {
    /// Its name in the log.
    fn name(&self) -> &str;
    /// Its size in a few words.
    fn size(&self) -> String;
    /// Makes it smaller by a notch; `false` where it cannot be smaller.
    fn shrink(&mut self) -> bool;
    /// Makes it larger by a notch; `false` where it is as large as configured.
    fn grow(&mut self) -> bool;
}
