//! The caching allocator of an accelerator: its statistics and its history, the release of its cached blocks, and a cap
//! on it. When to release memory is decided in `memory`.
//!
//! On the CPU libtorch has no caching allocator: there are no statistics, and a release only trims the C heap.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::ffi;
use super::result::Result;

/// The share of each device that [`limit_device_memory`] allows this process; libtorch has no function that returns it.
static CAP: OnceLock<f64> = OnceLock::new();

/// Statistics of libtorch's caching allocator on one CUDA device. Peaks are since the start, or since
/// [`reset_peak_stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocatorStats {
    /// Bytes in tensors.
    pub allocated_bytes: u64,
    /// The peak of `allocated_bytes`.
    pub allocated_peak_bytes: u64,
    /// Bytes taken from the driver, free blocks included.
    pub reserved_bytes: u64,
    /// The peak of `reserved_bytes`.
    pub reserved_peak_bytes: u64,
    /// Bytes in tensors, or freed while a stream still uses them.
    pub active_bytes: u64,
    /// The peak of `active_bytes`.
    pub active_peak_bytes: u64,
    /// Times that the driver refused memory until free blocks were released. One on every step is thrashing: training
    /// is slow, and memory soon runs out.
    pub alloc_retries: u64,
    /// Times that memory ran out.
    pub ooms: u64,
}

/// Statistics of the allocator; `None` on the CPU, and before the first tensor on the device.
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

/// The peak of the bytes in tensors on a CUDA device; `None` on the CPU or if it is not known.
#[must_use]
pub fn peak_allocated_bytes(device: Device) -> Option<u64> {
    allocator_stats(device).map(|stats| stats.allocated_peak_bytes)
}

/// Resets the peaks of a CUDA device to the present values; does nothing on the CPU.
///
/// # Errors
/// The device is in a state in which every call fails.
pub fn reset_peak_stats(device: Device) -> Result<()> {
    cuda_index(device).map_or(Ok(()), ffi::reset_peaks)
}

/// Bytes of a CUDA device that this process could still take from its driver, and the most that this process may have:
/// the installed memory, or its share if there is a cap. `None` on the CPU or if it is not known.
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

/// Limits the memory of this process on each CUDA device to a share of the device's memory, 0 to 1; beyond that the
/// allocator reports out of memory. Takes effect only before the first tensor on a device.
///
/// # Errors
/// The share is not between 0 and 1, or libtorch's CUDA part is not loaded.
pub fn limit_device_memory(fraction: f64) -> Result<()> {
    ffi::limit_device_memory(fraction)?;
    // Only the first cap takes effect, because it must come before the first tensor.
    CAP.get_or_init(|| fraction);
    Ok(())
}

/// Has the allocator of CUDA extend its segments where it would take further ones from the driver: blocks of many
/// sizes, as the guard's smaller batches make them, then leave fewer gaps that nothing fits into. Not where the user
/// has set the allocator up through the environment, and not where one of the devices has no virtual memory (as under
/// some virtualisation).
pub(super) fn prefer_expandable_segments(devices: usize) {
    if is_set_up_by_user(|name| std::env::var_os(name).is_some()) {
        return;
    }
    if (0..devices).all(|index| i32::try_from(index).is_ok_and(ffi::has_virtual_memory))
        && let Err(error) = ffi::use_expandable_segments()
    {
        tracing::warn!("the allocator stays without expandable segments: {error}");
    }
}

/// Whether one of the variables that libtorch reads is set (`c10/cuda/CUDAAllocatorConfig.h`).
fn is_set_up_by_user(is_set: impl Fn(&str) -> bool) -> bool {
    ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"].into_iter().any(is_set)
}

/// Whether the allocator of CUDA extends its segments, as `expandable_segments` asks for.
#[must_use]
pub fn has_expandable_segments() -> bool {
    ffi::has_expandable_segments()
}

/// Records the last `max_entries` events of the allocators of all CUDA devices from here on, each request with the
/// functions of libtorch that made it. It makes the allocators, so a cap must come before.
///
/// # Errors
/// libtorch's CUDA part is not loaded, or the device does not work.
pub fn record_allocator(max_entries: usize) -> Result<()> {
    ffi::record_allocator(max_entries)
}

/// The events that [`record_allocator`] recorded and the blocks that there are now, as the pickle that
/// <https://pytorch.org/memory_viz> shows.
///
/// # Errors
/// As of [`record_allocator`].
pub fn allocator_snapshot() -> Result<Vec<u8>> {
    ffi::allocator_snapshot()
}

/// Releases the memory that libtorch and the C heap keep for later to the device and the system.
///
/// # Errors
/// The device is in a state in which every call fails.
pub fn release_cached_memory() -> Result<()> {
    let emptied = ffi::empty_cache();
    trim_heap();
    emptied
}

/// Releases free pages of the C heap to the system.
pub fn trim_heap() {
    ffi::trim_heap();
}

pub(super) fn cuda_index(device: Device) -> Option<i32> {
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

    /// An exception of libtorch becomes an error or `None`; it never crosses the border to Rust.
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
    fn expandable_segments_that_were_asked_for_are_in_force() {
        ffi::use_expandable_segments().unwrap();
        assert!(has_expandable_segments());
    }

    #[test]
    fn what_the_user_has_set_up_stays() {
        for variable in ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"] {
            assert!(is_set_up_by_user(|name| name == variable), "{variable}");
        }
        assert!(!is_set_up_by_user(|name| name == "PYTORCH_NO_CUDA_MEMORY_CACHING"));
    }

    #[test]
    fn a_cap_without_cuda_or_out_of_range_is_an_error() {
        // Without libtorch's CUDA part nothing would read the setting; with it, a share above 1 is refused.
        let error = limit_device_memory(1.5).unwrap_err().to_string();
        assert!(error.contains("per_process_memory_fraction"), "{error}");
    }

    /// With CUDA, `tests/cuda.rs` does it.
    #[test]
    fn without_cuda_there_is_no_history() {
        if !crate::torch::cuda_available() {
            for error in [record_allocator(10).unwrap_err(), allocator_snapshot().unwrap_err()] {
                assert!(error.to_string().contains("has no CUDA part"), "{error}");
            }
        }
    }
}
