//! The libtorch library itself: its version, its CUDA part, its settings for a whole process. Knows nothing of tensors;
//! settings of a single thread are in `threads.rs` and `autocast.rs`.

use std::sync::OnceLock;

use super::ffi;
use super::result::Result;

/// Version of the libtorch that this program was built with.
#[must_use]
pub fn version() -> String {
    ffi::torch_version()
}

/// Whether a CUDA device works. The first call loads libtorch's CUDA part where there is a driver for it.
///
/// The linker drops `libtorch_cuda` because no symbol of it is used, and CUDA would then be missing without an error.
/// Because it is loaded here, one binary works on machines with and without a GPU.
#[must_use]
pub fn cuda_available() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| {
        ffi::load_library(c"libcuda.so.1") && ffi::load_library(c"libtorch_cuda.so") && tch::Cuda::is_available()
    })
}

/// Makes libtorch choose deterministic kernels for the life of the process; it warns if an operation has none. This
/// matters on CUDA only, because all CPU kernels are deterministic. Must be called before the first tensor is on a CUDA
/// device, and before other threads are started.
///
/// # Errors
/// libtorch refuses.
pub fn be_deterministic() -> Result<()> {
    ffi::be_deterministic()
}

/// Sets whether float32 convolutions, recurrent networks and matrix products on CUDA may round their inputs to TF32,
/// which tensor cores multiply faster.
///
/// # Errors
/// libtorch refuses.
pub fn allow_tf32(allow: bool) -> Result<()> {
    ffi::allow_tf32(allow)
}

/// Sets whether a backward pass fails at the first function that gives NaN as a gradient, as
/// `torch.autograd.set_detect_anomaly` does. The error names the function.
///
/// # Errors
/// libtorch refuses.
pub fn detect_anomaly(detect: bool) -> Result<()> {
    ffi::detect_anomaly(detect)
}
