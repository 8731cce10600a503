//! Readings that the guard takes of the memory of the device that a network runs on. What follows from them is decided
//! in `oom_guard.rs`.

use tch::Device;

use crate::memory::readings::{host_free_bytes, process_recent_peak_bytes, process_rss_bytes, reset_process_peak};
use crate::torch;

/// Readings of one device's memory. A number that cannot be known is `None`.
pub trait Gauge {
    /// Bytes that this process holds.
    fn used_bytes(&self) -> Option<u64>;
    /// Bytes that this process could still take.
    fn free_bytes(&self) -> Option<u64>;
    /// Bytes that the driver could still give. To a library that takes memory without libtorch's allocator, the unused
    /// blocks of that allocator are in use.
    fn driver_free_bytes(&self) -> Option<u64>;
    /// Bytes of a GPU that other processes hold; `None` on the CPU, where the system takes memory back from nobody.
    fn others_bytes(&self) -> Option<u64>;
    /// The most bytes that this process held since [`Gauge::reset_peak`].
    fn peak_bytes(&self) -> Option<u64>;
    /// Resets the peak to what is held now, where that can be done.
    fn reset_peak(&self);
    /// The number of times that the allocator had to empty its cache to serve a request (`num_alloc_retries` in
    /// PyTorch).
    fn alloc_retries(&self) -> Option<u64>;

    /// Bytes of the GPU that this process could have, also while its network is on the CPU; `None` where there is none.
    fn device_bytes(&self) -> Option<u64>;
    /// Takes readings of the host, because the network is on the CPU, or those of its device again.
    fn read_host(&mut self, is_on_cpu: bool);

    /// Whether less than a tenth of what this process can have was left during the attempt since [`Gauge::reset_peak`];
    /// `false` where that is not known. The tensors of a failed attempt are gone when it is asked, but neither its peak,
    /// nor what the driver gave for it, which libtorch's allocator keeps.
    fn was_low(&self) -> bool {
        let Some((used, free)) = self.used_bytes().zip(self.free_bytes()) else { return false };
        let limit = used + free;
        let left = [self.peak_bytes().map(|peak| limit.saturating_sub(peak)), self.driver_free_bytes()];
        left.into_iter().flatten().any(|left| left < limit / 10)
    }
}

/// What the driver and its libraries take of a GPU for this process, outside of libtorch's allocator: more than they do.
const OWN_CONTEXT_BYTES: u64 = 1 << 30;

/// Readings of a real device.
#[derive(Debug, Clone, Copy)]
pub struct DeviceGauge {
    /// The device that readings are of.
    read: Device,
    /// The device that the network starts on.
    home: Device,
}

impl DeviceGauge {
    /// Readings of the device that the network starts on.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { read: device, home: device }
    }
}

impl Gauge for DeviceGauge {
    fn used_bytes(&self) -> Option<u64> {
        if self.read.is_cuda() {
            torch::allocator_stats(self.read).map(|stats| stats.allocated_bytes)
        } else {
            process_rss_bytes()
        }
    }

    /// On a GPU, the bytes that its driver can give and those that libtorch keeps unused.
    fn free_bytes(&self) -> Option<u64> {
        if !self.read.is_cuda() {
            return Some(host_free_bytes());
        }
        let stats = torch::allocator_stats(self.read)?;
        let (free_bytes, _) = torch::device_memory(self.read)?;
        Some(free_bytes + stats.reserved_bytes.saturating_sub(stats.allocated_bytes))
    }

    fn driver_free_bytes(&self) -> Option<u64> {
        if !self.read.is_cuda() {
            return Some(host_free_bytes());
        }
        torch::device_memory(self.read).map(|(free_bytes, _)| free_bytes)
    }

    fn others_bytes(&self) -> Option<u64> {
        let (free_bytes, total_bytes) = torch::device_memory(self.read)?;
        let own_bytes = torch::allocator_stats(self.read)?.reserved_bytes + OWN_CONTEXT_BYTES;
        Some(total_bytes.saturating_sub(free_bytes).saturating_sub(own_bytes))
    }

    fn peak_bytes(&self) -> Option<u64> {
        if self.read.is_cuda() { torch::peak_allocated_bytes(self.read) } else { process_recent_peak_bytes() }
    }

    fn reset_peak(&self) {
        if !self.read.is_cuda() {
            reset_process_peak();
        } else if let Err(error) = torch::reset_peak_stats(self.read) {
            tracing::debug!("the device's peak goes on from before: {error}");
        }
    }

    fn alloc_retries(&self) -> Option<u64> {
        torch::allocator_stats(self.read).map(|stats| stats.alloc_retries)
    }

    fn device_bytes(&self) -> Option<u64> {
        let (free_bytes, _) = torch::device_memory(self.home)?;
        Some(free_bytes + torch::allocator_stats(self.home)?.reserved_bytes)
    }

    fn read_host(&mut self, is_on_cpu: bool) {
        self.read = if is_on_cpu { Device::Cpu } else { self.home };
    }
}
