//! The guard with a fake attempt and a fake gauge, without tensors.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::super::shortage::{GpuUse, Holder};
use super::step_down::PAUSES_SECS;
use super::*;
use crate::config::{Config, GpuConfig};

const OOM: &str = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0\nmore lines";
const UNSURE: &str = "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR";

/// Work that succeeds with at most `most_frames` frames at once, and otherwise fails with `message`.
struct Fake {
    most_frames: usize,
    message: &'static str,
    attempts: Vec<MicroBatchSize>,
    recovered: Vec<MicroBatchSize>,
    recovery: Result<(), String>,
}

impl Fake {
    fn new(most_frames: usize) -> Self {
        Self { most_frames, message: OOM, attempts: vec![], recovered: vec![], recovery: Ok(()) }
    }
}

impl Attempt for Fake {
    type Output = MicroBatchSize;
    type Error = String;

    fn attempt(&mut self, size: MicroBatchSize) -> Result<MicroBatchSize, String> {
        self.attempts.push(size);
        if size.frames_at_once(FRAMES) <= self.most_frames { Ok(size) } else { Err(self.message.into()) }
    }

    fn recover(&mut self, next: MicroBatchSize) -> Result<(), String> {
        self.recovered.push(next);
        self.recovery.clone()
    }
}

/// A device whose readings the test sets.
#[derive(Clone, Default)]
struct FakeGauge(Rc<[Cell<u64>; 7]>);

impl FakeGauge {
    /// The driver can give all that is free.
    fn set(&self, used: u64, free: u64, peak: u64) {
        [used, free, peak].into_iter().zip(self.0.iter()).for_each(|(value, cell)| cell.set(value));
        self.0[4].set(free);
    }

    fn retry(&self) {
        self.0[3].set(self.0[3].get() + 1);
    }
}

impl Gauge for FakeGauge {
    fn used_bytes(&self) -> Option<u64> {
        Some(self.0[0].get())
    }
    fn free_bytes(&self) -> Option<u64> {
        Some(self.0[1].get())
    }
    fn driver_free_bytes(&self) -> Option<u64> {
        Some(self.0[4].get())
    }
    fn others_bytes(&self) -> Option<u64> {
        Some(self.0[5].get())
    }
    fn peak_bytes(&self) -> Option<u64> {
        Some(self.0[2].get())
    }
    fn reset_peak(&self) {}
    fn alloc_retries(&self) -> Option<u64> {
        Some(self.0[3].get())
    }
    fn device_bytes(&self) -> Option<u64> {
        Some(self.0[6].get())
    }
    fn read_host(&mut self, is_on_cpu: bool) {
        if is_on_cpu {
            self.set(0, 100, 1);
        }
    }
}

const FRAMES: usize = 4;

fn guard(retry: bool) -> (Guard<'static>, FakeGauge) {
    let gauge = FakeGauge::default();
    gauge.set(50, 50, 50);
    (Guard::new("train", MicroBatchSizes::new(12, FRAMES, 1), Box::new(gauge.clone()), retry, 3), gauge)
}

#[test]
fn goes_down_until_it_fits_and_stays_there() {
    let (mut guard, gauge) = guard(true);
    gauge.set(70, 30, 70);
    let mut work = Fake::new(3 * FRAMES);
    assert_eq!(guard.run(12, &mut work).unwrap(), MicroBatchSize::whole(3));
    assert_eq!(guard.run(12, &mut work).unwrap(), MicroBatchSize::whole(3));
    assert_eq!(work.attempts, [12, 6, 3, 3].map(MicroBatchSize::whole));
    assert_eq!(work.recovered, [6, 3].map(MicroBatchSize::whole), "each is told what comes next");
    let event = &guard.events()[0];
    assert_eq!((event.before, event.after), (MicroBatchSize::whole(12), MicroBatchSize::whole(6)));
    assert_eq!((event.requested_bytes, event.freed_bytes), (Some(2 << 30), Some(0)));
    assert_eq!(event.message, "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0");
    assert_eq!(event.shortage, None, "nothing is known of a GPU");
}

