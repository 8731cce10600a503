//! Gives memory back before it runs out: thresholds that are watched, caches that shrink and grow, clean-ups that are
//! measured.
//!
//! A thread of its own only reads memory. Everything else happens on the owner's thread, in
//! [`safe_point`](MemoryManager::safe_point) or [`clean`](MemoryManager::clean). What there is to shrink, the caller says;
//! this file knows neither the data room nor the trainer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::history::History;
use super::monitor::{Kind, Monitor, Watch};
use super::pressure::{Change, Pressure};
use super::reading::{Reading, Usage};
use crate::config;
use crate::torch;

/// When memory is cleaned up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryPolicy {
    /// Share of the GPU's memory in use from which on it counts as short, 0 to 1.
    pub gpu_threshold: f64,
    /// The same of host memory, or of the control group's limit.
    pub cpu_threshold: f64,
    /// Time between two readings of the monitor.
    pub interval: Duration,
    /// Whether there is a monitor.
    pub monitoring: bool,
    /// Clean up after every so many steps, however much memory is free; 0 = never.
    pub force_cleanup_every: u64,
}

impl From<&config::MemoryManagement> for MemoryPolicy {
    fn from(config: &config::MemoryManagement) -> Self {
        Self {
            gpu_threshold: config.gpu_threshold,
            cpu_threshold: config.cpu_threshold,
            interval: Duration::from_secs_f64(config.auto_cleanup_interval),
            monitoring: config.enable_monitoring,
            force_cleanup_every: config.force_cleanup_every,
        }
    }
}

/// Something that takes host memory and can do with less.
pub trait Elastic {
    /// What the log calls it.
    fn name(&self) -> &str;
    /// Its size in a few words.
    fn size(&self) -> String;
    /// Makes it smaller by a notch; `false` where it cannot be smaller.
    fn shrink(&mut self) -> bool;
    /// Makes it larger by a notch; `false` where it is as large as configured.
    fn grow(&mut self) -> bool;
}

/// Why memory was cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Host memory is short.
    HostPressure,
    /// Memory of the GPU is short.
    GpuPressure,
    /// It was time for it.
    Scheduled,
    /// Memory ran out.
    OutOfMemory,
}

/// One clean-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cleanup {
    /// Why.
    pub reason: Reason,
    /// Memory before.
    pub before: Reading,
    /// Memory after.
    pub after: Reading,
    /// What was given back: resident memory, or on a GPU what libtorch had reserved. Absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freed_bytes: Option<u64>,
    /// Time it took, milliseconds.
    pub ms: f64,
    /// What is smaller from here on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<String>,
}

/// Memory got short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warning {
    /// [`Reason::HostPressure`] or [`Reason::GpuPressure`].
    pub reason: Reason,
    /// What is in use of it.
    pub usage: Usage,
    /// The share that was crossed.
    pub threshold: f64,
}

/// What a manager did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MemoryStats {
    /// Clean-ups.
    pub cleanups: u64,
    /// What they gave back together.
    pub freed_bytes: u64,
    /// Time that they took together, milliseconds.
    pub cleanup_ms: f64,
    /// Times that memory got short.
    pub warnings: u64,
}

type OnWarning = Box<dyn FnMut(&Warning)>;

/// Watches memory for as long as it lives, and cleans up on the thread that owns it. It cannot be sent to another thread:
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
    /// Dropped with the manager, which ends its thread.
    monitor: Option<Monitor>,
    elastics: RefCell<Vec<Box<dyn Elastic>>>,
    on_cleanup: RefCell<Vec<Box<dyn FnMut()>>>,
    on_warning: RefCell<Vec<OnWarning>>,
    cleanups: RefCell<Vec<Cleanup>>,
    stats: Cell<MemoryStats>,
}

impl MemoryManager {
    /// Starts watching; `read` is where readings come from, usually [`Reading::take`].
    #[must_use]
    pub fn start(policy: &MemoryPolicy, read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let watch = Arc::new(Watch::new(Arc::new(read), policy.cpu_threshold, policy.gpu_threshold));
        Self {
            force_cleanup_every: policy.force_cleanup_every,
            monitor: policy.monitoring.then(|| Monitor::start(&watch, policy.interval)),
            watch,
            elastics: RefCell::default(),
            on_cleanup: RefCell::default(),
            on_warning: RefCell::default(),
            cleanups: RefCell::default(),
            stats: Cell::default(),
        }
    }

