//! The loader: batches in the order of a plan, decoded in advance by threads.
//!
//! The caller's thread sends jobs, at most a window of clips ahead of the clips that it has taken; threads answer in
//! any order, and the caller sorts the answers. So the window bounds memory, and the number of threads changes only the
//! speed. If memory is short, the window is halved, and then the number of threads; see [`Loader::shrink`]. This file
//! knows nothing of tensors.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, bounded};

use super::budget::LoaderPlan;
use super::host_batch::HostBatch;
use super::mixing::Mixing;
use super::queue::{Answers, Job, Queue, QueueState, halved, work};
use crate::clip::{Clip, ClipSource, Draw};
use crate::config::AugmentationConfig;
use crate::video::ClipSpec;

/// The current size of a loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderSize {
    /// The number of decoder threads; 0 = the caller's thread decodes.
    pub threads: usize,
    /// The largest number of clips that are requested and not yet taken.
    pub clips_ahead: usize,
}

/// Decoder threads. When the loader is dropped, each thread finishes at most its current clip and ends.
pub struct Loader {
    source: Arc<ClipSource>,
    queue: Arc<Queue>,
    /// The threads; empty if the caller's thread decodes.
    threads: Vec<JoinHandle<()>>,
    window_clips: usize,
    mixing: Option<Mixing>,
}

impl Loader {
    /// Starts the threads of a plan. Without threads, the caller's thread decodes.
    #[must_use]
    pub fn new(source: Arc<ClipSource>, plan: &LoaderPlan) -> Self {
        let queue = Arc::new(Queue::default());
        let mut threads = Vec::new();
        let workers = plan.workers;
        for worker in 0..workers {
            let (source, queue) = (source.clone(), queue.clone());
            match thread::Builder::new()
                .name(format!("decode-{worker}"))
                .spawn(move || work(worker, workers, &source, &queue))
            {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    tracing::warn!("only {worker} of {workers} decoding threads can be started: {error}");
                    break;
                }
            }
        }
        Self { source, queue, threads, window_clips: plan.window_clips.max(1), mixing: None }
    }

    /// Mixes the clips of batches that are requested with a draw, as configured.
    #[must_use]
    pub fn with_mixing(mut self, config: &AugmentationConfig) -> Self {
        self.mixing = Mixing::new(config);
        self
    }

    /// The specification of its clips.
    #[must_use]
    pub fn spec(&self) -> &ClipSpec {
        self.source.spec()
    }

    /// The clips of a video, one for each face that is used; see [`ClipSource::clips_of`].
    #[must_use]
    pub fn clips_of(&self, video: usize) -> Vec<usize> {
        self.source.clips_of(video)
    }

    /// The video and the face of a clip.
    #[must_use]
    pub fn face_of(&self, clip: usize) -> (usize, usize) {
        self.source.face_of(clip)
    }

    /// The size of the clips that the cache keeps in memory.
    #[must_use]
    pub fn cached_bytes(&self) -> u64 {
        self.source.cache().stats().bytes
    }

    /// The current size.
    #[must_use]
    pub fn size(&self) -> LoaderSize {
        self.size_of(&self.queue.lock())
    }

    fn size_of(&self, state: &QueueState) -> LoaderSize {
        LoaderSize {
            threads: halved(self.threads.len(), state.thread_halvings).max(self.threads.len().min(1)),
            clips_ahead: halved(self.window_clips, state.window_halvings).max(1),
        }
    }

    /// Halves the window of clips; once it is as small as the number of threads, halves the threads instead, down to
    /// one of each. This is for when memory is short. Clips in memory are not dropped; the effect comes as clips are
    /// taken. Returns whether anything could be halved.
    pub fn shrink(&self) -> bool {
        let mut state = self.queue.lock();
        let size = self.size_of(&state);
        if size.clips_ahead > size.threads.max(1) {
            state.window_halvings += 1;
        } else if size.threads > 1 {
            state.thread_halvings += 1;
        } else {
            return false;
        }
        true
    }

    /// Reverts one [`shrink`](Self::shrink). Returns whether there was one.
    pub fn grow(&self) -> bool {
        let mut state = self.queue.lock();
        let more_threads = halved(self.threads.len(), state.thread_halvings.saturating_sub(1));
        let threads_next = state.thread_halvings > 0 && more_threads <= self.size_of(&state).clips_ahead;
        if threads_next || state.window_halvings == 0 {
            if state.thread_halvings == 0 {
                return false;
            }
            state.thread_halvings -= 1;
        } else {
            state.window_halvings -= 1;
        }
        self.queue.changed.notify_all();
        true
    }

    /// Starts a pass over a plan: the videos of each batch, augmented if there is a draw. Batches come in the order of
    /// the plan. A pass may be dropped at any time.
    #[must_use]
    pub fn pass(&self, plan: Vec<Vec<usize>>, draw: Option<Draw>) -> Pass<'_> {
        self.pass_from(plan, 0, draw)
    }

    /// Like [`pass`](Self::pass), but starts at batch `next` of the plan. The batches are those of a full pass.
    #[must_use]
    pub fn pass_from(&self, plan: Vec<Vec<usize>>, next: usize, draw: Option<Draw>) -> Pass<'_> {
        // The channel has capacity for all answers, so a thread never waits for a caller that is gone.
        let (clips, answers) = bounded(self.window_clips);
        let pass = Arc::new(Answers { clips, cancelled: AtomicBool::new(false) });
        let turns = visits(&plan);
        let taken = plan.iter().take(next).map(Vec::len).sum();
        let mut pass =
            Pass { loader: self, plan, turns, draw, pass, answers, early: HashMap::new(), sent: taken, taken, next };
        pass.top_up();
        pass
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Jobs do not panic. If one does, the result is ignored, because `drop` cannot report it.
            let _ = thread.join();
        }
    }
}

