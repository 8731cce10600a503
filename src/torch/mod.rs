//! Placeholder.

/// libtorch's version.
#[must_use]
pub fn version() -> String {
    "2.11.0".into()
}

/// Whether libtorch can use a CUDA device.
#[must_use]
pub fn cuda_available() -> bool {
    tch::Cuda::is_available()
}
