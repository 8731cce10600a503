//! Memory of the host: what the machine has, and what of it this process may still take. What this process has taken is
//! in `process.rs`.

use serde::Serialize;
use sysinfo::System;

use super::cgroup::CgroupMemory;

/// Memory of the whole machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostMemory {
    /// Installed.
    pub total_bytes: u64,
    /// Bytes that new work can take without swapping, as the kernel estimates it (`MemAvailable`).
    pub available_bytes: u64,
    /// In use and not reclaimable.
    pub used_bytes: u64,
    /// Size of the swap space.
    pub swap_total_bytes: u64,
    /// Swap space in use.
    pub swap_used_bytes: u64,
}

impl HostMemory {
    /// Reads it now.
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

/// Host memory that this process may still take, read now.
#[must_use]
pub fn host_free_bytes() -> u64 {
    free_bytes(&HostMemory::read(), CgroupMemory::read().as_ref())
}

/// Host memory that this process may still take: the smaller of what the machine has and what the cgroup allows.
pub(super) fn free_bytes(host: &HostMemory, cgroup: Option<&CgroupMemory>) -> u64 {
    host.available_bytes.min(cgroup.map_or(u64::MAX, |cgroup| cgroup.free_bytes))
}
