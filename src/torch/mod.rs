//! What tch lacks: CUDA loaded at run time, autocast for every device, one thread's share of cores, the caching allocator,
//! TorchScript with weights in it.
//!
//! The only room with `unsafe`, all of it in `ffi.rs`, `foreach.rs` and `trace.rs`; the C++ side is `shim.cpp`,
//! `foreach.cpp` and `trace.cpp`.
//! States of random generators are not saved and put back here: each step seeds them anew, so nothing would use it.

mod allocator;
mod autocast;
mod ffi;
pub mod foreach;
mod format;
#[cfg(test)]
mod generator_lock;
mod library;
mod result;
mod tensor;
mod threads;
pub mod trace;

pub use allocator::{
    AllocatorStats, allocator_stats, device_memory, limit_device_memory, peak_allocated_bytes, release_cached_memory,
    reset_peak_stats, trim_heap,
};
pub use autocast::Autocast;
pub use format::{Format, cpu_has_bf16};
#[cfg(test)]
pub(crate) use generator_lock::generator_lock;
pub use library::{be_deterministic, cuda_available, version};
pub use result::Result;
pub use tensor::{backward, move_to_cpu};
pub use threads::OneThread;
