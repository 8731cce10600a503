//! The libtorch library itself: its version, its settings for a whole process. Knows nothing of tensors; settings of a
//! single thread are in `threads.rs` and `autocast.rs`, its CUDA part is in `cuda.rs`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::ffi;
use super::result::Result;

/// Version of the libtorch that this program was built with.
#[must_use]
pub fn version() -> String {
    ffi::torch_version()
}

/// Sets the environment so that cuBLAS, which matrix products and cuDNN's recurrent networks use, gives the same
/// numbers each time. What the user has set wins: it is returned where it does not do that. Must be called before the
/// first CUDA device is used, and before other threads are started.
pub fn fix_cublas_workspace() -> Option<String> {
    const VARIABLE: &str = "CUBLAS_WORKSPACE_CONFIG";
    ffi::set_unless_set(VARIABLE, DETERMINISTIC_WORKSPACES[0]);
    std::env::var(VARIABLE).ok().filter(|value| !DETERMINISTIC_WORKSPACES.contains(&value.as_str()))
}

/// What NVIDIA's cuBLAS documentation (results reproducibility) names, the faster first.
const DETERMINISTIC_WORKSPACES: [&str; 2] = [":4096:8", ":16:8"];

/// Makes libtorch choose deterministic kernels on CUDA for the life of the process; the CPU has no others. It warns if
/// an operation has none. Of the operations here, that would be backward through memory-efficient attention; attention
/// is computed by matrix products instead.
///
/// # Errors
/// libtorch refuses.
pub fn be_deterministic() -> Result<()> {
    ffi::be_deterministic()
}

/// Whether [`repeats_shape`] may make cuDNN time its algorithms.
static MAY_TIME_CUDNN: AtomicBool = AtomicBool::new(false);

/// Sets whether cuDNN may time its algorithms for convolutions whose shapes come again.
pub fn let_cudnn_time_algorithms(may: bool) {
    MAY_TIME_CUDNN.store(may, Ordering::Relaxed);
}

/// Says whether the convolutions that follow, and their backward, have shapes that came before. cuDNN times its
/// algorithms for those, and takes a usual one for others: for a shape that does not come again, timing takes longer
/// than it saves.
pub fn repeats_shape(repeats: bool) {
    tch::Cuda::cudnn_set_benchmark(repeats && MAY_TIME_CUDNN.load(Ordering::Relaxed));
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