#[test]
fn below_one_clip_it_goes_on_along_time() {
    let (mut guard, _) = guard(true);
    let size = guard.run(5, &mut Fake::new(1)).unwrap();
    assert_eq!(size, MicroBatchSize { chunk_frames: Some(1), ..MicroBatchSize::whole(1) });
    assert_eq!(guard.events().len(), 4, "5 clips, 3 clips, a clip, 2 frames");
    assert_eq!(guard.events()[0].before, MicroBatchSize::whole(5), "a short batch is told as it was");
}

#[test]
fn the_bottom_is_the_end_and_also_cleaned_up_after() {
    let (mut guard, _) = guard(true);
    let mut work = Fake::new(0);
    let error = guard.run(12, &mut work).unwrap_err();
    assert!(matches!(error, GuardError::Exhausted { .. }) && error.to_string().contains("hint:"), "{error}");
    assert_eq!((work.attempts.len(), work.recovered.len(), guard.events().len()), (6, 6, 6));
}

#[test]
fn retrying_can_be_switched_off() {
    let mut work = Fake::new(FRAMES);
    let error = guard(false).0.run(12, &mut work).unwrap_err();
    assert!(matches!(error, GuardError::Forbidden { size, .. } if size == MicroBatchSize::whole(12)));
    assert_eq!((work.attempts.len(), work.recovered.len()), (1, 1));
}

#[test]
fn bugs_and_broken_devices_are_neither_retried_nor_recovered_from() {
    for (message, broken) in [("shape mismatch", false), ("CUDA error: device-side assert triggered", true)] {
        let mut work = Fake { message, ..Fake::new(0) };
        let error = guard(true).0.run(12, &mut work).unwrap_err();
        assert_eq!(matches!(error, GuardError::DeviceBroken { .. }), broken, "{error}");
        assert_eq!(matches!(error, GuardError::Other(_)), !broken, "{error}");
        assert_eq!((work.attempts.len(), work.recovered.len()), (1, 0));
    }
}

#[test]
fn what_cannot_be_put_back_is_the_end_and_both_errors_are_told() {
    let mut work = Fake { recovery: Err("the heap is gone".into()), ..Fake::new(FRAMES) };
    let error = guard(true).0.run(12, &mut work).unwrap_err().to_string();
    assert!(error.contains("Tried to allocate 2.00 GiB") && error.contains("the heap is gone"), "{error}");
    assert_eq!(work.attempts.len(), 1);
}

#[test]
fn unsure_errors_count_only_where_memory_is_short() {
    // As on a GPU: of the failed attempt, only its peak and what libtorch keeps of it are left.
    let run = |[peak, driver_free]: [u64; 2], most_frames: usize| {
        let (mut guard, gauge) = guard(true);
        gauge.set(10, 90, peak);
        gauge.0[4].set(driver_free);
        let mut work = Fake { message: UNSURE, ..Fake::new(most_frames) };
        let ended = guard.run(12, &mut work).is_ok();
        (ended, work.attempts.len(), guard.events().first().map(|event| event.cause))
    };
    assert_eq!(run([95, 90], 6 * FRAMES), (true, 2, Some(Cause::MaybeOutOfMemory)));
    assert_eq!(run([50, 5], 6 * FRAMES), (true, 2, Some(Cause::MaybeOutOfMemory)), "a library got none");
    assert_eq!(run([95, 90], 3 * FRAMES), (true, 3, Some(Cause::MaybeOutOfMemory)), "it is still short");
    assert_eq!(run([95, 90], 0), (false, 6, Some(Cause::MaybeOutOfMemory)), "the ladder has an end");
    assert_eq!(run([50, 40], 6 * FRAMES), (false, 1, None), "memory was not short");
}

