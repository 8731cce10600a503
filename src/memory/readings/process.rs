//! Memory of this process, from `/proc/self`. Sets no limit; that is `process_limits.rs`.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// The peak of the resident memory before the last reset.
static EARLIER_PEAK_BYTES: AtomicU64 = AtomicU64::new(0);

/// Memory of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessMemory {
    /// Resident now.
    pub rss_bytes: Option<u64>,
    /// The most that was ever resident.
    pub peak_rss_bytes: Option<u64>,
    /// Areas of address space that it has mapped; the kernel stops at `vm.max_map_count`, usually 65,530.
    pub maps: Option<usize>,
}

impl ProcessMemory {
    /// Reads it now.
    pub(super) fn read() -> Self {
        let status = self_status();
        Self {
            rss_bytes: status.as_deref().and_then(|text| status_bytes(text, "VmRSS")),
            peak_rss_bytes: process_peak_rss_bytes(),
            maps: fs::read_to_string("/proc/self/maps").ok().map(|maps| maps.lines().count()),
        }
    }
}

/// Resident memory of this process now; `None` if it cannot be read. Cheap enough for every step.
#[must_use]
pub fn process_rss_bytes() -> Option<u64> {
    status_bytes(&self_status()?, "VmRSS")
}

/// The peak of the resident memory of this process since its start; `None` if it cannot be read.
#[must_use]
pub fn process_peak_rss_bytes() -> Option<u64> {
    process_recent_peak_bytes().map(|peak| peak.max(EARLIER_PEAK_BYTES.load(Ordering::Relaxed)))
}

/// The peak of the resident memory of this process since [`reset_process_peak`]; `None` if it cannot be read.
#[must_use]
pub fn process_recent_peak_bytes() -> Option<u64> {
    status_bytes(&self_status()?, "VmHWM")
}

/// Resets the recent peak of the resident memory to what is resident now; where the system cannot do that, it stays.
pub fn reset_process_peak() {
    EARLIER_PEAK_BYTES.fetch_max(process_recent_peak_bytes().unwrap_or(0), Ordering::Relaxed);
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Resident pages of files that this process has mapped, which is the code of its libraries; `None` if it cannot be
/// read.
#[must_use]
pub fn process_file_bytes() -> Option<u64> {
    status_bytes(&self_status()?, "RssFile")
}

/// Memory that this process may write to: heap, stacks, anonymous maps, touched or not.
pub(super) fn process_data_bytes() -> Option<u64> {
    status_bytes(&self_status()?, "VmData")
}

fn self_status() -> Option<String> {
    fs::read_to_string("/proc/self/status").ok()
}

/// A `Key:   123 kB` line of `/proc/*/status`; the kernel's kB is 1,024 bytes.
pub(super) fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read_by_their_whole_name() {
        let status =
            "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  2048 kB\nVmRSSFile:\t 1 kB\nVmRSS:\t   1616 kB\nVmData: lots\n";
        assert_eq!(status_bytes(status, "VmRSS"), Some(1616 * 1024));
        assert_eq!(status_bytes(status, "VmHWM"), Some(2 << 20));
        assert_eq!(status_bytes(status, "VmData"), None);
        assert_eq!(status_bytes(status, "VmSwap"), None);
    }

    #[test]
    fn this_process_grows_when_it_touches_memory() {
        let before = process_rss_bytes().unwrap();
        let block = vec![1u8; 64 << 20];
        let after = process_rss_bytes().unwrap();
        assert!(after >= before + (48 << 20), "{before} -> {after}");
        drop(std::hint::black_box(block));
        let peak = process_peak_rss_bytes().unwrap();
        assert!(peak >= before + (48 << 20), "{before} -> {after}, peak {peak}");
        reset_process_peak();
        let since_start = process_peak_rss_bytes().unwrap();
        assert!(since_start >= peak, "{since_start}, before the reset {peak}");
    }
}