    /// Adds what is to shrink when host memory is short, after what was added before.
    pub fn add(&self, elastic: impl Elastic + 'static) {
        self.elastics.borrow_mut().push(Box::new(elastic));
    }

    /// Registers what every clean-up calls, before libtorch's free blocks and the C heap are given back: the place to drop
    /// caches of a model.
    pub fn on_cleanup(&self, callback: impl FnMut() + 'static) {
        self.on_cleanup.borrow_mut().push(Box::new(callback));
    }

    /// Registers what is called when memory gets short, before it is cleaned up.
    pub fn on_warning(&self, callback: impl FnMut(&Warning) + 'static) {
        self.on_warning.borrow_mut().push(Box::new(callback));
    }

    /// A point where caches may shrink: between steps or parts of one, with `steps` done so far. Acts on what the monitor
    /// found, and on the schedule. Says whether memory is so short that a smaller micro-batch is worth its price; that is
    /// the caller's to do.
    pub fn safe_point(&self, steps: u64) -> bool {
        let mut is_critical = false;
        if let Some(findings) = self.watch.take_findings() {
            let reading = self.watch.read();
            is_critical |= self.act(Reason::HostPressure, findings.host, Some(reading.host), &reading);
            is_critical |= self.act(Reason::GpuPressure, findings.gpu, reading.gpu, &reading);
        }
        if self.force_cleanup_every > 0 && steps > 0 && steps.is_multiple_of(self.force_cleanup_every) {
            self.clean(Reason::Scheduled);
        }
        is_critical
    }

    /// Acts on one finding.
    fn act(&self, reason: Reason, change: Option<Change>, usage: Option<Usage>, reading: &Reading) -> bool {
        let (Some(change), Some(usage)) = (change, usage) else { return false };
        let is_host = reason == Reason::HostPressure;
        let pressure = if is_host { Kind::Host } else { Kind::Gpu };
        let threshold = self.watch.ask(pressure, Pressure::threshold);
        match change {
            Change::Calm if is_host => self.grow(usage, threshold),
            Change::Short => self.warn(&Warning { reason, usage, threshold }),
            Change::Calm | Change::StillShort => {}
        }
        if change == Change::Calm {
            return false;
        }
        let cleanup = self.clean(reason);
        let is_critical = |usage: Usage| self.watch.ask(pressure, |pressure| pressure.is_critical(usage.share()));
        match is_host {
            // On the CPU the micro-batch takes host memory: its turn comes when nothing else could give way.
            true => reading.gpu.is_none() && cleanup.changes.is_empty() && is_critical(cleanup.after.host),
            // Between steps, what a step takes is not in use: the reading that led here tells more.
            false => is_critical(usage),
        }
    }

    fn warn(&self, warning: &Warning) {
        let what = if warning.reason == Reason::HostPressure { "host memory" } else { "GPU memory" };
        tracing::warn!("{what} is {}: cleaning up", used(warning.usage, warning.threshold));
        self.count(|stats| stats.warnings += 1);
        each(&self.on_warning, |callback| callback(warning));
    }

    /// Gives memory back now, in this order: what shrinks (where host memory is short, or the run is on the CPU and memory
    /// ran out), the callbacks, libtorch's free blocks and the C heap.
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

    /// The first that can be smaller gets so: by a notch, and by more while each gives some back and memory is still short.
    fn shrink(&self, reason: Reason, before: &Reading) -> Vec<String> {
        // What the heap does not need anyway may suffice, and must not look as if a cache had given it.
        torch::trim_heap();
        let mut reading = self.watch.read();
        let is_short = |now: &Reading| self.watch.ask(Kind::Host, |host| !host.is_calm(now.host.share()));
        if reason == Reason::HostPressure && !is_short(&reading) {
            return Vec::new();
        }
        let why = match reason {
            Reason::OutOfMemory => "memory ran out".to_owned(),
            _ => format!("host memory is {}", used(before.host, self.watch.ask(Kind::Host, Pressure::threshold))),
        };
        let mut changes = Vec::new();
        each(&self.elastics, |elastic| {
            let size = elastic.size();
            if !changes.is_empty() || !elastic.shrink() {
                return;
            }
            let mut goes_on = reason == Reason::HostPressure;
            while goes_on {
                torch::trim_heap();
                let now = self.watch.read();
                goes_on = is_short(&now) && now.rss_bytes < reading.rss_bytes && elastic.shrink();
                reading = now;
            }
            changes.push(note_change(elastic.as_ref(), &size, &why));
        });
        changes
    }

