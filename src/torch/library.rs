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

/// Domain, bus and device of a CUDA device on the PCI bus; `None` where it is not known. CUDA and the driver number devices
/// differently; this is the same for both.
#[must_use]
pub fn pci_place(cuda_index: usize) -> Option<[u32; 3]> {
    parse_place(&ffi::pci_place(i32::try_from(cuda_index).ok()?)?)
}

/// Reads `0000:65:00.0`; the number after the point is always 0.
fn parse_place(text: &str) -> Option<[u32; 3]> {
    let parts: Vec<_> = text.split_once('.')?.0.split(':').map(|part| u32::from_str_radix(part, 16)).collect();
    match &parts[..] {
        [Ok(domain), Ok(bus), Ok(device)] => Some([*domain, *bus, *device]),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_the_bus_is_read_as_cuda_writes_it() {
        assert_eq!(parse_place("0000:65:00.0"), Some([0, 0x65, 0]));
        assert_eq!(parse_place("0001:0A:1f.0"), Some([1, 10, 31]));
        assert_eq!(["", "65:00.0", "0000:65:00", "0000:xx:00.0"].map(parse_place), [None; 4]);
    }

    #[test]
    fn without_cuda_no_device_has_a_place() {
        if !cuda_available() {
            assert_eq!(pci_place(0), None);
        }
    }
}