#[test]
fn a_failure_on_a_gpu_says_who_held_its_memory_before_anything_is_given_back() {
    // As on a GPU: the tensors of the attempt are gone, its peak and the blocks that libtorch keeps of it are not.
    struct Gpu(Rc<Cell<u64>>);
    impl Gauge for Gpu {
        fn used_bytes(&self) -> Option<u64> {
            Some(10)
        }
        fn free_bytes(&self) -> Option<u64> {
            Some(1190)
        }
        fn driver_free_bytes(&self) -> Option<u64> {
            Some(1200 - self.0.get())
        }
        fn others_bytes(&self) -> Option<u64> {
            Some(0)
        }
        fn peak_bytes(&self) -> Option<u64> {
            Some(1150)
        }
        fn reset_peak(&self) {}
        fn alloc_retries(&self) -> Option<u64> {
            None
        }
        fn gpu_use(&self) -> Option<GpuUse> {
            let (total_bytes, reserved_bytes) = (1200, self.0.get());
            let free_bytes = total_bytes - reserved_bytes;
            let (others, expandable_segments) = (vec![], false);
            Some(GpuUse { total_bytes, free_bytes, reserved_bytes, allocated_bytes: 1150, others, expandable_segments })
        }
    }
    struct Full(Rc<Cell<u64>>);
    impl Attempt for Full {
        type Output = ();
        type Error = String;
        fn attempt(&mut self, size: MicroBatchSize) -> Result<(), String> {
            self.0.set(1200);
            if size.micro_batch == 3 { Ok(()) } else { Err("CUDA error: out of memory".into()) }
        }
        fn recover(&mut self, _next: MicroBatchSize) -> Result<(), String> {
            self.0.set(10);
            Ok(())
        }
    }
    let reserved = Rc::new(Cell::new(10));
    let seen: Rc<RefCell<Vec<u64>>> = Rc::default();
    let (at_failure, noted) = (reserved.clone(), seen.clone());
    let mut guard = Guard::new("train", MicroBatchSizes::new(12, FRAMES, 1), Box::new(Gpu(reserved.clone())), true, 0)
        .on_gpu_failure(move || noted.borrow_mut().push(at_failure.get()));
    guard.run(12, &mut Full(reserved)).unwrap();
    assert_eq!(seen.take(), [1200, 1200], "before each clean-up");
    let shortage = guard.events()[1].shortage.as_ref().unwrap();
    assert_eq!((shortage.held_by, shortage.gpu.allocated_bytes), (Holder::Tensors, 1150), "not the 10 that are left");
}

#[test]
fn thrashing_two_steps_running_is_as_good_as_running_out() {
    let (mut guard, gauge) = guard(true);
    let mut step = |retries: bool| {
        if retries {
            gauge.retry();
        }
        guard.step_done();
        guard.micro_batch_size().micro_batch
    };
    assert_eq!([step(true), step(false), step(true)], [12, 12, 12], "once may happen");
    assert_eq!([step(true), step(false), step(true)], [6, 6, 6]);
    assert_eq!(guard.events()[0].cause, Cause::AllocatorRetries);
}

#[test]
fn pressure_halves_the_micro_batch_and_stops_at_one_clip() {
    let (mut guard, _) = guard(true);
    let sizes = [(); 6].map(|()| {
        guard.shrink();
        guard.micro_batch_size()
    });
    assert_eq!(sizes.map(|size| size.micro_batch), [6, 3, 1, 1, 1, 1]);
    assert_eq!(
        (sizes[5], guard.events().len(), guard.events()[0].cause),
        (MicroBatchSize::whole(1), 3, Cause::Pressure)
    );
}

#[test]
fn retries_of_a_failed_attempt_are_no_thrashing() {
    let (mut guard, gauge) = guard(true);
    gauge.retry();
    guard.step_done();
    gauge.retry();
    guard.run(12, &mut Fake::new(6 * FRAMES)).unwrap();
    guard.step_done();
    gauge.retry();
    guard.step_done();
    assert_eq!(guard.micro_batch_size(), MicroBatchSize::whole(6), "one retry since");
}

