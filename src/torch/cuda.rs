//! libtorch's CUDA part, which is loaded while the program runs: whether it works here, which GPUs it has kernels for,
//! and where on the bus they are. Which GPU a run takes is decided in `model/placement.rs`.
//!
//! The linker drops `libtorch_cuda` because no symbol of it is used, and CUDA would then be missing without an error.
//! Because it is loaded here, one binary works on machines with and without a GPU.

use std::sync::OnceLock;

use super::{allocator, ffi};

/// The oldest driver that CUDA 13 works with (NVIDIA's CUDA compatibility guide, minor version compatibility).
pub const LEAST_DRIVER: u32 = 580;

/// Compute capabilities that this libtorch has kernels for: `torch.cuda.get_arch_list()` of torch 2.11.0 for CUDA 13.0.
/// Kernels also run on later capabilities with the same first number.
const KERNELS: [[i32; 2]; 6] = [[7, 5], [8, 0], [8, 6], [9, 0], [10, 0], [12, 0]];
/// The CUDA version that [`KERNELS`] is of.
const KERNELS_CUDA: i32 = 13;

/// Loads libtorch's CUDA part where there is a driver for it. Uses no GPU.
///
/// A program calls this before anything else of libtorch: libtorch looks once for its CUDA part, at the first call that
/// asks for a GPU (also seeding does), and keeps the answer.
pub fn load_cuda() {
    is_loaded();
}

fn is_loaded() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| ffi::load_library(c"libcuda.so.1") && ffi::load_library(c"libtorch_cuda.so"))
}

/// Whether a CUDA device works. The first call prepares CUDA's allocator, before it holds any memory.
#[must_use]
pub fn cuda_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        if !is_loaded() {
            return false;
        }
        let works = tch::Cuda::is_available();
        if works {
            allocator::prefer_expandable_segments(device_count());
        } else if ffi::cuda_device_count().is_some_and(|devices| devices > 0) {
            tracing::error!(
                "libtorch was used before its CUDA part was loaded and finds no GPU: load_cuda comes first"
            );
        }
        works
    })
}

fn device_count() -> usize {
    usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// Compute capability (major and minor) of each CUDA device, in CUDA's order; `None` where it is not known. Empty
/// without CUDA.
#[must_use]
pub fn compute_capabilities() -> Vec<Option<[i32; 2]>> {
    if !cuda_available() {
        return vec![];
    }
    (0..device_count()).map(|index| ffi::compute_capability(i32::try_from(index).ok()?)).collect()
}

/// Whether this libtorch has kernels for GPUs of this compute capability. Of a libtorch for another CUDA version that
/// is not known, and taken for granted.
#[must_use]
pub fn has_kernels_for(capability: [i32; 2]) -> bool {
    let is_another = ffi::cuda_runtime_version().is_some_and(|version| version / 1000 != KERNELS_CUDA);
    is_another || is_among_kernels(capability)
}

fn is_among_kernels([major, minor]: [i32; 2]) -> bool {
    KERNELS.iter().any(|built| built[0] == major && built[1] <= minor)
}

/// Domain, bus and device of a CUDA device on the PCI bus; `None` where it is not known. CUDA and the driver number
/// devices differently; this is the same for both.
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
    fn without_cuda_no_device_has_a_place_or_a_capability() {
        if !cuda_available() {
            assert_eq!((pci_place(0), compute_capabilities()), (None, vec![]));
        }
    }

    #[test]
    fn kernels_are_there_from_turing_on() {
        let names = [[6, 1], [7, 0], [7, 5], [8, 0], [8, 9], [9, 0], [10, 3], [12, 1], [13, 0]];
        assert_eq!(names.map(is_among_kernels), [false, false, true, true, true, true, true, true, false]);
    }
}
