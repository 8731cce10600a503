//! Runs work in pieces and, when memory runs out, runs the same work again in smaller ones.
//!
//! Knows nothing of tensors or models: the caller says what an attempt is and how to put things back after a failed one.
//! Training and evaluation each have their own guard, so that one does not shrink the other.

use std::fmt::Display;
use std::time::Instant;

use super::classify::{Failure, classify, requested_bytes};
use super::cut::{Cut, Ladder};
use super::gauge::Gauge;
use super::outcome::{Cause, GuardError, GuardState, OomEvent};

/// Steps running in which the allocator had to empty its cache: then it is slow, and shortly before the end.
const THRASHING_STEPS: u32 = 2;
/// A larger size is tried where its predicted peak is below this share of what the process can have.
const ROOM: f64 = 0.9;

/// Work that can be cut, and run again.
pub trait Attempt {
    /// What it gives.
    type Output;
    /// How it fails; the text says whether memory ran out.
    type Error: Display;

    /// Does all of the work, cut like this. What it made must be gone when it comes back with an error.
    ///
    /// # Errors
    /// Whatever went wrong.
    fn attempt(&mut self, cut: Cut) -> Result<Self::Output, Self::Error>;

    /// Puts back what a failed attempt changed, frees what can be freed, and makes ready for the next one, cut like `next`.
    ///
    /// # Errors
    /// That cannot be done; then there is no next attempt.
    fn recover(&mut self, next: Cut) -> Result<(), Self::Error>;
}

/// The size that holds, and what happened on the way to it.
pub struct Guard {
    phase: &'static str,
    ladder: Ladder,
    gauge: Box<dyn Gauge>,
    retry: bool,
    /// Good steps before a larger size is tried; 0 = never.
    grow_after: u64,
    rung: usize,
    barred: Option<usize>,
    /// The rung was reached by growing, and may be too large.
    grown: bool,
    good_steps: u64,
    /// The last failure was an unsure one: the next unsure one is final.
    unsure: bool,
    thrashing_steps: u32,
    alloc_retries: Option<u64>,
    events: Vec<OomEvent>,
}

impl Guard {
    /// Starts at the top of the ladder; without `retry` the first failure is final, with a `grow_after` of 0 nothing
    /// grows.
    #[must_use]
    pub fn new(phase: &'static str, ladder: Ladder, gauge: Box<dyn Gauge>, retry: bool, grow_after: u64) -> Self {
        let alloc_retries = gauge.alloc_retries();
        Self {
            phase,
            ladder,
            gauge,
            retry,
            grow_after,
            rung: 0,
            barred: None,
            grown: false,
            good_steps: 0,
            unsure: false,
            thrashing_steps: 0,
            alloc_retries,
            events: Vec::new(),
        }
    }