    /// The last that was made smaller gets back a notch.
    fn grow(&self, usage: Usage, threshold: f64) {
        let why = format!("host memory is {}", used(usage, threshold));
        let mut elastics = self.elastics.take();
        for elastic in elastics.iter_mut().rev() {
            let size = elastic.size();
            if elastic.grow() {
                note_change(elastic.as_ref(), &size, &why);
                break;
            }
        }
        self.elastics.borrow_mut().splice(0..0, elastics);
    }

    /// The run goes on on the CPU: from here on the GPU is not watched, and clean-ups are about host memory.
    pub fn leave_gpu(&self) {
        self.watch.leave_gpu();
    }

    /// Reads memory now.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.watch.read()
    }

    /// What it did so far.
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

    /// Whether a thread watches.
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

/// Calls `body` with each of a list that is free meanwhile: what is called may register more, or clean up itself.
fn each<T>(list: &RefCell<Vec<T>>, mut body: impl FnMut(&mut T)) {
    let mut taken = list.take();
    taken.iter_mut().for_each(&mut body);
    list.borrow_mut().splice(0..0, taken);
}

/// Says in one line what changed and why.
fn note_change(elastic: &dyn Elastic, size_before: &str, why: &str) -> String {
    let change = format!("{}: {size_before} -> {}", elastic.name(), elastic.size());
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
mod tests {
    use std::rc::Rc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine of 100 MiB, whose memory the test fills.
    #[derive(Clone, Default)]
    struct Machine {
        host: Arc<AtomicU64>,
        gpu: Arc<AtomicU64>,
    }

    impl Machine {
        fn fill(&self, host_mib: u64) {
            self.host.store(host_mib * MIB, Ordering::SeqCst);
        }

        /// A manager without a thread: the test looks at memory itself, by `watch.observe`.
        fn manager(&self, force_cleanup_every: u64) -> MemoryManager {
            let policy = MemoryPolicy {
                gpu_threshold: 0.8,
                cpu_threshold: 0.8,
                interval: Duration::from_secs(3600),
                monitoring: false,
                force_cleanup_every,
            };
            let here = self.clone();
            MemoryManager::start(&policy, move || here.read())
        }

        fn read(&self) -> Reading {
            let usage = |used: &AtomicU64| Usage { used_bytes: used.load(Ordering::SeqCst), total_bytes: 100 * MIB };
            let gpu = Some(usage(&self.gpu)).filter(|gpu| gpu.used_bytes > 0);
            let host = usage(&self.host);
            Reading { host, gpu, rss_bytes: Some(host.used_bytes), allocator: None }
        }
    }

    /// A cache of so many MiB on that machine.
    struct Cache {
        machine: Machine,
        mib: Rc<Cell<u64>>,
        configured_mib: u64,
    }

    impl Cache {
        fn resize(&self, mib: u64) -> bool {
            let before = self.mib.replace(mib);
            self.machine.host.fetch_add((mib.wrapping_sub(before)).wrapping_mul(MIB), Ordering::SeqCst);
            before != mib
        }
    }

    impl Elastic for Cache {
        fn name(&self) -> &str {
            "cache"
        }
        fn size(&self) -> String {
            format!("{} MiB", self.mib.get())
        }
        fn shrink(&mut self) -> bool {
            self.resize(self.mib.get() / 2)
        }
        fn grow(&mut self) -> bool {
            self.resize((self.mib.get() * 2).clamp(1, self.configured_mib))
        }
    }

    /// Adds a cache of 16 MiB, which is part of what is in use.
    fn add_cache(manager: &MemoryManager, machine: &Machine) -> Rc<Cell<u64>> {
        let mib = Rc::new(Cell::new(16));
        manager.add(Cache { machine: machine.clone(), mib: mib.clone(), configured_mib: 16 });
        mib
    }

    #[test]
    fn a_crossing_shrinks_the_cache_at_the_next_safe_point_and_only_once() {
        let machine = Machine::default();
        machine.fill(70);
        let manager = machine.manager(0);
        let cache = add_cache(&manager, &machine);
        let warned = Rc::new(Cell::new(0.0));
        manager.on_warning({
            let warned = warned.clone();
            move |warning| warned.set(warned.get() + warning.usage.share())
        });
        manager.watch.observe();
        assert!(!manager.safe_point(1));
        assert_eq!((cache.get(), manager.stats()), (16, MemoryStats::default()), "nothing happens below the threshold");

        machine.fill(86);
        manager.watch.observe();
        assert_eq!(cache.get(), 16, "the monitor only looks");
        manager.safe_point(2);
        // 86 is short, 78 not calm yet, 74 is.
        assert_eq!((cache.get(), machine.read().host.used_bytes / MIB), (4, 74));
        let cleanups = manager.take_cleanups();
        assert_eq!(cleanups.len(), 1);
        assert_eq!((cleanups[0].reason, cleanups[0].freed_bytes), (Reason::HostPressure, Some(12 * MIB)));
        assert_eq!(cleanups[0].changes, ["cache: 16 MiB -> 4 MiB"]);
        assert!((warned.get() - 0.86).abs() < 1e-9);
        for step in 3..100 {
            manager.watch.observe();
            machine.fill(if step % 2 == 0 { 79 } else { 76 });
            manager.safe_point(step);
        }
        assert_eq!((cache.get(), manager.stats().cleanups, manager.stats().warnings), (4, 1, 1));
    }

    #[test]
    fn what_was_seen_while_nobody_could_act_is_one_clean_up_with_its_warning() {
        let machine = Machine::default();
        machine.fill(90);
        let manager = machine.manager(0);
        (0..20).for_each(|_| manager.watch.observe());
        manager.safe_point(1);
        manager.safe_point(1);
        assert_eq!((manager.stats().cleanups, manager.stats().warnings), (1, 1));
    }

    #[test]
    fn what_gave_way_comes_back_once_memory_is_calm() {
        let machine = Machine::default();
        machine.fill(95);
        let manager = machine.manager(0);
        let cache = add_cache(&manager, &machine);
        manager.watch.observe();
        manager.safe_point(1);
        assert_eq!(cache.get(), 0, "even all of it does not suffice");
        machine.fill(30);
        let sizes: Vec<_> = (0..32)
            .map(|step| {
                manager.watch.observe();
                manager.safe_point(step);
                cache.get()
            })
            .collect();
        assert_eq!([sizes[2], sizes[3], sizes[7], sizes[31]], [0, 1, 2, 16], "{sizes:?}");
        assert_eq!(manager.stats().cleanups, 1);
    }

    #[test]
    fn the_first_gives_way_alone_and_the_last_that_did_comes_back_first() {
        let machine = Machine::default();
        machine.fill(85);
        let manager = machine.manager(0);
        // Of what others hold too, so that one notch never suffices.
        let elsewhere = [Machine::default(), Machine::default()];
        elsewhere.iter().for_each(|machine| machine.fill(50));
        let [first, last] = elsewhere.each_ref().map(|machine| add_cache(&manager, machine));
        let mut step = |host_mib: u64| {
            machine.fill(host_mib);
            manager.watch.observe();
            manager.safe_point(1);
            (first.get(), last.get())
        };
        assert_eq!([85, 89, 93].map(&mut step), [(8, 16), (4, 16), (2, 16)]);
        assert_eq!([97, 100].map(&mut step), [(1, 16), (0, 16)]);
        assert_eq!([100; 4].map(&mut step)[3], (0, 8), "the next one's turn");
        assert_eq!([30; 4].map(&mut step)[3], (0, 16), "it is the first to come back");
        assert_eq!([30; 4].map(&mut step)[3], (1, 16));
    }

    #[test]
    fn what_frees_nothing_at_once_gives_a_notch_at_a_time_and_the_batch_is_last() {
        let machine = Machine::default();
        machine.fill(97);
        let manager = machine.manager(0);
        // Somebody else's memory: shrinking this cache frees none of it.
        let elsewhere = Machine::default();
        elsewhere.fill(50);
        let cache = add_cache(&manager, &elsewhere);
        let critical: Vec<_> = (0..24)
            .map(|step| {
                manager.watch.observe();
                manager.safe_point(step)
            })
            .collect();
        assert_eq!(cache.get(), 0);
        // A clean-up every four readings: five notches, and then only a smaller batch is left.
        assert_eq!(critical.iter().position(|critical| *critical), Some(20));
        assert_eq!(manager.stats().cleanups, 6);
    }

    #[test]
    fn pressure_on_the_gpu_leaves_the_frames_alone_and_may_ask_for_a_smaller_batch() {
        let machine = Machine::default();
        machine.fill(10);
        machine.gpu.store(85 * MIB, Ordering::SeqCst);
        let manager = machine.manager(0);
        let cache = add_cache(&manager, &machine);
        let called = Rc::new(Cell::new(0));
        manager.on_cleanup({
            let called = called.clone();
            move || called.set(called.get() + 1)
        });
        manager.watch.observe();
        assert!(!manager.safe_point(1));
        machine.gpu.store(96 * MIB, Ordering::SeqCst);
        manager.watch.observe();
        assert!(manager.safe_point(2), "96% is critical at a threshold of 80%");
        assert_eq!((called.get(), cache.get()), (2, 16));
        assert!(manager.take_cleanups().iter().all(|cleanup| cleanup.reason == Reason::GpuPressure));
        manager.clean(Reason::OutOfMemory);
        assert_eq!(cache.get(), 16, "frames in host memory do not crowd the device");
    }

    #[test]
    fn a_run_that_left_the_gpu_looks_at_host_memory_alone() {
        let machine = Machine::default();
        machine.fill(10);
        machine.gpu.store(99 * MIB, Ordering::SeqCst);
        let manager = machine.manager(0);
        let cache = add_cache(&manager, &machine);
        manager.watch.observe();
        manager.leave_gpu();
        manager.watch.observe();
        assert!(!manager.safe_point(1), "a full GPU asks for no smaller batch on the CPU");
        assert_eq!((manager.read().gpu, manager.stats().cleanups), (None, 0));
        manager.clean(Reason::OutOfMemory);
        assert_eq!(cache.get(), 8, "frames take the memory that training wants now");
    }

    #[test]
    fn the_schedule_calls_back_but_shrinks_nothing_and_out_of_memory_gives_a_notch() {
        let machine = Machine::default();
        machine.fill(10);
        let manager = machine.manager(3);
        let cache = add_cache(&manager, &machine);
        (0..=9).for_each(|step| {
            manager.safe_point(step);
        });
        assert_eq!((manager.stats().cleanups, cache.get()), (3, 16));
        manager.clean(Reason::OutOfMemory);
        assert_eq!((manager.stats().cleanups, cache.get()), (4, 8));
    }

    #[test]
    fn a_callback_may_clean_up_and_register_more() {
        let machine = Machine::default();
        let manager = Rc::new(machine.manager(0));
        let calls = Rc::new(Cell::new(0));
        manager.on_cleanup({
            let (manager, calls) = (Rc::downgrade(&manager), calls.clone());
            move || {
                calls.set(calls.get() + 1);
                let manager = manager.upgrade().unwrap();
                let calls = calls.clone();
                manager.on_cleanup(move || calls.set(calls.get() + 100));
                manager.clean(Reason::Scheduled);
            }
        });
        manager.clean(Reason::Scheduled);
        assert_eq!(calls.get(), 101, "itself once, what it registered once: in the clean-up within");
        assert_eq!(manager.on_cleanup.borrow().len(), 2);
    }

    /// With the real thread: an hour's wait is cut short when the manager goes, or this test would not end.
    #[test]
    fn the_thread_looks_at_memory_and_ends_with_the_manager() {
        let machine = Machine::default();
        machine.fill(90);
        let mut policy = MemoryPolicy::from(&config::MemoryManagement::default());
        policy.interval = Duration::from_secs(3600);
        let here = machine.clone();
        let manager = MemoryManager::start(&policy, move || here.read());
        assert!(manager.is_monitoring());
        while manager.stats().cleanups == 0 {
            std::thread::yield_now();
            manager.safe_point(1);
        }
        assert!(!manager.history().readings.is_empty());
        drop(manager);
        assert_eq!(Arc::strong_count(&machine.host), 1, "the thread is gone, and what it held");
    }
}
