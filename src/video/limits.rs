//! The limits of a video: number of pixels, reading time, and the smallest number of frames. Knows nothing of files.

use std::time::{Duration, Instant};

/// The size above which a picture is refused, because it would not fit in memory.
pub(super) const MAX_PIXELS: u64 = 64_000_000;

/// The deadline for reading a video.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    end: Option<Instant>,
    secs: f64,
}

impl Deadline {
    pub(super) fn after(secs: f64) -> Self {
        let end = Duration::try_from_secs_f64(secs).ok().and_then(|limit| Instant::now().checked_add(limit));
        Self { end, secs }
    }

    pub(super) fn passed(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.passed() { Err(self.message()) } else { Ok(()) }
    }

    pub(super) fn message(&self) -> String {
        format!("reading it took longer than {} s (data.deadline_secs)", self.secs)
    }
}

pub(super) fn check_frames(frames: usize, min_frames: usize) -> Result<(), String> {
    if frames < min_frames.max(1) {
        return Err(format!("it has {frames} frames where {} are needed", min_frames.max(1)));
    }
    Ok(())
}