    /// Goes on where an earlier part of the run stood, as far as the ladder has the same sizes. One that had to leave the
    /// device tries it again from the top: what was in the way may be gone.
    #[must_use]
    pub fn resume(mut self, state: &GuardState) -> Self {
        self.rung = self.ladder.find(state.cut).filter(|_| !state.cut.on_cpu).unwrap_or(0);
        self.barred = state.barred.and_then(|cut| self.ladder.find(cut));
        self
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> GuardState {
        GuardState { cut: self.cut(), barred: self.barred.map(|rung| self.ladder.cut(rung)) }
    }

    /// The size now.
    #[must_use]
    pub fn cut(&self) -> Cut {
        self.ladder.cut(self.rung)
    }

    /// The network was moved to the CPU, by another guard: from here on that memory counts, in whatever size.
    pub fn leave_device(&mut self) {
        self.gauge.move_to_cpu();
    }

    /// Every change of size so far.
    #[must_use]
    pub fn events(&self) -> &[OomEvent] {
        &self.events
    }

    /// Does `work` on a batch of `clips` in pieces that fit.
    ///
    /// After an out-of-memory error everything that the attempt made is gone; then [`Attempt::recover`] puts back what it
    /// changed and frees what can be freed; then the same work runs again, cut smaller.
    ///
    /// # Errors
    /// See [`GuardError`]; what is no out-of-memory comes back as it came.
    pub fn run<A: Attempt>(&mut self, clips: usize, work: &mut A) -> Result<A::Output, GuardError<A::Error>> {
        loop {
            let started = Instant::now();
            let error = match work.attempt(self.cut().of_batch(clips)) {
                Ok(output) => {
                    self.unsure = false;
                    return Ok(output);
                }
                Err(error) => error,
            };
            let message = error.to_string();
            let cause = match classify(&message) {
                Failure::OutOfMemory => Cause::OutOfMemory,
                Failure::MaybeOutOfMemory if !self.unsure && self.gauge.is_low() => Cause::MaybeOutOfMemory,
                Failure::DeviceBroken => {
                    return Err(GuardError::DeviceBroken { phase: self.phase.to_owned(), error });
                }
                Failure::MaybeOutOfMemory | Failure::Other => return Err(GuardError::Other(error)),
            };
            self.unsure = cause == Cause::MaybeOutOfMemory;
            // The error may hold what libtorch said, nothing more; still, nothing of the attempt lives on.
            drop(error);
            self.step_down(clips, work, cause, &message, started)?;
        }
    }

    /// Cleans up after a failed attempt and goes to the next smaller size.
    fn step_down<A: Attempt>(
        &mut self,
        clips: usize,
        work: &mut A,
        cause: Cause,
        message: &str,
        started: Instant,
    ) -> Result<(), GuardError<A::Error>> {
        let phase = self.phase.to_owned();
        let first_line = message.lines().next().unwrap_or_default().to_owned();
        let before = self.cut().of_batch(clips);
        let lower = if self.retry { self.ladder.below(self.rung, clips) } else { None };
        let after = lower.map_or(before, |rung| self.ladder.cut(rung).of_batch(clips));

        let used_bytes = self.gauge.used_bytes();
        if let Err(error) = work.recover(after) {
            return Err(GuardError::NotRecovered { phase, message: first_line, error });
        }
        self.events.push(OomEvent {
            phase: phase.clone(),
            cause,
            before,
            after,
            requested_bytes: requested_bytes(message),
            freed_bytes: used_bytes.zip(self.gauge.used_bytes()).map(|(before, after)| before.saturating_sub(after)),
            lost_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            message: first_line.clone(),
        });
        let Some(lower) = lower else {
            let (cut, message) = (before, first_line);
            return Err(match self.retry {
                true => GuardError::Exhausted { phase, cut, message },
                false => GuardError::Forbidden { phase, cut, message },
            });
        };
        tracing::warn!(
            "out of memory in the {phase} pass: {before} -> {after}, the same clips run again ({} ms lost)",
            started.elapsed().as_millis()
        );
        if self.grown {
            self.barred = Some(lower - 1);
        }
        self.go_to(lower);
        Ok(())
    }

    /// Takes note of a step that is done, its update included: a size that only just holds is left for a smaller one, and
    /// after many good steps with room to spare a larger one is tried.
    pub fn step_done(&mut self) {
        self.good_steps += 1;
        if self.is_thrashing() {
            self.leave_for_smaller(Cause::Thrashing);
        } else if self.may_grow() {
            self.change(Cause::Room, self.rung - 1);
            self.grown = true;
        }
    }

    /// Goes to the next smaller micro-batch because memory is short, although it has not run out. What is slower than
    /// that waits until it has.
    pub fn shrink(&mut self) {
        if self.retry && self.cut().micro_batch > 1 {
            self.leave_for_smaller(Cause::Pressure);
        }
    }

    fn leave_for_smaller(&mut self, cause: Cause) {
        let lower = self.ladder.below(self.rung, usize::MAX);
        if let Some(lower) = lower.filter(|lower| self.ladder.cut(*lower).on_cpu == self.cut().on_cpu) {
            self.change(cause, lower);
        }
    }

    fn is_thrashing(&mut self) -> bool {
        let before = std::mem::replace(&mut self.alloc_retries, self.gauge.alloc_retries());
        let retried = before.zip(self.alloc_retries).is_some_and(|(before, now)| now > before);
        self.thrashing_steps = if retried { self.thrashing_steps + 1 } else { 0 };
        self.retry && self.thrashing_steps >= THRASHING_STEPS
    }

    fn may_grow(&mut self) -> bool {
        if self.grow_after == 0 || self.good_steps < self.grow_after || self.rung == 0 {
            return false;
        }
        // Asked again only after as many good steps more: reading memory is not free.
        self.good_steps = 0;
        if self.barred.is_some_and(|barred| barred >= self.rung - 1) {
            return false;
        }
        let growth = self.ladder.growth(self.rung);
        let limit = self.gauge.used_bytes().zip(self.gauge.free_bytes()).map(|(used, free)| (used + free) as f64);
        let peak = self.gauge.peak_bytes().map(|bytes| bytes as f64);
        matches!((growth, peak, limit), (Some(growth), Some(peak), Some(limit)) if peak * growth < ROOM * limit)
    }

    fn change(&mut self, cause: Cause, rung: usize) {
        let (phase, before, after) = (self.phase, self.cut(), self.ladder.cut(rung));
        match cause {
            Cause::Room => tracing::info!("{phase}: memory has room, {before} -> {after}"),
            Cause::Pressure => {
                tracing::warn!("{phase}: memory is short and nothing else gives way, {before} -> {after}")
            }
            _ => tracing::warn!("{phase}: the allocator only just finds memory, {before} -> {after}"),
        }
        self.events.push(OomEvent {
            phase: phase.to_owned(),
            cause,
            before,
            after,
            requested_bytes: None,
            freed_bytes: None,
            lost_ms: 0,
            message: String::new(),
        });
        self.go_to(rung);
    }

    fn go_to(&mut self, rung: usize) {
        self.rung = rung;
        (self.grown, self.good_steps, self.thrashing_steps) = (false, 0, 0);
        if self.cut().on_cpu {
            self.gauge.move_to_cpu();
        }
        // What a failed attempt counted says nothing of the new size.
        self.alloc_retries = self.gauge.alloc_retries();
        self.gauge.reset_peak();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::config::Config;

    const OOM: &str = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0\nmore lines";
    const UNSURE: &str = "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR";

    /// Fits at most `room` frames at once, or always fails with `message`.
    struct Fake {
        room: usize,
        message: &'static str,
        attempts: Vec<Cut>,
        recovered: Vec<Cut>,
        recovery: Result<(), String>,
    }

    impl Fake {
        fn new(room: usize) -> Self {
            Self { room, message: OOM, attempts: vec![], recovered: vec![], recovery: Ok(()) }
        }
    }

    impl Attempt for Fake {
        type Output = Cut;
        type Error = String;

        fn attempt(&mut self, cut: Cut) -> Result<Cut, String> {
            self.attempts.push(cut);
            if cut.frames_at_once(FRAMES) <= self.room { Ok(cut) } else { Err(self.message.into()) }
        }

        fn recover(&mut self, next: Cut) -> Result<(), String> {
            self.recovered.push(next);
            self.recovery.clone()
        }
    }

    /// A device whose readings the test moves.
    #[derive(Clone, Default)]
    struct FakeGauge(Rc<[Cell<u64>; 4]>);

    impl FakeGauge {
        fn set(&self, used: u64, free: u64, peak: u64) {
            [used, free, peak].into_iter().zip(self.0.iter()).for_each(|(value, cell)| cell.set(value));
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
        fn peak_bytes(&self) -> Option<u64> {
            Some(self.0[2].get())
        }
        fn reset_peak(&self) {}
        fn alloc_retries(&self) -> Option<u64> {
            Some(self.0[3].get())
        }
        fn move_to_cpu(&mut self) {
            self.set(0, 100, 1);
        }
    }

    const FRAMES: usize = 4;

    fn guard(retry: bool) -> (Guard, FakeGauge) {
        let gauge = FakeGauge::default();
        gauge.set(50, 50, 50);
        (Guard::new("train", Ladder::new(12, FRAMES, 1), Box::new(gauge.clone()), retry, 3), gauge)
    }

    #[test]
    fn goes_down_until_it_fits_and_stays_there() {
        let (mut guard, gauge) = guard(true);
        gauge.set(70, 30, 70);
        let mut work = Fake::new(3 * FRAMES);
        assert_eq!(guard.run(12, &mut work).unwrap(), Cut::whole(3));
        assert_eq!(guard.run(12, &mut work).unwrap(), Cut::whole(3));
        assert_eq!(work.attempts, [12, 6, 3, 3].map(Cut::whole));
        assert_eq!(work.recovered, [6, 3].map(Cut::whole), "each is told what comes next");
        let event = &guard.events()[0];
        assert_eq!((event.before, event.after), (Cut::whole(12), Cut::whole(6)));
        assert_eq!((event.requested_bytes, event.freed_bytes), (Some(2 << 30), Some(0)));
        assert_eq!(event.message, "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0");
    }

    #[test]
    fn below_one_clip_it_goes_on_along_time() {
        let (mut guard, _) = guard(true);
        let cut = guard.run(5, &mut Fake::new(1)).unwrap();
        assert_eq!(cut, Cut { chunk_frames: Some(1), ..Cut::whole(1) });
        assert_eq!(guard.events().len(), 4, "5 clips, 3 clips, a clip, 2 frames");
        assert_eq!(guard.events()[0].before, Cut::whole(5), "a short batch is told as it was");
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
        assert!(matches!(error, GuardError::Forbidden { cut, .. } if cut == Cut::whole(12)));
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
    fn unsure_errors_count_once_and_only_where_memory_is_short() {
        let run = |free: u64, room: usize| {
            let (mut guard, gauge) = guard(true);
            gauge.set(100 - free, free, 100 - free);
            let mut work = Fake { message: UNSURE, ..Fake::new(room) };
            let ended = guard.run(12, &mut work).is_ok();
            (ended, work.attempts.len(), guard.events().first().map(|event| event.cause))
        };
        assert_eq!(run(5, 6 * FRAMES), (true, 2, Some(Cause::MaybeOutOfMemory)));
        assert_eq!(run(5, 3 * FRAMES), (false, 2, Some(Cause::MaybeOutOfMemory)), "one retry");
        assert_eq!(run(50, 6 * FRAMES), (false, 1, None), "memory was not short");
    }

    #[test]
    fn thrashing_two_steps_running_is_as_good_as_running_out() {
        let (mut guard, gauge) = guard(true);
        let mut step = |retries: bool| {
            if retries {
                gauge.retry();
            }
            guard.step_done();
            guard.cut().micro_batch
        };
        assert_eq!([step(true), step(false), step(true)], [12, 12, 12], "once may happen");
        assert_eq!([step(true), step(false), step(true)], [6, 6, 6]);
        assert_eq!(guard.events()[0].cause, Cause::Thrashing);
    }

    #[test]
    fn pressure_halves_the_micro_batch_and_stops_at_one_clip() {
        let (mut guard, _) = guard(true);
        let sizes = [(); 6].map(|()| {
            guard.shrink();
            guard.cut()
        });
        assert_eq!(sizes.map(|cut| cut.micro_batch), [6, 3, 1, 1, 1, 1]);
        assert_eq!((sizes[5], guard.events().len(), guard.events()[0].cause), (Cut::whole(1), 3, Cause::Pressure));
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
        assert_eq!(guard.cut(), Cut::whole(6), "one retry since");
    }

    #[test]
    fn on_the_cpu_it_goes_by_the_hosts_memory_and_a_resumed_run_tries_the_device_again() {
        let gauge = FakeGauge::default();
        gauge.set(100, 0, 100);
        let ladder = || Ladder::training(&Config::default(), true);
        let mut guard = Guard::new("train", ladder(), Box::new(gauge.clone()), true, 3);
        // Nothing fits on the device; on the CPU, half of the batch does.
        struct Device;
        impl Attempt for Device {
            type Output = ();
            type Error = String;
            fn attempt(&mut self, cut: Cut) -> Result<(), String> {
                if cut.on_cpu && cut.micro_batch <= 6 { Ok(()) } else { Err(OOM.into()) }
            }
            fn recover(&mut self, _next: Cut) -> Result<(), String> {
                Ok(())
            }
        }
        guard.run(12, &mut Device).unwrap();
        assert_eq!(guard.cut(), Cut { on_cpu: true, ..Cut::whole(6) });
        assert_eq!(after_good_steps(&mut guard), 12, "the host has room");
        let resumed = Guard::new("train", ladder(), Box::new(gauge), true, 3).resume(&guard.state());
        assert_eq!(resumed.cut(), Cut::whole(12));
    }

    /// Three good steps, then what the size is.
    fn after_good_steps(guard: &mut Guard) -> usize {
        (0..3).for_each(|_| guard.step_done());
        guard.cut().micro_batch
    }

    #[test]
    fn grows_after_good_steps_where_the_peak_leaves_room() {
        let (mut guard, gauge) = guard(true);
        guard.run(12, &mut Fake::new(3 * FRAMES)).unwrap();
        gauge.set(40, 60, 46);
        assert_eq!(after_good_steps(&mut guard), 3, "twice 46 is more than nine tenths of 100");
        gauge.set(40, 60, 44);
        guard.step_done();
        assert_eq!(guard.cut().micro_batch, 3, "not at once");
        guard.step_done();
        guard.step_done();
        assert_eq!(guard.cut().micro_batch, 6);
        assert_eq!(guard.events().last().unwrap().cause, Cause::Room);
    }

    #[test]
    fn a_guard_whose_network_left_the_device_goes_by_host_memory() {
        let (mut guard, gauge) = guard(true);
        guard.run(12, &mut Fake::new(6 * FRAMES)).unwrap();
        gauge.set(95, 5, 95);
        assert_eq!(after_good_steps(&mut guard), 6, "the device is full");
        guard.leave_device();
        assert_eq!(after_good_steps(&mut guard), 12, "the host has room");
    }

    #[test]
    fn a_size_that_ran_out_after_growing_is_never_tried_again() {
        let (mut guard, gauge) = guard(true);
        gauge.set(10, 90, 10);
        let mut work = Fake::new(3 * FRAMES);
        guard.run(12, &mut work).unwrap();
        assert_eq!(after_good_steps(&mut guard), 6);
        guard.run(12, &mut work).unwrap();
        assert_eq!(after_good_steps(&mut guard), 3);
        let state = guard.state();
        assert_eq!((state.cut, state.barred), (Cut::whole(3), Some(Cut::whole(6))));

        let gauge = Box::new(gauge);
        let mut resumed = Guard::new("train", Ladder::new(12, FRAMES, 1), gauge, true, 3).resume(&state);
        assert_eq!(resumed.cut(), Cut::whole(3));
        assert_eq!(after_good_steps(&mut resumed), 3, "nor after a resume");
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
            fn peak_bytes(&self) -> Option<u64> {
                None
            }
            fn reset_peak(&self) {}
            fn alloc_retries(&self) -> Option<u64> {
                None
            }
            fn move_to_cpu(&mut self) {}
        }
        let free = FakeGauge::default();
        free.set(0, 100, 1);
        let gauges: [(Box<dyn Gauge>, u64); 2] = [(Box::new(Blind), 1), (Box::new(free), 0)];
        for (gauge, grow_after) in gauges {
            let mut guard = Guard::new("train", Ladder::new(12, FRAMES, 1), gauge, true, grow_after);
            guard.run(12, &mut Fake::new(FRAMES)).unwrap();
            assert_eq!(after_good_steps(&mut guard), 1);
        }
    }
}