/// One pass over a plan.
pub struct Pass<'l> {
    loader: &'l Loader,
    plan: Vec<Vec<usize>>,
    /// The videos of the plan in order, each with the number of its earlier visits in the plan.
    turns: Vec<(usize, usize)>,
    draw: Option<Draw>,
    pass: Arc<Answers>,
    answers: Receiver<(usize, Clip)>,
    /// Clips that were decoded before their turn.
    early: HashMap<usize, Clip>,
    sent: usize,
    taken: usize,
    next: usize,
}

impl Pass<'_> {
    /// The next batch of the plan, once its clips are decoded; `None` after the last one.
    pub fn next_batch(&mut self) -> Option<HostBatch> {
        let index = self.next;
        let videos = self.plan.get(index).cloned()?;
        let source = &self.loader.source;
        let spec = if self.draw.is_some() { source.training_spec() } else { source.spec() };
        self.next += 1;
        let mut batch = HostBatch {
            index,
            clips: Vec::new(),
            labels: Vec::new(),
            fake_shares: Vec::new(),
            videos: Vec::new(),
            skipped: Vec::new(),
        };
        for video in videos {
            match self.next_clip() {
                Ok(clip) => {
                    batch.clips.push(clip);
                    batch.labels.push(source.label(video));
                    batch.videos.push(video);
                }
                Err(reason) => batch.skipped.push((video, reason)),
            }
            self.top_up();
        }
        if let (Some(mixing), Some(draw)) = (self.loader.mixing, self.draw) {
            mixing.apply(&mut batch, [spec.height, spec.width], draw.of_batch(index));
        }
        Some(batch)
    }

    fn next_clip(&mut self) -> Clip {
        let turn = self.taken;
        self.taken += 1;
        if self.loader.threads.is_empty() {
            let (video, draw) = self.job(turn);
            return self.loader.source.clip(video, draw);
        }
        loop {
            if let Some(clip) = self.early.remove(&turn) {
                return clip;
            }
            let (turn, clip) = self.answers.recv().expect("the pass itself holds a sender");
            self.early.insert(turn, clip);
        }
    }

    /// The next video, with the draw of this visit.
    fn job(&self, turn: usize) -> (usize, Option<Draw>) {
        let (video, visit) = self.turns[turn];
        (video, self.draw.map(|draw| draw.of_visit(visit)))
    }

    /// Sends jobs until the window is full.
    fn top_up(&mut self) {
        if self.loader.threads.is_empty() {
            return;
        }
        let mut queue = self.loader.queue.lock();
        let window = self.loader.size_of(&queue).clips_ahead;
        while self.sent < self.turns.len() && self.sent < self.taken + window {
            let (turn, (video, draw)) = (self.sent, self.job(self.sent));
            queue.jobs.push_back(Job { turn, video, draw, pass: self.pass.clone() });
            self.sent += 1;
        }
        drop(queue);
        self.loader.queue.changed.notify_all();
    }
}

/// The videos of a plan in order, each with the number of its earlier visits.
fn visits(plan: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let visit = |video: &usize| {
        let times = seen.entry(*video).or_default();
        *times += 1;
        (*video, *times - 1)
    };
    plan.iter().flatten().map(visit).collect()
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.pass.cancelled.store(true, Ordering::Relaxed);
    }
}
