//! Readings of memory: host, control group, this process, other processes, GPUs.
//!
//! This folder only reads, but for the limits on this process that trial steps set; other folders decide what follows.

mod cgroup;
mod gpu;
mod host;
mod process;
mod process_limits;
mod processes;
mod reading;
mod snapshot;

pub use cgroup::CgroupMemory;
pub use gpu::{GpuMemory, GpuMemorySource, GpuProcess, GpuReading, Nvml, bus_id};
pub use host::{HostMemory, host_free_bytes};
pub use process::{
    ProcessMemory, process_file_bytes, process_peak_rss_bytes, process_recent_peak_bytes, process_rss_bytes,
    reset_process_peak,
};
pub use process_limits::{be_first_oom_victim, limit_growth};
pub use processes::{ProcessUse, largest_processes};
pub use reading::{Reading, Usage};
pub use snapshot::Snapshot;
