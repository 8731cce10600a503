//! What tch lacks: CUDA loaded at run time, autocast for every device, a thread count for one thread alone, the caching
//! allocator, fused optimizer kernels, TorchScript files with named weights.
//!
//! `unsafe` is allowed only in `ffi.rs`, `foreach.rs` and `trace.rs` of this room, and in `video/hardware.rs`; the C++
//! side is `shim.cpp`, `history.cpp`, `relu6.cpp`, `depthwise.cpp`, `foreach.cpp` and `trace.cpp`. This room knows
//! nothing of networks and training. It does not save the states of random generators: each step seeds them anew.

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
    AllocatorStats, allocator_snapshot, allocator_stats, device_memory, expandable_segments, limit_device_memory,
    peak_allocated_bytes, record_allocator, release_cached_memory, reset_peak_stats, trim_heap,
};
pub use autocast::Autocast;
pub use format::{Format, cpu_has_bf16};
#[cfg(test)]
pub(crate) use generator_lock::generator_lock;
pub use library::{allow_tf32, be_deterministic, cuda_available, detect_anomaly, pci_place, version};
pub use result::Result;
pub use tensor::{backward, depthwise_convolution, move_to_cpu, relu6, tensor_of_bytes};
pub use threads::OneThread;
