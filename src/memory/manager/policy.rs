//! The settings of a memory manager. Only data: thresholds are applied in `pressure.rs`, the schedule in
//! `memory_manager.rs`.

use std::time::Duration;

use crate::config;

/// When a memory manager cleans up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryPolicy {
    /// Share of the GPU's memory in use, 0 to 1, from which on memory counts as short.
    pub gpu_threshold: f64,
    /// The same share of host memory, or of the control group's limit.
    pub cpu_threshold: f64,
    /// Time between two readings of the monitor.
    pub interval: Duration,
    /// Whether a thread watches memory.
    pub monitoring: bool,
    /// Steps between clean-ups that happen however much memory is free; 0 = no such clean-ups.
    pub force_cleanup_every: u64,
}

impl From<&config::MemoryManagement> for MemoryPolicy {
    fn from(config: &config::MemoryManagement) -> Self {
        Self {
            gpu_threshold: config.gpu_threshold,
            cpu_threshold: config.cpu_threshold,
            interval: Duration::from_secs_f64(config.auto_cleanup_interval),
            monitoring: config.enable_monitoring,
            force_cleanup_every: config.force_cleanup_every,
        }
    }
}
