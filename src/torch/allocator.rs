//! The caching allocator of an accelerator: what it holds, giving it back, a cap on it.
//!
//! On the CPU libtorch has none, so there is nothing to know and nothing to do but trim the C heap.

use serde::{Deserialize, Serialize};
use tch::Device;

use super::{Result, ffi};

/// What libtorch's caching allocator holds on one CUDA device. Peaks are since the start, or since [`reset_peak_stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocatorStats {
    /// In tensors.
    pub allocated_bytes: u64,
    /// Most that was ever in tensors.
    pub allocated_peak_bytes: u64,
    /// Taken from the driver, free blocks included.
    pub reserved_bytes: u64,
    /// Most that was ever taken from the driver.
    pub reserved_peak_bytes: u64,
    /// In tensors, or freed while a stream still works on it.
    pub active_bytes: u64,
    /// Most that was ever active.
    pub active_peak_bytes: u64,
    /// Times that the driver refused memory and free blocks had to be given back before it gave some. One on every step
    /// is thrashing: slow, and shortly before the end.
    pub alloc_retries: u64,
    /// Times that memory ran out.
    pub ooms: u64,
}

/// What the allocator holds; `None` on the CPU, and before the first tensor on the device.
#[must_use]
pub fn allocator_stats(device: Device) -> Option<AllocatorStats> {
    let stats = ffi::read_allocator(cuda_index(device)?).ok()?;
    let known = |number: i64| u64::try_from(number).unwrap_or(0);
    Some(AllocatorStats {
        allocated_bytes: known(stats.allocated_bytes),
        allocated_peak_bytes: known(stats.allocated_peak_bytes),
        reserved_bytes: known(stats.reserved_bytes),
        reserved_peak_bytes: known(stats.reserved_peak_bytes),
        active_bytes: known(stats.active_bytes),
        active_peak_bytes: known(stats.active_peak_bytes),
        alloc_retries: known(stats.alloc_retries),
        ooms: known(stats.ooms),
    })
}

/// Most bytes that tensors took on a CUDA device; `None` on the CPU or where it is not known.
#[must_use]
pub fn peak_allocated_bytes(device: Device) -> Option<u64> {
    allocator_stats(device).map(|stats| stats.allocated_peak_bytes)
}

/// Lets the peaks of a CUDA device start again from what is held now; nothing to do on the CPU.
///
/// # Errors
/// The device is in a state that nothing can be asked of it.
pub fn reset_peak_stats(device: Device) -> Result<()> {
    cuda_index(device).map_or(Ok(()), ffi::reset_peaks)
}

/// Free and installed bytes of a CUDA device by its driver, all processes counted; `None` on the CPU or where it is not
/// known.
#[must_use]
pub fn device_memory(device: Device) -> Option<(u64, u64)> {
    ffi::device_memory(cuda_index(device)?).ok()
}

/// Caps what this process takes of each CUDA device at a share of its memory, 0 to 1; beyond that the allocator reports
/// out of memory. Holds only where it comes before the first tensor on a device.
///
/// # Errors
/// The share is not between 0 and 1, or libtorch's CUDA part is not loaded.
pub fn limit_device_memory(fraction: f64) -> Result<()> {
    ffi::limit_device_memory(fraction)
}

/// Gives memory that libtorch and the C heap keep for later back to the device and the system.
///
/// # Errors
/// The device is in a state that nothing can be asked of it.
pub fn release_cached_memory() -> Result<()> {
    let emptied = ffi::empty_cache();
    trim_heap();
    emptied
}

/// Gives free pages of the C heap back to the system.
pub fn trim_heap() {
    ffi::trim_heap();
}

fn cuda_index(device: Device) -> Option<i32> {
    match device {
        Device::Cuda(index) => i32::try_from(index).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_nothing_to_tell_and_cleaning_works() {
        assert_eq!(allocator_stats(Device::Cpu), None);
        assert_eq!(device_memory(Device::Cpu), None);
        assert_eq!(peak_allocated_bytes(Device::Cpu), None);
        reset_peak_stats(Device::Cpu).unwrap();
        release_cached_memory().unwrap();
    }

    /// Whatever libtorch throws comes back as an error or as nothing, never through the border.
    #[test]
    fn a_device_that_is_not_there_is_no_crash() {
        let missing = Device::Cuda(99);
        assert_eq!(allocator_stats(missing), None);
        assert_eq!(device_memory(missing), None);
        let error = reset_peak_stats(missing).unwrap_err().to_string();
        assert!(!error.is_empty());
    }

    #[test]
    fn a_cap_without_cuda_or_out_of_range_is_an_error() {
        // Without libtorch's CUDA part nothing would read the setting; with it, a share above 1 is refused.
        let error = limit_device_memory(1.5).unwrap_err().to_string();
        assert!(error.contains("per_process_memory_fraction"), "{error}");
    }
}
