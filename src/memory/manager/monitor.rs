//! The monitor: a thread that reads memory at an interval. The thread only reads and raises a flag; the thread that
//! trains acts on it, at a point where that is safe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::history::History;
use super::pressure::{Pressure, PressureChange};
use crate::memory::readings::{Reading, Usage};

/// A function that reads memory once; tests pass readings of their own.
pub(super) type ReadMemory = Arc<dyn Fn() -> Reading + Send + Sync>;

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemoryKind {
    Host,
    Gpu,
}

/// A change of pressure, and the usage that showed it: at the point where somebody acts on it, the memory of a step may be
/// free again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Finding {
    pub change: PressureChange,
    pub usage: Usage,
}

/// Changes of pressure that nobody has acted on yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Findings {
    pub host: Option<Finding>,
    pub gpu: Option<Finding>,
}

/// The state that the monitor's thread and its owner share.
pub(super) struct Watch {
    read: ReadMemory,
    started: Instant,
    /// Whether there are findings. A safe point reads nothing else while there are none.
    has_findings: AtomicBool,
    /// The run has left the GPU, and the GPU is not watched any more.
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
    pub fn new(read: ReadMemory, cpu_threshold: f64, gpu_threshold: f64) -> Self {
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
        note(&mut state.findings.host, host, reading.host);
        if let Some(usage) = reading.gpu {
            let gpu = state.gpu.observe(usage.share());
            note(&mut state.findings.gpu, gpu, usage);
        }
        let found = state.findings.host.is_some() || state.findings.gpu.is_some();
        self.has_findings.store(found, Ordering::Release);
    }

    /// Reads only host and process, or the GPU again.
    pub fn watch_gpu(&self, is_watched: bool) {
        self.without_gpu.store(!is_watched, Ordering::Relaxed);
    }

    /// The findings since the last call; the call is cheap where there are none.
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
    pub fn ask<T>(&self, kind: MemoryKind, question: impl FnOnce(&Pressure) -> T) -> T {
        let state = self.lock();
        question(match kind {
            MemoryKind::Host => &state.host,
            MemoryKind::Gpu => &state.gpu,
        })
    }

    /// Locks the state. A thread that panicked cannot have left it half-changed, because nothing that can panic runs
    /// under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Observes memory at the interval, until the monitor is dropped.
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

/// Replaces a pending finding by a new one. A pending "short" stays where the new one is "still short", so that its
/// warning is not lost.
fn note(pending: &mut Option<Finding>, found: Option<PressureChange>, usage: Usage) {
    let Some(change) = found else { return };
    let is_short = pending.is_some_and(|pending| pending.change == PressureChange::Short);
    let change = if is_short && change == PressureChange::StillShort { PressureChange::Short } else { change };
    *pending = Some(Finding { change, usage });
}

/// The running thread, which ends when this value is dropped.
pub(super) struct Monitor {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Starts a thread that reads memory every `interval`. If the thread cannot be started, a warning is logged and
    /// memory is not watched.
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
            // A panic of the thread is ignored: a reading cannot panic, and drop could not report it.
            let _ = thread.join();
        }
    }
}
