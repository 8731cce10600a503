//! Batches in the order of a plan, decoded ahead by threads.
//!
//! The caller's thread hands out jobs, at most a window of clips ahead of what it has taken; threads answer in any order
//! and the caller puts the answers in order. So memory is bounded by the window, and the number of threads changes
//! nothing but the speed. Knows nothing of tensors.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::decode::ClipSpec;
use super::manifest::Label;
use super::source::{Clip, ClipSource};

/// Clips of some videos, ready to become tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBatch {
    /// Position of the batch in the plan.
    pub index: usize,
    /// RGB bytes: clips x T x height x width x 3.
    pub frames_bthwc: Vec<u8>,
    /// One label a clip.
    pub labels: Vec<Label>,
    /// One video a clip: its number in the manifest.
    pub videos: Vec<usize>,
    /// Videos of the batch that could not be read, and why; they have no clip.
    pub skipped: Vec<(usize, String)>,
}

/// Threads that decode, for as long as it lives. Dropping it ends them: each finishes at most the clip it is at.
pub struct Loader {
    source: Arc<ClipSource>,
    /// `None` where the caller's thread decodes. Holds numbers only, no more than the windows of the open passes.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    prefetch_batches: usize,
}

struct Job {
    /// Position of the clip in the pass.
    turn: usize,
    video: usize,
    pass: Arc<Answers>,
}

/// How threads reach the pass that a job came from.
struct Answers {
    clips: Sender<(usize, Clip)>,
    cancelled: AtomicBool,
}

impl Loader {
    /// Starts `num_workers` threads; with 0, the thread that asks for batches decodes them. A pass is decoded at most
    /// `prefetch_batches` batches (at least one) ahead.
    #[must_use]
    pub fn new(source: Arc<ClipSource>, num_workers: usize, prefetch_batches: usize) -> Self {
        let (sender, receiver) = unbounded();
        let mut threads = Vec::new();
        for worker in 0..num_workers {
            let (source, jobs) = (source.clone(), receiver.clone());
            match thread::Builder::new().name(format!("decode-{worker}")).spawn(move || work(&source, &jobs)) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    tracing::warn!("only {worker} of {num_workers} decoding threads can be started: {error}");
                    break;
                }
            }
        }
        let jobs = (!threads.is_empty()).then_some(sender);
        Self { source, jobs, threads, prefetch_batches: prefetch_batches.max(1) }
    }

    /// How its clips are taken.
    #[must_use]
    pub fn spec(&self) -> &ClipSpec {
        self.source.spec()
    }

    /// Starts on a plan: the videos of each batch. Batches come in its order; a pass may be dropped at any time.
    #[must_use]
    pub fn pass(&self, plan: Vec<Vec<usize>>) -> Pass<'_> {
        let largest_batch = plan.iter().map(Vec::len).max().unwrap_or(0);
        let window = (self.prefetch_batches * largest_batch).max(1);
        // An answer always finds room, so a thread never waits for a caller who is gone.
        let (clips, answers) = bounded(window);
        let pass = Arc::new(Answers { clips, cancelled: AtomicBool::new(false) });
        let turns = plan.concat();
        let mut pass = Pass {
            loader: self,
            plan,
            turns,
            window,
            pass,
            answers,
            early: HashMap::new(),
            sent: 0,
            taken: 0,
            next: 0,
        };
        pass.top_up();
        pass
    }
}

fn work(source: &ClipSource, jobs: &Receiver<Job>) {
    for Job { turn, video, pass } in jobs {
        if !pass.cancelled.load(Ordering::Relaxed) {
            // Fails where the pass is gone, and then nobody wants the clip.
            let _ = pass.clips.send((turn, source.clip(video)));
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // What a thread is asked to do cannot panic; if one did all the same, dropping is no place to say so.
            let _ = thread.join();
        }
    }
}

/// Once through a plan.
pub struct Pass<'l> {
    loader: &'l Loader,
    plan: Vec<Vec<usize>>,
    /// The videos of the plan, one after the other.
    turns: Vec<usize>,
    window: usize,
    pass: Arc<Answers>,
    answers: Receiver<(usize, Clip)>,
    /// Clips that came before their turn.
    early: HashMap<usize, Clip>,
    sent: usize,
    taken: usize,
    next: usize,
}

impl Pass<'_> {
    /// The next batch of the plan, once its clips are there; `None` after the last one.
    pub fn next_batch(&mut self) -> Option<HostBatch> {
        let index = self.next;
        let videos = self.plan.get(index)?.clone();
        self.next += 1;
        let source = &self.loader.source;
        let frames_bthwc = Vec::with_capacity(videos.len() * source.spec().clip_bytes());
        let mut batch = HostBatch { index, frames_bthwc, labels: Vec::new(), videos: Vec::new(), skipped: Vec::new() };
        for video in videos {
            match self.next_clip() {
                Ok(clip_thwc) => {
                    batch.frames_bthwc.extend_from_slice(&clip_thwc);
                    batch.labels.push(source.label(video));
                    batch.videos.push(video);
                }
                Err(reason) => batch.skipped.push((video, reason)),
            }
            self.top_up();
        }
        Some(batch)
    }

    fn next_clip(&mut self) -> Clip {
        let turn = self.taken;
        self.taken += 1;
        if self.loader.jobs.is_none() {
            return self.loader.source.clip(self.turns[turn]);
        }
        loop {
            if let Some(clip) = self.early.remove(&turn) {
                return clip;
            }
            let (turn, clip) = self.answers.recv().expect("the pass itself holds a sender");
            self.early.insert(turn, clip);
        }
    }

    /// Hands out jobs until the window is full.
    fn top_up(&mut self) {
        let Some(jobs) = &self.loader.jobs else {
            return;
        };
        while self.sent < self.turns.len() && self.sent < self.taken + self.window {
            let job = Job { turn: self.sent, video: self.turns[self.sent], pass: self.pass.clone() };
            jobs.send(job).expect("threads take jobs until the loader is dropped");
            self.sent += 1;
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.pass.cancelled.store(true, Ordering::Relaxed);
    }
}
