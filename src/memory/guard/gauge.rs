//! Readings that the guard takes of the memory of the device that a network runs on. What follows from them is decided
//! in `oom_guard.rs`.

use tch::Device;

use super::shortage::{CONTEXT_BYTES, GpuUse};
use crate::memory::readings::{
    GpuMemorySource, GpuProcess, Nvml, bus_id, host_free_bytes, process_recent_peak_bytes, process_rss_bytes,
    reset_process_peak,
};
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
    /// Who holds the memory of a GPU, right after an attempt failed on it; `None` on the CPU. Takes some milliseconds.
    fn gpu_use(&self) -> Option<GpuUse> {
        None
    }

    /// Bytes of the GPU that this process could have, also while its network is on the CPU; `None` where there is none.
    fn device_bytes(&self) -> Option<u64> {
        None
    }
    /// Takes readings of the host, because the network is on the CPU, or those of its device again.
    fn read_host(&mut self, _is_on_cpu: bool) {}

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
        let own_bytes = torch::allocator_stats(self.read)?.reserved_bytes + CONTEXT_BYTES;
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

    fn gpu_use(&self) -> Option<GpuUse> {
        let Device::Cuda(index) = self.read else { return None };
        let (free_bytes, total_bytes) = torch::device_memory(self.read)?;
        let stats = torch::allocator_stats(self.read)?;
        Some(GpuUse {
            total_bytes,
            free_bytes,
            reserved_bytes: stats.reserved_bytes,
            allocated_bytes: stats.allocated_peak_bytes,
            others: other_processes(processes(index), std::process::id(), stats.reserved_bytes),
            expandable_segments: torch::has_expandable_segments(),
        })
    }

    fn device_bytes(&self) -> Option<u64> {
        let (free_bytes, _) = torch::device_memory(self.home)?;
        Some(free_bytes + torch::allocator_stats(self.home)?.reserved_bytes)
    }

    fn read_host(&mut self, is_on_cpu: bool) {
        self.read = if is_on_cpu { Device::Cpu } else { self.home };
    }
}

/// The processes on a CUDA device, this one included, as far as the driver shows them.
fn processes(cuda_index: usize) -> Vec<GpuProcess> {
    let Some([domain, bus, device]) = torch::pci_place(cuda_index) else { return Vec::new() };
    let place = Some(bus_id(domain, bus, device));
    let gpu = Nvml::load().read().gpus.into_iter().find(|gpu| gpu.bus_id == place);
    gpu.map_or(Vec::new(), |gpu| gpu.processes)
}

/// The processes without this one, the largest first. In a container the driver may number processes as the host does:
/// then this one is the one that holds what it must hold, or the only one of which that is not known.
fn other_processes(mut all: Vec<GpuProcess>, own_pid: u32, reserved_bytes: u64) -> Vec<GpuProcess> {
    let holds_ours = |process: &GpuProcess| {
        process.used_bytes.is_some_and(|bytes| (reserved_bytes..=reserved_bytes + CONTEXT_BYTES).contains(&bytes))
    };
    let is_only_one = all.len() == 1 && all[0].used_bytes.is_none();
    let by_pid = all.iter().position(|process| process.pid == own_pid);
    let own = by_pid.or_else(|| all.iter().position(|process| is_only_one || holds_ours(process)));
    if let Some(own) = own {
        all.remove(own);
    }
    all.sort_by_key(|process| std::cmp::Reverse(process.used_bytes));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn this_process_is_not_another_one_even_where_a_container_hides_its_number() {
        let process = |pid, gib: Option<u64>| GpuProcess { pid, used_bytes: gib.map(|gib| gib * GIB), name: None };
        let others = |all: &[GpuProcess]| -> Vec<u32> {
            other_processes(all.to_vec(), 10, 4 * GIB + 1).iter().map(|process| process.pid).collect()
        };
        assert_eq!(others(&[process(9, Some(1)), process(10, Some(5)), process(11, Some(7))]), [11, 9]);
        assert_eq!(others(&[process(8, Some(1)), process(9, Some(5))]), [8], "9 holds what this one does");
        assert_eq!(others(&[process(8, Some(1)), process(9, Some(2))]), [9, 8], "this one is not shown");
        assert_eq!(others(&[process(9, None)]), [0; 0]);
        assert_eq!(others(&[process(8, None), process(10, None)]), [8]);
    }

    #[test]
    fn the_cpu_has_no_gpu_that_others_could_hold() {
        assert_eq!(DeviceGauge::new(Device::Cpu).gpu_use(), None);
        assert_eq!(DeviceGauge::new(Device::Cuda(99)).gpu_use(), None);
    }
}
