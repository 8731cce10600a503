//! The queue of jobs between the caller and the decoder threads. Knows nothing of batches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;

use crate::clip::{Clip, ClipSource, Draw};

pub(super) struct Job {
    /// The position of the clip in the pass.
    pub(super) turn: usize,
    pub(super) video: usize,
    pub(super) draw: Option<Draw>,
    pub(super) pass: Arc<Answers>,
}

/// The connection from threads to the pass of a job.
pub(super) struct Answers {
    pub(super) clips: Sender<(usize, Clip)>,
    pub(super) cancelled: AtomicBool,
}

/// The jobs for the threads. It holds only numbers, at most the windows of the open passes.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct QueueState {
    pub(super) jobs: VecDeque<Job>,
    /// How often the window was halved.
    pub(super) window_halvings: u32,
    /// How often the number of threads was halved.
    pub(super) thread_halvings: u32,
    pub(super) closed: bool,
}

impl Queue {
    /// A poisoned lock is used on: no work is done under the lock, so a thread that panicked cannot have left it
    /// half-changed.
    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next job for thread `worker`, unless that thread is paused; `None` at the end.
    pub(super) fn take(&self, worker: usize, workers: usize) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if worker < halved(workers, state.thread_halvings).max(1)
                && let Some(job) = state.jobs.pop_front()
            {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

pub(super) fn halved(count: usize, times: u32) -> usize {
    count.checked_shr(times).unwrap_or(0)
}

pub(super) fn work(worker: usize, workers: usize, source: &ClipSource, queue: &Queue) {
    while let Some(Job { turn, video, draw, pass }) = queue.take(worker, workers) {
        if !pass.cancelled.load(Ordering::Relaxed) {
            // Sending fails if the pass is gone; then nobody needs the clip.
            let _ = pass.clips.send((turn, source.clip(video, draw)));
        }
    }
}
