//! The manager on a machine whose memory the test fills.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::config;

const MIB: u64 = 1 << 20;

/// A machine with 100 MiB, which the test fills.
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

/// A cache on that machine.
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

impl Resizable for Cache {
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
    manager.watch_gpu(false);
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

/// With the real thread: dropping the manager ends its wait of an hour, or this test would not end.
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

/// The memory of a step is free again when the safe point comes, so that a reading there says nothing of the step.
#[test]
fn pressure_within_a_step_is_judged_by_the_reading_that_showed_it() {
    let machine = Machine::default();
    let manager = machine.manager(0);
    let warned = Rc::new(Cell::new(0.0));
    manager.on_warning({
        let warned = warned.clone();
        move |warning| warned.set(warning.usage.share())
    });
    for (within, critical) in [(97, true), (30, false), (85, false)] {
        machine.gpu.store(within * MIB, Ordering::SeqCst);
        manager.watch.observe();
        machine.gpu.store(23 * MIB, Ordering::SeqCst);
        assert_eq!(manager.safe_point(1), critical, "{within}%");
    }
    assert!((warned.get() - 0.97).abs() < 1e-9, "{}", warned.get());
}
