//! The memory manager: it watches memory, and releases memory before it runs out.
//!
//! The monitor's thread only reads memory. Everything else happens on the thread that owns the manager, in
//! [`safe_point`](MemoryManager::safe_point) or [`clean`](MemoryManager::clean). The caller adds the caches that can
//! shrink; this file knows neither the data path nor the trainer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use bytesize::ByteSize;

use super::cleanup::{Cleanup, MemoryStats, Reason, Warning};
use super::history::History;
use super::monitor::{Finding, MemoryKind, Monitor, Watch};
use super::policy::MemoryPolicy;
use super::pressure::{Pressure, PressureChange};
use super::resizable::Resizable;
use crate::memory::readings::{Reading, Usage};
use crate::torch;

type OnWarning = Box<dyn FnMut(&Warning)>;

/// Watches memory for as long as it lives, and cleans up on the thread that owns it. It cannot be sent to another
/// thread:
///
/// ```compile_fail
/// use dfdetect::{config::MemoryManagement, memory::{MemoryManager, MemoryPolicy, Reading}};
///
/// let policy = MemoryPolicy::from(&MemoryManagement::default());
/// let manager = MemoryManager::start(&policy, || Reading::take(tch::Device::Cpu));
/// std::thread::spawn(move || manager.safe_point(1));
/// ```
///
/// `docs/memory-guide.md` shows how it is used.
pub struct MemoryManager {
    force_cleanup_every: u64,
    watch: Arc<Watch>,
    /// The monitor, whose thread ends when the manager is dropped.
    monitor: Option<Monitor>,
    resizables: RefCell<Vec<Box<dyn Resizable>>>,
    on_cleanup: RefCell<Vec<Box<dyn FnMut()>>>,
    on_warning: RefCell<Vec<OnWarning>>,
    cleanups: RefCell<Vec<Cleanup>>,
    stats: Cell<MemoryStats>,
}

impl MemoryManager {
    /// Starts watching memory with `read`, usually [`Reading::take`].
    #[must_use]
    pub fn start(policy: &MemoryPolicy, read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let watch = Arc::new(Watch::new(Arc::new(read), policy.cpu_threshold, policy.gpu_threshold));
        Self {
            force_cleanup_every: policy.force_cleanup_every,
            monitor: policy.monitoring.then(|| Monitor::start(&watch, policy.interval)),
            watch,
            resizables: RefCell::default(),
            on_cleanup: RefCell::default(),
            on_warning: RefCell::default(),
            cleanups: RefCell::default(),
            stats: Cell::default(),
        }
    }

    /// Adds a cache or queue that shrinks when host memory is short, after those that were added before it.
    pub fn add(&self, resizable: impl Resizable + 'static) {
        self.resizables.borrow_mut().push(Box::new(resizable));
    }

    /// Registers a callback of every clean-up, before libtorch's free blocks and the C heap are released: the place
    /// to drop caches of a model.
    pub fn on_cleanup(&self, callback: impl FnMut() + 'static) {
        self.on_cleanup.borrow_mut().push(Box::new(callback));
    }

    /// Registers a callback for when memory gets short, before the clean-up.
    pub fn on_warning(&self, callback: impl FnMut(&Warning) + 'static) {
        self.on_warning.borrow_mut().push(Box::new(callback));
    }

    /// A point where caches may shrink: between steps or parts of a step, after `steps` steps. Acts on the findings of
    /// the monitor and on the schedule. Returns whether memory is so short that a smaller micro-batch is worth its
    /// price; the caller makes it smaller.
    pub fn safe_point(&self, steps: u64) -> bool {
        let mut is_critical = false;
        if let Some(findings) = self.watch.take_findings() {
            let reading = self.watch.read();
            is_critical |= self.act(Reason::HostPressure, findings.host, &reading);
            // A run that left the GPU no longer asks how full it is.
            let of_gpu = findings.gpu.filter(|_| reading.gpu.is_some());
            is_critical |= self.act(Reason::GpuPressure, of_gpu, &reading);
        }
        if self.force_cleanup_every > 0 && steps > 0 && steps.is_multiple_of(self.force_cleanup_every) {
            self.clean(Reason::Scheduled);
        }
        is_critical
    }

    /// Acts on one finding. Returns whether a smaller micro-batch is worth its price.
    fn act(&self, reason: Reason, finding: Option<Finding>, reading: &Reading) -> bool {
        let Some(Finding { change, usage }) = finding else { return false };
        let is_host = reason == Reason::HostPressure;
        let pressure = if is_host { MemoryKind::Host } else { MemoryKind::Gpu };
        let threshold = self.watch.ask(pressure, Pressure::threshold);
        match change {
            PressureChange::Calm if is_host => self.grow(usage, threshold),
            PressureChange::Short => self.warn(&Warning { reason, usage, threshold }),
            PressureChange::Calm | PressureChange::StillShort => {}
        }
        if change == PressureChange::Calm {
            return false;
        }
        let cleanup = self.clean(reason);
        let is_critical = |usage: Usage| self.watch.ask(pressure, |pressure| pressure.is_critical(usage.share()));
        match is_host {
            // On the CPU the micro-batch takes host memory; it shrinks only when nothing else could.
            true => reading.gpu.is_none() && cleanup.changes.is_empty() && is_critical(cleanup.after.host),
            // Between steps the memory of a step is not in use, so the reading of the monitor counts.
            false => is_critical(usage),
        }
    }