#[test]
fn on_the_cpu_it_goes_by_the_hosts_memory_and_a_resumed_run_tries_the_device_again() {
    let gauge = FakeGauge::default();
    gauge.set(100, 0, 100);
    let gpu = GpuConfig { fallback_cpu: true, ..GpuConfig::default() };
    let config = Config { gpu, ..Config::default() };
    let sizes = || MicroBatchSizes::training(&config, true);
    let mut guard = Guard::new("train", sizes(), Box::new(gauge.clone()), true, 3);
    // Nothing fits on the device; on the CPU, half of the batch does.
    struct Device;
    impl Attempt for Device {
        type Output = ();
        type Error = String;
        fn attempt(&mut self, size: MicroBatchSize) -> Result<(), String> {
            if size.on_cpu && size.micro_batch <= 6 { Ok(()) } else { Err(OOM.into()) }
        }
        fn recover(&mut self, _next: MicroBatchSize) -> Result<(), String> {
            Ok(())
        }
    }
    guard.run(12, &mut Device).unwrap();
    assert_eq!(guard.micro_batch_size(), MicroBatchSize { on_cpu: true, ..MicroBatchSize::whole(6) });
    assert_eq!(after_good_steps(&mut guard), 12, "the host has room");
    let resumed = Guard::new("train", sizes(), Box::new(gauge.clone()), true, 3).resume(&guard.state());
    assert_eq!(resumed.micro_batch_size(), MicroBatchSize::whole(12));

    // It left the device when it could have 100 there, and returns once it can have clearly more.
    gauge.0[6].set(105);
    guard.step_done();
    assert!(guard.micro_batch_size().on_cpu, "hardly more");
    gauge.0[6].set(112);
    guard.step_done();
    assert_eq!(guard.micro_batch_size(), MicroBatchSize::whole(12));
    assert_eq!(guard.events().last().unwrap().cause, Cause::Returned);
    // In vain: then it takes more than this to try once more.
    gauge.set(110, 0, 110);
    guard.run(12, &mut Device).unwrap();
    guard.step_done();
    assert!(guard.micro_batch_size().on_cpu);
    gauge.0[6].set(130);
    guard.step_done();
    assert!(!guard.micro_batch_size().on_cpu);
}

#[test]
fn who_stops_while_it_waits_is_not_kept_waiting() {
    let gauge = FakeGauge::default();
    gauge.set(50, 50, 50);
    gauge.0[5].set(40);
    let sizes = MicroBatchSizes::training(&Config::default(), true);
    let mut guard = Guard::new("train", sizes, Box::new(gauge), true, 3).with_pause(|_| false);
    let error = guard.run(12, &mut Fake::new(0)).unwrap_err();
    assert!(matches!(error, GuardError::Interrupted), "{error}");
    assert_eq!(guard.events().iter().filter(|event| event.cause == Cause::Waited).count(), 1);
}

#[test]
fn at_the_smallest_size_it_waits_for_others_before_it_gives_up_or_leaves_the_device() {
    let run = |others: u64, pauses_until_free: usize, with_cpu: bool| {
        let gauge = FakeGauge::default();
        gauge.set(50, 50, 50);
        gauge.0[5].set(others);
        let config = Config { gpu: GpuConfig { fallback_cpu: with_cpu, ..GpuConfig::default() }, ..Config::default() };
        let pauses: Rc<RefCell<Vec<u64>>> = Rc::default();
        let seen = pauses.clone();
        let mut guard = Guard::new("train", MicroBatchSizes::training(&config, true), Box::new(gauge), true, 3)
            .with_pause(move |pause| {
                seen.borrow_mut().push(pause.as_secs());
                true
            });
        struct Crowded(Rc<RefCell<Vec<u64>>>, usize);
        impl Attempt for Crowded {
            type Output = MicroBatchSize;
            type Error = String;
            fn attempt(&mut self, size: MicroBatchSize) -> Result<MicroBatchSize, String> {
                if size.on_cpu || self.0.borrow().len() >= self.1 { Ok(size) } else { Err(OOM.into()) }
            }
            fn recover(&mut self, _next: MicroBatchSize) -> Result<(), String> {
                Ok(())
            }
        }
        let result = guard.run(12, &mut Crowded(pauses.clone(), pauses_until_free));
        let waited = guard.events().iter().filter(|event| event.cause == Cause::Waited).count();
        let pauses = pauses.take();
        assert_eq!(waited, pauses.len());
        (result.ok().map(|size| size.on_cpu), pauses)
    };
    assert_eq!(run(40, 2, true), (Some(false), vec![2, 5]), "others have left");
    let all = PAUSES_SECS.to_vec();
    assert_eq!(run(40, 99, true), (Some(true), all.clone()), "the user allowed the CPU");
    assert_eq!(run(40, 99, false), (None, all), "and here not");
    assert_eq!(run(1, 99, false), (None, vec![]), "nobody is in the way");
}

