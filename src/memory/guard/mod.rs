//! The out-of-memory guard: work runs in micro-batches, and in smaller ones after memory ran out. Knows nothing of
//! videos, models and the trainer.

mod attempt;
mod classify;
mod error;
mod event;
mod gauge;
mod micro_batch_size;
mod micro_batch_sizes;
mod oom_guard;
mod shortage;
#[cfg(test)]
mod simulation;
mod state;

pub use attempt::Attempt;
pub use classify::{Failure, classify};
pub use error::GuardError;
pub use event::{Cause, OomEvent};
pub use gauge::{DeviceGauge, Gauge};
pub use micro_batch_size::MicroBatchSize;
pub use micro_batch_sizes::MicroBatchSizes;
pub use oom_guard::Guard;
pub use shortage::{GpuUse, Holder, Shortage};
pub use state::GuardState;
