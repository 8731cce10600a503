//! The thread that reads memory every so often. It only reads and raises a flag; whatever is done about it is done by the
//! thread that trains, at a point where that is safe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::history::History;
use super::pressure::{Change, Pressure};
use super::reading::Reading;

/// Reads memory once; the seam where tests put readings of their own.
pub(super) type Read = Arc<dyn Fn() -> Reading + Send + Sync>;

/// Which memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Gpu,
}

/// What was found and not yet acted on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Findings {
    pub host: Option<Change>,
    pub gpu: Option<Change>,
}

/// What the monitor's thread and its owner share.
pub(super) struct Watch {
    read: Read,
    started: Instant,
    /// Whether there are findings: all that a safe point looks at while nothing happens.
    has_findings: AtomicBool,
    /// The run has left the GPU: what others do with it is no concern of it any more.
    without_gpu: AtomicBool,
    state: Mutex<State>,
    stopping: Condvar,
}

struct State {
    history: History,
    host: Pressure,
    gpu: Pressure,
    findings: Findings,
    stop: bool,
}

impl Watch {
    pub fn new(read: Read, cpu_threshold: f64, gpu_threshold: f64) -> Self {
        let state = State {
            history: History::default(),
            host: Pressure::new(cpu_threshold),
            gpu: Pressure::new(gpu_threshold),
            findings: Findings::default(),
            stop: false,
        };
        Self {
            read,
            started: Instant::now(),
            has_findings: AtomicBool::new(false),
            without_gpu: AtomicBool::new(false),
            state: Mutex::new(state),
            stopping: Condvar::new(),
        }
    }

    /// Reads memory and keeps the reading.
    pub fn read(&self) -> Reading {
        let mut reading = (self.read)();
        if self.without_gpu.load(Ordering::Relaxed) {
            (reading.gpu, reading.allocator) = (None, None);
        }
        self.lock().history.note(self.started.elapsed(), reading);
        reading
    }

    /// Reads memory, keeps the reading, and compares it with the thresholds.
    pub fn observe(&self) {
        let reading = self.read();
        let mut state = self.lock();
        let host = state.host.observe(reading.host.share());
        note(&mut state.findings.host, host);
        if let Some(gpu) = reading.gpu {
            let gpu = state.gpu.observe(gpu.share());
            note(&mut state.findings.gpu, gpu);
        }
        let found = state.findings.host.is_some() || state.findings.gpu.is_some();
        self.has_findings.store(found, Ordering::Release);
    }

    /// From here on only host and process are read.
    pub fn leave_gpu(&self) {
        self.without_gpu.store(true, Ordering::Relaxed);
    }

    /// What was found since the last call; cheap where that is nothing.
    pub fn take_findings(&self) -> Option<Findings> {
        if !self.has_findings.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        self.has_findings.store(false, Ordering::Release);
        Some(std::mem::take(&mut state.findings))
    }

    pub fn history(&self) -> History {
        self.lock().history.clone()
    }

    /// Answers a question about the pressure on one kind of memory.
    pub fn ask<T>(&self, kind: Kind, question: impl FnOnce(&Pressure) -> T) -> T {
        let state = self.lock();
        question(match kind {
            Kind::Host => &state.host,
            Kind::Gpu => &state.gpu,
        })
    }

    /// Nothing is computed under the lock, so a thread that panicked cannot have left it half-changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, interval: Duration) {
        loop {
            self.observe();
            let state = self.lock();
            let waited = self.stopping.wait_timeout_while(state, interval, |state| !state.stop);
            if waited.unwrap_or_else(PoisonError::into_inner).0.stop {
                return;
            }
        }
    }
}

/// Puts a new finding in the place of one that nobody has acted on yet; that memory got short is not lost over that it
/// stayed so.
fn note(pending: &mut Option<Change>, found: Option<Change>) {
    let stands = *pending == Some(Change::Short) && found == Some(Change::StillShort);
    if !stands {
        *pending = found.or(*pending);
    }
}

/// The running thread; ends when dropped.
pub(super) struct Monitor {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Starts reading every `interval`. Where no thread can be had, a line says so and nothing is watched.
    pub fn start(watch: &Arc<Watch>, interval: Duration) -> Self {
        let shared = watch.clone();
        let thread = thread::Builder::new().name("memory".into()).spawn(move || shared.run(interval));
        let thread = thread.inspect_err(|error| tracing::warn!("memory is not watched: {error}")).ok();
        Self { watch: watch.clone(), thread }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.watch.lock().stop = true;
        self.watch.stopping.notify_all();
        if let Some(thread) = self.thread.take() {
            // A reading cannot panic; if one did all the same, dropping is no place to say so.
            let _ = thread.join();
        }
    }
}
