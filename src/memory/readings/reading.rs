//! One reading of what a run watches: host, process, and the device that it trains on. Decides nothing; thresholds are
//! in `manager`. A reading of all GPUs is in `snapshot.rs`.

use serde::{Deserialize, Serialize};
use tch::Device;

use super::cgroup::CgroupMemory;
use super::host::HostMemory;
use super::process::process_rss_bytes;
use crate::torch::{self, AllocatorStats};

/// How much of a kind of memory is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// In use: not free for new work.
    pub used_bytes: u64,
    /// In all.
    pub total_bytes: u64,
}

impl Usage {
    /// The share in use, 0 to 1; 0 where the total is 0.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.total_bytes == 0 { 0.0 } else { self.used_bytes as f64 / self.total_bytes as f64 }
    }
}

/// Memory at one moment. A number that cannot be known is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Memory of the machine, or of the control group where a larger share of that is in use.
    pub host: Usage,
    /// Memory of the GPU that the run is on; where there is a cap, of the part that the cap allows. Free blocks that
    /// libtorch keeps do not count as in use, because the run can use them. Absent on the CPU.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<Usage>,
    /// Resident memory of this process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_bytes: Option<u64>,
    /// libtorch's caching allocator. Absent on the CPU.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allocator: Option<AllocatorStats>,
}

impl Reading {
    /// Reads host, process and `device`.
    #[must_use]
    pub fn take(device: Device) -> Self {
        let allocator = torch::allocator_stats(device);
        let gpu = torch::device_memory(device).map(|memory| gpu_usage(memory, allocator.unwrap_or_default()));
        Self {
            host: host_usage(&HostMemory::read(), CgroupMemory::read().as_ref()),
            gpu,
            rss_bytes: process_rss_bytes(),
            allocator,
        }
    }

    /// The bytes that a clean-up can lower: those that libtorch reserved on the GPU, or on the CPU the resident memory.
    #[must_use]
    pub fn held_bytes(&self) -> Option<u64> {
        self.allocator.map(|stats| stats.reserved_bytes).or(self.rss_bytes)
    }
}

/// The usage of the machine or of the control group, whichever has the larger share in use.
fn host_usage(host: &HostMemory, cgroup: Option<&CgroupMemory>) -> Usage {
    let of = |free: u64, total: u64| Usage { used_bytes: total.saturating_sub(free), total_bytes: total };
    let machine = of(host.available_bytes, host.total_bytes);
    let group = cgroup.map(|cgroup| of(cgroup.free_bytes, cgroup.limit_bytes));
    group.filter(|group| group.share() > machine.share()).unwrap_or(machine)
}

fn gpu_usage((free_bytes, total_bytes): (u64, u64), allocator: AllocatorStats) -> Usage {
    let idle_bytes = allocator.reserved_bytes.saturating_sub(allocator.active_bytes);
    Usage { used_bytes: total_bytes.saturating_sub(free_bytes).saturating_sub(idle_bytes), total_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(available_bytes: u64) -> HostMemory {
        HostMemory { total_bytes: 100, available_bytes, used_bytes: 0, swap_total_bytes: 0, swap_used_bytes: 0 }
    }

    #[test]
    fn the_fuller_of_machine_and_group_counts() {
        let group = |free_bytes| CgroupMemory { limit_bytes: 40, used_bytes: 0, free_bytes };
        assert_eq!(host_usage(&host(30), None), Usage { used_bytes: 70, total_bytes: 100 });
        assert_eq!(host_usage(&host(30), Some(&group(4))), Usage { used_bytes: 36, total_bytes: 40 });
        assert_eq!(host_usage(&host(30), Some(&group(20))), Usage { used_bytes: 70, total_bytes: 100 });
    }

    #[test]
    fn blocks_that_libtorch_keeps_are_not_in_use() {
        let stats = AllocatorStats { reserved_bytes: 60, active_bytes: 20, ..AllocatorStats::default() };
        assert_eq!(gpu_usage((10, 100), stats), Usage { used_bytes: 50, total_bytes: 100 });
    }

    #[test]
    fn this_machine_is_read_and_the_cpu_has_no_gpu() {
        let reading = Reading::take(Device::Cpu);
        assert!(reading.host.total_bytes > 0 && reading.host.share() < 1.0);
        assert_eq!((reading.gpu, reading.allocator), (None, None));
        assert_eq!(reading.held_bytes(), reading.rss_bytes);
        assert_eq!(Usage::default().share(), 0.0);
    }
}
