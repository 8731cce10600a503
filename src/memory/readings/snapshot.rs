//! One reading of all memory: the host, this process and its control group, every GPU.
//!
//! A snapshot decides nothing and does not know what the memory is used for. The command line takes snapshots, and so
//! do callers that judge whether a run fits.

use serde::Serialize;

use super::cgroup::CgroupMemory;
use super::gpu::{GpuMemory, GpuMemorySource, Nvml};
use super::host::{HostMemory, free_bytes};
use super::process::ProcessMemory;

/// One reading of all memory.
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
    /// The version of NVIDIA's driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Why `gpus` is empty or incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_note: Option<String>,
}

impl Snapshot {
    /// Reads everything once; GPUs through NVML.
    #[must_use]
    pub fn take() -> Self {
        Self::take_with(&Nvml::load())
    }

    /// Like [`Snapshot::take`], with GPUs from `devices`; a caller that reads often keeps the loaded [`Nvml`].
    #[must_use]
    pub fn take_with(devices: &dyn GpuMemorySource) -> Self {
        let process = ProcessMemory::read();
        let reading = devices.read();
        Self {
            host: HostMemory::read(),
            cgroup: CgroupMemory::read(),
            process,
            gpus: reading.gpus,
            driver: reading.driver,
            gpu_note: reading.note,
        }
    }

    /// Host memory that this process may still take: the smaller of what the machine has and what the cgroup allows.
    #[must_use]
    pub fn host_free_bytes(&self) -> u64 {
        free_bytes(&self.host, self.cgroup.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::super::gpu::tests::{FakeGpus, fake_gpu};
    use super::*;

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
        let snapshot = Snapshot::take_with(&FakeGpus(vec![fake_gpu(0, 12 << 30, 5 << 30)]));
        let host = &snapshot.host;
        assert!(host.total_bytes > 0 && host.available_bytes <= host.total_bytes);
        assert!(host.swap_used_bytes <= host.swap_total_bytes);
        assert_eq!(snapshot.gpus[0].memory_free_bytes, 7 << 30);
        assert_eq!(snapshot.gpu_note, None);
    }
}
