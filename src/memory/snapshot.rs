//! One reading of memory: the host, this process and its cgroup, every GPU.
//!
//! Decides nothing and must not know what the memory is used for. Called by the command line and by whoever watches a
//! run.

use std::fs;

use serde::Serialize;
use sysinfo::System;

use super::cgroup::CgroupMemory;
use super::gpu::{DeviceMemory, GpuMemory, Nvml};

/// One reading of memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// The whole machine.
    pub host: HostMemory,
    /// The container's or service's limit; `None` where there is no limit.
    pub cgroup: Option<CgroupMemory>,
    /// This process.
    pub process: ProcessMemory,
    /// Every NVIDIA GPU that the driver shows.
    pub gpus: Vec<GpuMemory>,
    /// Why `gpus` is empty or incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_note: Option<String>,
}

/// Memory of the whole machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostMemory {
    /// Installed.
    pub total_bytes: u64,
    /// What new work can have without swapping, by the kernel's own reckoning.
    pub available_bytes: u64,
    /// In use and not reclaimable.
    pub used_bytes: u64,
    /// Size of the swap space.
    pub swap_total_bytes: u64,
    /// Swap space in use.
    pub swap_used_bytes: u64,
}

/// Memory of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessMemory {
    /// Resident now.
    pub rss_bytes: Option<u64>,
    /// Most that was ever resident.
    pub peak_rss_bytes: Option<u64>,
    /// Areas of address space that it has mapped; the kernel stops at `vm.max_map_count`, usually 65,530.
    pub maps: Option<usize>,
}

impl Snapshot {
    /// Reads everything once; GPUs through NVML.
    #[must_use]
    pub fn take() -> Self {
        Self::take_with(&Nvml::load())
    }

    /// Like [`Snapshot::take`], with GPUs from `devices`; a caller that reads often keeps the loaded [`Nvml`].
    #[must_use]
    pub fn take_with(devices: &dyn DeviceMemory) -> Self {
        let status = self_status();
        let reading = devices.read();
        Self {
            host: HostMemory::read(),
            cgroup: CgroupMemory::read(),
            process: ProcessMemory {
                rss_bytes: status.as_deref().and_then(|text| status_bytes(text, "VmRSS")),
                peak_rss_bytes: status.as_deref().and_then(|text| status_bytes(text, "VmHWM")),
                maps: fs::read_to_string("/proc/self/maps").ok().map(|maps| maps.lines().count()),
            },
            gpus: reading.gpus,
            gpu_note: reading.note,
        }
    }

    /// Host memory that this process may still take: what the machine has and what the cgroup allows.
    #[must_use]
    pub fn host_free_bytes(&self) -> u64 {
        free_bytes(&self.host, self.cgroup.as_ref())
    }
}

/// [`Snapshot::host_free_bytes`] alone, without a look at the GPUs.
#[must_use]
pub fn host_free_bytes() -> u64 {
    free_bytes(&HostMemory::read(), CgroupMemory::read().as_ref())
}

fn free_bytes(host: &HostMemory, cgroup: Option<&CgroupMemory>) -> u64 {
    host.available_bytes.min(cgroup.map_or(u64::MAX, |cgroup| cgroup.free_bytes))
}

impl HostMemory {
    pub(super) fn read() -> Self {
        let mut system = System::new();
        system.refresh_memory();
        Self {
            total_bytes: system.total_memory(),
            available_bytes: system.available_memory(),
            used_bytes: system.used_memory(),
            swap_total_bytes: system.total_swap(),
            swap_used_bytes: system.used_swap(),
        }
    }
}

/// Resident memory of this process now; `None` where the system does not tell. Cheap enough for every step.
#[must_use]
pub fn process_rss_bytes() -> Option<u64> {
    status_bytes(&self_status()?, "VmRSS")
}

/// Most memory that was ever resident in this process; `None` where the system does not tell.
#[must_use]
pub fn process_peak_rss_bytes() -> Option<u64> {
    status_bytes(&self_status()?, "VmHWM")
}

/// What this process may write to: heap, stacks, anonymous maps, touched or not.
pub(super) fn process_data_bytes() -> Option<u64> {
    status_bytes(&self_status()?, "VmData")
}

fn self_status() -> Option<String> {
    fs::read_to_string("/proc/self/status").ok()
}

/// A `Key:   123 kB` line of `/proc/*/status`; the kernel's kB is 1,024 bytes.
pub(super) fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::gpu::tests::FakeGpus;

    #[test]
    fn status_lines_are_read_by_their_whole_name() {
        let status =
            "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  2048 kB\nVmRSSFile:\t 1 kB\nVmRSS:\t   1616 kB\nVmData: lots\n";
        assert_eq!(status_bytes(status, "VmRSS"), Some(1616 * 1024));
        assert_eq!(status_bytes(status, "VmHWM"), Some(2 << 20));
        assert_eq!(status_bytes(status, "VmData"), None);
        assert_eq!(status_bytes(status, "VmSwap"), None);
    }

    #[test]
    fn this_process_grows_when_it_touches_memory() {
        let before = process_rss_bytes().unwrap();
        let block = vec![1u8; 64 << 20];
        let after = process_rss_bytes().unwrap();
        assert!(after >= before + (48 << 20), "{before} -> {after}");
        drop(std::hint::black_box(block));
        let peak = process_peak_rss_bytes().unwrap();
        assert!(peak >= before + (48 << 20), "{before} -> {after}, peak {peak}");
    }

    #[test]
    fn the_cgroup_lowers_what_is_free_and_never_raises_it() {
        let mut snapshot = Snapshot::take_with(&FakeGpus(vec![]));
        snapshot.host.available_bytes = 10;
        for (cgroup_free, expected) in [(None, 10), (Some(4), 4), (Some(99), 10), (Some(0), 0)] {
            snapshot.cgroup =
                cgroup_free.map(|free_bytes| CgroupMemory { limit_bytes: 100, used_bytes: 0, free_bytes });
            assert_eq!(snapshot.host_free_bytes(), expected);
        }
    }

    #[test]
    fn a_reading_is_plausible_and_carries_the_gpus() {
        let snapshot = Snapshot::take_with(&FakeGpus(vec![crate::memory::gpu::tests::fake_gpu(0, 12 << 30, 5 << 30)]));
        let host = &snapshot.host;
        assert!(host.total_bytes > 0 && host.available_bytes <= host.total_bytes);
        assert!(host.swap_used_bytes <= host.swap_total_bytes);
        assert_eq!(snapshot.gpus[0].memory_free_bytes, 7 << 30);
        assert_eq!(snapshot.gpu_note, None);
    }
}
