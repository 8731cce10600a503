//! The queue between the caller and the decoding threads, and what a thread does with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;

use crate::clip::{Clip, ClipSource, Draw};

pub(super) struct Job {
    /// Position of the clip in the pass.
    pub(super) turn: usize,
    pub(super) video: usize,
    pub(super) draw: Option<Draw>,
    pub(super) pass: Arc<Answers>,
}

/// How threads reach the pass that a job came from.
pub(super) struct Answers {
    pub(super) clips: Sender<(usize, Clip)>,
    pub(super) cancelled: AtomicBool,
}

/// Jobs for the threads. Holds numbers only, no more than the windows of the open passes.
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
    /// How often the threads were.
    pub(super) thread_halvings: u32,
    pub(super) closed: bool,
}

impl Queue {
    /// No work is done under the lock, so a thread that panicked cannot have left it half-changed.
    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job for a thread, once there is one and the thread is not among those that rest; `None` at the end.
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
            // Fails where the pass is gone, and then nobody wants the clip.
            let _ = pass.clips.send((turn, source.clip(video, draw)));
        }
    }
}
