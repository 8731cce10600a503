//! Readings of host and GPU memory, the out-of-memory guard, the predicted peak of a training step, and advice on what
//! fits.
//!
//! Knows numbers of bytes and the configuration; knows nothing of the data room, the model or the trainer. Callers hand
//! in what to run and what to put back.

mod advise;
mod cgroup;
mod classify;
mod cut;
mod estimate;
mod gauge;
mod gpu;
mod guard;
mod history;
mod knobs;
mod ladder;
mod layers;
mod limit;
mod manager;
mod monitor;
mod outcome;
mod pressure;
mod processes;
mod reading;
mod snapshot;
mod speed;
mod trials;

pub use advise::{
    Advice, DeviceFacts, DeviceSource, HostAdvice, HostFacts, Ranked, Settled, advise, advise_measured, batch_sizes,
    settle_batch_size, step_budget_bytes,
};
pub use cgroup::CgroupMemory;
pub use classify::{Failure, classify};
pub use cut::{Cut, Ladder};
pub use estimate::{Breakdown, DeviceKind, Estimate, evaluation_step, training_step};
pub use gauge::{DeviceGauge, Gauge};
pub use gpu::{DeviceMemory, GpuMemory, GpuProcess, GpuReading, Nvml};
pub use guard::{Attempt, Guard};
pub use history::{History, Trend};
pub use knobs::Suggestion;
pub use ladder::usable_bytes;
pub use layers::{learning_parameter_count, parameter_count};
pub use limit::{die_first, forget_process_peak, limit_growth};
pub use manager::{Cleanup, Elastic, MemoryManager, MemoryPolicy, MemoryStats, Reason, Warning};
pub use outcome::{Cause, GuardError, GuardState, OomEvent};
pub use processes::{ProcessUse, largest_processes};
pub use reading::{Reading, Usage};
pub use snapshot::{HostMemory, ProcessMemory, Snapshot, process_peak_rss_bytes, process_rss_bytes};
pub use trials::largest_that_holds;
