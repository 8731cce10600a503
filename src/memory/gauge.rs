//! What the guard asks about the memory of the device that a network runs on.

use tch::Device;

use super::snapshot::{host_free_bytes, process_peak_rss_bytes, process_rss_bytes};
use crate::torch;

/// Readings of one device's memory. What cannot be known is `None`.
pub trait Gauge {
    /// Bytes that this process holds.
    fn used_bytes(&self) -> Option<u64>;
    /// Bytes that it could still have.
    fn free_bytes(&self) -> Option<u64>;
    /// Most bytes that it held since [`Gauge::reset_peak`].
    fn peak_bytes(&self) -> Option<u64>;
    /// Starts looking for a peak anew, where that can be done.
    fn reset_peak(&self);
    /// Times that the allocator had to empty its cache to serve a request.
    fn alloc_retries(&self) -> Option<u64>;

    /// Whether less than a tenth of what this process can have is left; not where that is not known.
    fn is_low(&self) -> bool {
        let (used, free) = (self.used_bytes(), self.free_bytes());
        used.zip(free).is_some_and(|(used, free)| free < (used + free) / 10)
    }
}

/// The real device.
#[derive(Debug, Clone, Copy)]
pub struct DeviceGauge(pub Device);

impl Gauge for DeviceGauge {
    fn used_bytes(&self) -> Option<u64> {
        if self.0.is_cuda() { None } else { process_rss_bytes() }
    }

    fn free_bytes(&self) -> Option<u64> {
        if self.0.is_cuda() { None } else { Some(host_free_bytes()) }
    }

    fn peak_bytes(&self) -> Option<u64> {
        if self.0.is_cuda() { torch::peak_allocated_bytes(self.0) } else { process_peak_rss_bytes() }
    }

    fn reset_peak(&self) {}

    fn alloc_retries(&self) -> Option<u64> {
        None
    }
}
