//! The caching allocator of an accelerator: what it holds, giving it back, a cap on it.
//!
//! On the CPU libtorch has none, so there is nothing to know and nothing to do but trim the C heap.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::ffi;
use super::result::Result;

/// The share of each device that [`limit_device_memory`] left this process; libtorch does not tell it.
static CAP: OnceLock<f64> = OnceLock::new();

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

/// Bytes of a CUDA device that its driver could still give this process, and all that this process may ever have: the
/// installed memory, or its share where there is a cap. `None` on the CPU or where it is not known.
#[must_use]
pub fn device_memory(device: Device) -> Option<(u64, u64)> {
    let (free_bytes, total_bytes) = ffi::device_memory(cuda_index(device)?).ok()?;
    let reserved_bytes = allocator_stats(device).map_or(0, |stats| stats.reserved_bytes);
    Some(capped((free_bytes, total_bytes), reserved_bytes, CAP.get().copied()))
}

fn capped((free_bytes, total_bytes): (u64, u64), reserved_bytes: u64, cap: Option<f64>) -> (u64, u64) {
    let Some(cap) = cap else { return (free_bytes, total_bytes) };
    let allowed_bytes = (total_bytes as f64 * cap) as u64;
    (free_bytes.min(allowed_bytes.saturating_sub(reserved_bytes)), allowed_bytes)
}

/// Caps what this process takes of each CUDA device at a share of its memory, 0 to 1; beyond that the allocator reports
/// out of memory. Holds only where it comes before the first tensor on a device.
///
/// # Errors
/// The share is not between 0 and 1, or libtorch's CUDA part is not loaded.
pub fn limit_device_memory(fraction: f64) -> Result<()> {
    ffi::limit_device_memory(fraction)?;
    // Only the first one can hold, because it must come before the first tensor.
    CAP.get_or_init(|| fraction);
    Ok(())
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
    fn a_cap_counts_what_this_process_has_and_others_may_leave_less() {
        assert_eq!(capped((70, 100), 20, None), (70, 100));
        assert_eq!(capped((70, 100), 20, Some(0.5)), (30, 50));
        assert_eq!(capped((10, 100), 20, Some(0.5)), (10, 50));
        assert_eq!(capped((70, 100), 60, Some(0.5)), (0, 50));
    }

    #[test]
    fn a_cap_without_cuda_or_out_of_range_is_an_error() {
        // Without libtorch's CUDA part nothing would read the setting; with it, a share above 1 is refused.
        let error = limit_device_memory(1.5).unwrap_err().to_string();
        assert!(error.contains("per_process_memory_fraction"), "{error}");
    }
}