/// The micro-batch after three good steps.
fn after_good_steps(guard: &mut Guard) -> usize {
    (0..3).for_each(|_| guard.step_done());
    guard.micro_batch_size().micro_batch
}

#[test]
fn grows_after_good_steps_where_the_peak_leaves_room() {
    let (mut guard, gauge) = guard(true);
    guard.run(12, &mut Fake::new(3 * FRAMES)).unwrap();
    gauge.set(40, 60, 46);
    assert_eq!(after_good_steps(&mut guard), 3, "twice 46 is more than nine tenths of 100");
    gauge.set(40, 60, 44);
    guard.step_done();
    assert_eq!(guard.micro_batch_size().micro_batch, 3, "not at once");
    guard.step_done();
    guard.step_done();
    assert_eq!(guard.micro_batch_size().micro_batch, 6);
    assert_eq!(guard.events().last().unwrap().cause, Cause::Headroom);
}

#[test]
fn a_guard_whose_network_left_the_device_goes_by_host_memory() {
    let (mut guard, gauge) = guard(true);
    guard.run(12, &mut Fake::new(6 * FRAMES)).unwrap();
    gauge.set(95, 5, 95);
    assert_eq!(after_good_steps(&mut guard), 6, "the device is full");
    guard.read_host(true);
    assert_eq!(after_good_steps(&mut guard), 12, "the host has room");
}

#[test]
fn a_size_that_ran_out_after_growing_is_not_tried_again_before_there_is_more_memory() {
    let (mut guard, gauge) = guard(true);
    gauge.set(10, 90, 10);
    let mut work = Fake::new(3 * FRAMES);
    guard.run(12, &mut work).unwrap();
    assert_eq!(after_good_steps(&mut guard), 6);
    guard.run(12, &mut work).unwrap();
    assert_eq!(after_good_steps(&mut guard), 3);
    let state = guard.state();
    assert_eq!((state.size, state.barred), (MicroBatchSize::whole(3), Some(MicroBatchSize::whole(6))));

    let resumed = |state| {
        let gauge = Box::new(gauge.clone());
        Guard::new("train", MicroBatchSizes::new(12, FRAMES, 1), gauge, true, 3).resume(state)
    };
    assert_eq!(resumed(&state).micro_batch_size(), MicroBatchSize::whole(3));
    assert_eq!(after_good_steps(&mut resumed(&state)), 3, "nor after a resume");
    gauge.set(10, 99, 10);
    assert_eq!(after_good_steps(&mut guard), 3, "a little more memory changes nothing");
    gauge.set(10, 110, 10);
    assert_eq!(after_good_steps(&mut guard), 6, "another process has left");
    assert_eq!(after_good_steps(&mut resumed(&state)), 6);
    let unknown = GuardState { barred_at_bytes: None, ..state };
    assert_eq!(after_good_steps(&mut resumed(&unknown)), 3);
}

#[test]
fn nothing_grows_where_it_is_off_or_nothing_is_known() {
    struct Blind;
    impl Gauge for Blind {
        fn used_bytes(&self) -> Option<u64> {
            None
        }
        fn free_bytes(&self) -> Option<u64> {
            None
        }
        fn driver_free_bytes(&self) -> Option<u64> {
            None
        }
        fn others_bytes(&self) -> Option<u64> {
            None
        }
        fn peak_bytes(&self) -> Option<u64> {
            None
        }
        fn reset_peak(&self) {}
        fn alloc_retries(&self) -> Option<u64> {
            None
        }
    }
    let free = FakeGauge::default();
    free.set(0, 100, 1);
    let gauges: [(Box<dyn Gauge>, u64); 2] = [(Box::new(Blind), 1), (Box::new(free), 0)];
    for (gauge, grow_after) in gauges {
        let mut guard = Guard::new("train", MicroBatchSizes::new(12, FRAMES, 1), gauge, true, grow_after);
        guard.run(12, &mut Fake::new(FRAMES)).unwrap();
        assert_eq!(after_good_steps(&mut guard), 1);
    }
}
