//! The readings of a run: the last ones, and peak and mean of all of them. Takes no reading; that is `monitor.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::memory::readings::Reading;

/// The number of readings that are kept one by one: six hours of them at the default interval.
const KEPT: usize = 720;

/// Peak and mean of a number of bytes, over all readings that have it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PeakAndMean {
    /// The most.
    pub peak_bytes: u64,
    /// The mean.
    pub mean_bytes: f64,
    readings: u64,
}

impl PeakAndMean {
    fn note(&mut self, bytes: u64) {
        self.readings += 1;
        self.peak_bytes = self.peak_bytes.max(bytes);
        self.mean_bytes += (bytes as f64 - self.mean_bytes) / self.readings as f64;
    }
}

/// The readings of a run: the last 720, and peak and mean of all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The last readings, oldest first, each with the time since the start.
    pub readings: VecDeque<(Duration, Reading)>,
    /// Host memory in use, by all processes.
    pub host: PeakAndMean,
    /// Memory of the GPU in use; zero on the CPU.
    pub gpu: PeakAndMean,
    /// Resident memory of this process.
    pub rss: PeakAndMean,
}

impl History {
    /// Adds a reading.
    pub(super) fn note(&mut self, since_start: Duration, reading: Reading) {
        self.host.note(reading.host.used_bytes);
        if let Some(gpu) = reading.gpu {
            self.gpu.note(gpu.used_bytes);
        }
        if let Some(bytes) = reading.rss_bytes {
            self.rss.note(bytes);
        }
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back((since_start, reading));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::readings::Usage;

    #[test]
    fn the_ring_is_bounded_and_peak_and_mean_are_over_all() {
        let mut history = History::default();
        for number in 0..2000 {
            let host = Usage { used_bytes: number, total_bytes: 2000 };
            let rss_bytes = (number % 2 == 0).then_some(number);
            history.note(Duration::from_secs(number), Reading { host, rss_bytes, ..Reading::default() });
        }
        assert_eq!(history.readings.len(), KEPT);
        assert_eq!(history.readings.back().map(|(at, _)| at.as_secs()), Some(1999));
        assert_eq!(history.host.peak_bytes, 1999);
        assert!((history.host.mean_bytes - 999.5).abs() < 1e-6, "{}", history.host.mean_bytes);
        assert!((history.rss.mean_bytes - 999.0).abs() < 1e-6);
        assert_eq!(history.gpu, PeakAndMean::default());
    }
}
