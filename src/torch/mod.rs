//! What tch lacks: CUDA loaded at run time, autocast for every device, a thread count for one thread alone, the caching
//! allocator, fused optimizer kernels, TorchScript files with named weights.
//!
//! `unsafe` is allowed only in `ffi.rs`, `foreach.rs`, `operations.rs`, `trace.rs` and `upload.rs` of this room, and in
//! `video/hardware.rs`; the C++ files are the other side of these. This room knows nothing of networks and training. It does
//! not save the states of random generators: each step seeds them anew.

mod allocator;
mod autocast;
mod cuda;
mod ffi;
pub mod foreach;
mod format;
#[cfg(test)]
mod generator_lock;
mod library;
mod operations;
mod result;
mod tensor;
mod threads;
pub mod trace;
mod upload;

pub use allocator::{
    AllocatorStats, allocator_snapshot, allocator_stats, device_memory, has_expandable_segments, limit_device_memory,
    peak_allocated_bytes, record_allocator, release_cached_memory, reset_peak_stats, trim_heap,
};
pub use autocast::Autocast;
pub use cuda::{LEAST_DRIVER, compute_capabilities, cuda_available, has_kernels_for, load_cuda, pci_place};
pub use format::{AMPERE, Format, cpu_has_bf16};
#[cfg(test)]
pub(crate) use generator_lock::{assert_generator_is_locked, generator_lock};
pub use library::{
    allow_tf32, be_deterministic, detect_anomaly, fix_cublas_workspace, let_cudnn_time_algorithms, repeats_shape,
    version,
};
pub use operations::{Counts, count_operations};
pub use result::Result;
pub use tensor::{backward, depthwise_convolution, move_to, read, relu6, send, tensor_of_bytes};
#[cfg(test)]
pub(crate) use tensor::{copied_bytes, reads};
pub use threads::OneThread;
pub use upload::Upload;
