//! The division of host memory: decoder threads, waiting clips, and the rest for the cache.
//!
//! The functions are pure; the caller knows how much memory there is.

use bytesize::ByteSize;

/// The most memory that a thread needs to decode one video: a 1080p H.264 decoder holds up to 17 reference frames of 3
/// MiB, plus the buffers of the converter. Usual streams take 4 to 28 MiB a thread, measured at 720p and 1080p.
pub const DECODER_BYTES: u64 = 64 << 20;
/// The clips in a thread: the clip that was read, its augmented copy, and a buffer.
const CLIPS_PER_WORKER: u64 = 3;

/// The requested size of a loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderNeeds {
    /// The number of decoder threads; 0 = the caller's thread decodes.
    pub num_workers: usize,
    /// Batches that are kept ready for each thread.
    pub prefetch_factor: usize,
    /// Clips in a batch.
    pub batch_size: usize,
    /// Batches that the caller holds at a time.
    pub held_batches: usize,
    /// The size of a clip.
    pub clip_bytes: u64,
    /// The memory of a thread apart from clips: [`DECODER_BYTES`] and the buffers of a reader.
    pub worker_bytes: u64,
}

/// The planned size of a loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderPlan {
    /// The number of decoder threads.
    pub workers: usize,
    /// The largest number of clips that are requested and not yet taken; at least one.
    pub window_clips: usize,
    /// The rest for the cache in memory.
    pub cache_bytes: u64,
    /// What was reduced, and why.
    pub why: Option<String>,
}

impl LoaderPlan {
    /// A plan with this number of threads and clips, whatever their memory.
    #[must_use]
    pub fn fixed(workers: usize, window_clips: usize) -> Self {
        Self { workers, window_clips: window_clips.max(1), cache_bytes: 0, why: None }
    }
}

/// Divides `budget_bytes`. If it is too small, first the number of waiting clips is reduced, down to one for each
/// thread; then the number of threads, down to one. One thread and one clip are the minimum for any budget.
#[must_use]
pub fn plan_loader(budget_bytes: u64, needs: &LoaderNeeds) -> LoaderPlan {
    let clip_bytes = needs.clip_bytes.max(1);
    let asked_workers = needs.num_workers;
    // Without threads, the caller decodes the one clip that it waits for.
    let asked_window = (asked_workers.max(1) * needs.prefetch_factor.max(1)).saturating_mul(needs.batch_size);
    let asked_window = if asked_workers == 0 { 1 } else { asked_window.max(asked_workers) };
    let held_bytes = (needs.held_batches * needs.batch_size) as u64 * clip_bytes;
    let worker_bytes = needs.worker_bytes.saturating_add(CLIPS_PER_WORKER * clip_bytes);
    let fixed_bytes = |workers: usize| held_bytes.saturating_add(workers.max(1) as u64 * worker_bytes);

    let mut workers = asked_workers;
    while workers > 1 && fixed_bytes(workers) + workers as u64 * clip_bytes > budget_bytes {
        workers -= 1;
    }
    let room = budget_bytes.saturating_sub(fixed_bytes(workers)) / clip_bytes;
    let window_clips = usize::try_from(room).unwrap_or(usize::MAX).clamp(workers.max(1), asked_window.max(1));
    let taken_bytes = fixed_bytes(workers).saturating_add(window_clips as u64 * clip_bytes);
    let size = |bytes| ByteSize(bytes).to_string();
    let shrunk = (workers, window_clips) != (asked_workers, asked_window);
    let why = match shrunk || taken_bytes > budget_bytes {
        true => Some(format!(
            "{workers} of {asked_workers} workers and {window_clips} of {asked_window} clips ahead, which take about {}, \
             for a host memory budget of {}",
            size(taken_bytes),
            size(budget_bytes)
        )),
        false => None,
    };
    LoaderPlan { workers, window_clips, cache_bytes: budget_bytes.saturating_sub(taken_bytes), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: LoaderNeeds = LoaderNeeds {
        num_workers: 4,
        prefetch_factor: 2,
        batch_size: 8,
        held_batches: 2,
        clip_bytes: 10,
        worker_bytes: 70,
    };

    fn plan(budget_bytes: u64) -> (usize, usize, u64, bool) {
        let plan = plan_loader(budget_bytes, &NEEDS);
        (plan.workers, plan.window_clips, plan.cache_bytes, plan.why.is_some())
    }

    #[test]
    fn clips_that_wait_give_way_first_then_threads() {
        // Held by the caller: 2 x 8 x 10 = 160. A thread: 70 + 3 x 10 = 100. The window: 4 x 2 x 8 = 64 clips.
        assert_eq!(plan(2000), (4, 64, 800, false));
        assert_eq!(plan(1200), (4, 64, 0, false));
        assert_eq!(plan(1199), (4, 63, 9, true));
        assert_eq!(plan(600), (4, 4, 0, true));
        assert_eq!(plan(599), (3, 13, 9, true));
        assert_eq!(plan(270), (1, 1, 0, true));
        assert_eq!(plan(0), (1, 1, 0, true), "less cannot be");
    }

    #[test]
    fn without_threads_one_clip_is_decoded_at_a_time() {
        let plan = plan_loader(1000, &LoaderNeeds { num_workers: 0, ..NEEDS });
        assert_eq!((plan.workers, plan.window_clips, plan.cache_bytes, plan.why), (0, 1, 730, None));
    }
}
