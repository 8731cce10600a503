//! Readings that the guard takes of the memory of the device that a network runs on. What follows from them is decided
//! in `oom_guard.rs`.

use tch::Device;

use crate::memory::readings::{host_free_bytes, process_peak_rss_bytes, process_rss_bytes};
use crate::torch;

/// Readings of one device's memory. A number that cannot be known is `None`.
pub trait Gauge {
    /// Bytes that this process holds.
    fn used_bytes(&self) -> Option<u64>;
    /// Bytes that this process could still take.
    fn free_bytes(&self) -> Option<u64>;
    /// The most bytes that this process held since [`Gauge::reset_peak`].
    fn peak_bytes(&self) -> Option<u64>;
    /// Resets the peak to what is held now, where that can be done.
    fn reset_peak(&self);
    /// The number of times that the allocator had to empty its cache to serve a request (`num_alloc_retries` in
    /// PyTorch).
    fn alloc_retries(&self) -> Option<u64>;

    /// Takes readings of the host from here on, because the network is on the CPU now.
    fn move_to_cpu(&mut self);

    /// Whether less than a tenth of what this process can have is left; `false` where that is not known.
    fn is_low(&self) -> bool {
        let (used, free) = (self.used_bytes(), self.free_bytes());
        used.zip(free).is_some_and(|(used, free)| free < (used + free) / 10)
    }
}

/// Readings of a real device.
#[derive(Debug, Clone, Copy)]
pub struct DeviceGauge(pub Device);

impl Gauge for DeviceGauge {
    fn used_bytes(&self) -> Option<u64> {
        if self.0.is_cuda() {
            torch::allocator_stats(self.0).map(|stats| stats.allocated_bytes)
        } else {
            process_rss_bytes()
        }
    }

    /// On a GPU, the bytes that its driver can give and those that libtorch keeps unused.
    fn free_bytes(&self) -> Option<u64> {
        if !self.0.is_cuda() {
            return Some(host_free_bytes());
        }
        let stats = torch::allocator_stats(self.0)?;
        let (free_bytes, _) = torch::device_memory(self.0)?;
        Some(free_bytes + stats.reserved_bytes.saturating_sub(stats.allocated_bytes))
    }

    fn peak_bytes(&self) -> Option<u64> {
        if self.0.is_cuda() { torch::peak_allocated_bytes(self.0) } else { process_peak_rss_bytes() }
    }

    fn reset_peak(&self) {
        if let Err(error) = torch::reset_peak_stats(self.0) {
            tracing::debug!("the device's peak goes on from before: {error}");
        }
    }

    fn alloc_retries(&self) -> Option<u64> {
        torch::allocator_stats(self.0).map(|stats| stats.alloc_retries)
    }

    fn move_to_cpu(&mut self) {
        self.0 = Device::Cpu;
    }
}
