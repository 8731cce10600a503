//! Readings of host and GPU memory, the predicted peak of a training step, advice on what fits, and the out-of-memory
//! guard.
//!
//! Knows numbers of bytes and the configuration; knows nothing of the data room, the model or the trainer.

mod advise;
mod cgroup;
mod estimate;
mod gpu;
mod ladder;
mod layers;
mod snapshot;

pub use advise::{Advice, DeviceFacts, DeviceSource, HostAdvice, HostFacts, Suggestion, advise};
pub use cgroup::CgroupMemory;
pub use estimate::{
    Breakdown, DeviceKind, Estimate, NumberFormat, decode_window_bytes, evaluation_step, training_step,
};
pub use gpu::{DeviceMemory, GpuMemory, GpuProcess, GpuReading, Nvml};
pub use layers::parameter_count;
pub use snapshot::{HostMemory, ProcessMemory, Snapshot, process_peak_rss_bytes, process_rss_bytes};
