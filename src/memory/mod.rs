//! Readings of host and GPU memory, the out-of-memory guard, the predicted peak of a training step, and advice on
//! settings that fit.
//!
//! This room knows numbers of bytes and the configuration; it knows nothing of the data path, the model or the trainer.
//! Callers pass in the work to run, and the caches that can shrink.
//!
//! | folder | what it holds | imports |
//! | --- | --- | --- |
//! | `readings` | memory of host, control group, processes and GPUs | |
//! | `guard` | micro-batch sizes, and work that runs again in smaller ones after memory ran out | `readings` |
//! | `manager` | thresholds, a monitor, and clean-ups before memory runs out | `readings` |
//! | `predict` | peak memory of a step, memory of the loader, expected speed | |
//! | `advice` | the search for settings that fit, and suggestions | `predict` |

mod advice;
mod guard;
mod manager;
mod predict;
mod readings;

pub use advice::{
    Advice, ChosenBatchSize, DeviceFacts, DeviceSource, HostAdvice, HostFacts, RankedSettings, Suggestion, advise,
    advise_measured, batch_sizes, choose_batch_size, largest_that_holds, step_budget_bytes, usable_bytes,
};
pub use guard::{
    Attempt, Cause, DeviceGauge, Failure, Gauge, GpuUse, Guard, GuardError, GuardState, Holder, MicroBatchSize,
    MicroBatchSizes, OomEvent, Shortage, classify,
};
pub use manager::{
    Cleanup, History, MemoryManager, MemoryPolicy, MemoryStats, PeakAndMean, Reason, Resizable, Warning,
};
pub use predict::{
    Breakdown, DeviceKind, Estimate, checkpoint_copy_bytes, copies_for_checkpoints, evaluation_step,
    learning_parameter_count, parameter_count, training_step,
};
pub use readings::{
    CgroupMemory, GpuMemory, GpuMemorySource, GpuProcess, GpuReading, HostMemory, Nvml, ProcessMemory, ProcessUse,
    Reading, Snapshot, Usage, be_first_oom_victim, bus_id, host_free_bytes, largest_processes, limit_growth,
    process_file_bytes, process_peak_rss_bytes, process_recent_peak_bytes, process_rss_bytes, reset_process_peak,
};