    /// Logs a warning and passes it to the callbacks.
    fn warn(&self, warning: &Warning) {
        let what = if warning.reason == Reason::HostPressure { "host memory" } else { "GPU memory" };
        tracing::warn!("{what} is {}: cleaning up", used(warning.usage, warning.threshold));
        self.count(|stats| stats.warnings += 1);
        each(&self.on_warning, |callback| callback(warning));
    }

    /// Releases memory now, in this order: caches and queues shrink (where host memory is short, or the run is on the
    /// CPU and memory ran out), the callbacks run, libtorch's free blocks and the C heap are released.
    pub fn clean(&self, reason: Reason) -> Cleanup {
        let started = Instant::now();
        let before = self.watch.read();
        let shrinks = match reason {
            Reason::HostPressure => true,
            Reason::OutOfMemory => before.gpu.is_none(),
            Reason::GpuPressure | Reason::Scheduled => false,
        };
        let changes = if shrinks { self.shrink(reason, &before) } else { Vec::new() };
        each(&self.on_cleanup, |callback| callback());
        if let Err(error) = torch::release_cached_memory() {
            tracing::warn!("libtorch could not give its free blocks back: {error}");
        }
        let after = self.watch.read();
        let freed_bytes =
            before.held_bytes().zip(after.held_bytes()).map(|(before, after)| before.saturating_sub(after));
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!("clean-up ({reason:?}): {} given back in {ms:.1} ms", size(freed_bytes.unwrap_or(0)));
        let cleanup = Cleanup { reason, before, after, freed_bytes, ms, changes };
        self.count(|stats| {
            stats.cleanups += 1;
            stats.freed_bytes += freed_bytes.unwrap_or(0);
            stats.cleanup_ms += ms;
        });
        self.cleanups.borrow_mut().push(cleanup.clone());
        cleanup
    }

    /// Shrinks the first cache or queue that can shrink: by one notch, and by further notches while each frees memory
    /// and memory is still short.
    fn shrink(&self, reason: Reason, before: &Reading) -> Vec<String> {
        // Free pages of the heap may be enough, and must not count as freed by a cache.
        torch::trim_heap();
        let mut reading = self.watch.read();
        let is_short = |now: &Reading| self.watch.ask(MemoryKind::Host, |host| !host.is_calm(now.host.share()));
        if reason == Reason::HostPressure && !is_short(&reading) {
            return Vec::new();
        }
        let why = match reason {
            Reason::OutOfMemory => "memory ran out".to_owned(),
            _ => format!("host memory is {}", used(before.host, self.watch.ask(MemoryKind::Host, Pressure::threshold))),
        };
        let mut changes = Vec::new();
        each(&self.resizables, |resizable| {
            let size = resizable.size();
            if !changes.is_empty() || !resizable.shrink() {
                return;
            }
            let mut goes_on = reason == Reason::HostPressure;
            while goes_on {
                torch::trim_heap();
                let now = self.watch.read();
                goes_on = is_short(&now) && now.rss_bytes < reading.rss_bytes && resizable.shrink();
                reading = now;
            }
            changes.push(note_change(resizable.as_ref(), &size, &why));
        });
        changes
    }

    /// Grows the last cache or queue that was made smaller, by one notch.
    fn grow(&self, usage: Usage, threshold: f64) {
        let why = format!("host memory is {}", used(usage, threshold));
        let mut resizables = self.resizables.take();
        for resizable in resizables.iter_mut().rev() {
            let size = resizable.size();
            if resizable.grow() {
                note_change(resizable.as_ref(), &size, &why);
                break;
            }
        }
        self.resizables.borrow_mut().splice(0..0, resizables);
    }

    /// Stops watching the GPU, because the run continues on the CPU, or watches it again. Clean-ups are about host memory
    /// meanwhile.
    pub fn watch_gpu(&self, is_watched: bool) {
        self.watch.watch_gpu(is_watched);
    }

    /// Reads memory now.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.watch.read()
    }

    /// Counts of its clean-ups and warnings so far.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        self.stats.get()
    }

    /// The readings so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.watch.history()
    }

    /// The clean-ups since the last call.
    #[must_use]
    pub fn take_cleanups(&self) -> Vec<Cleanup> {
        self.cleanups.take()
    }

    /// Whether a thread watches memory.
    #[must_use]
    pub fn is_monitoring(&self) -> bool {
        self.monitor.is_some()
    }

    fn count(&self, change: impl FnOnce(&mut MemoryStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }
}

/// Calls `body` with each item of a list. The list is not borrowed meanwhile, so that `body` may add items to it, or
/// clean up itself.
fn each<T>(list: &RefCell<Vec<T>>, mut body: impl FnMut(&mut T)) {
    let mut taken = list.take();
    taken.iter_mut().for_each(&mut body);
    list.borrow_mut().splice(0..0, taken);
}

/// Logs in one line what changed and why; returns the change.
fn note_change(resizable: &dyn Resizable, size_before: &str, why: &str) -> String {
    let change = format!("{}: {size_before} -> {}", resizable.name(), resizable.size());
    tracing::info!("{change}, because {why}");
    change
}

fn used(usage: Usage, threshold: f64) -> String {
    format!("{:.0}% used (threshold {:.0}%)", usage.share() * 100.0, threshold * 100.0)
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests;
