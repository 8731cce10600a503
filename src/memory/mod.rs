//! Readings of host and GPU memory, the out-of-memory guard, the predicted peak of a step, and advice.
//!
//! Knows neither data nor models: callers hand in what to run and what to put back.

mod classify;
mod guard;

pub use classify::is_out_of_memory;
pub use guard::{Guard, GuardError, OomEvent};

/// tmp
pub fn process_rss_bytes() -> Option<u64> {
    None
}
/// tmp
pub fn process_peak_rss_bytes() -> Option<u64> {
    None
}

/// tmp
pub struct Snapshot;
impl Snapshot {
    /// tmp
    pub fn take() -> Self {
        Self
    }
    /// tmp
    pub fn host_free_bytes(&self) -> u64 {
        8 << 30
    }
}
