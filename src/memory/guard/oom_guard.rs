//! The out-of-memory guard: it runs work in pieces and, when memory runs out, runs the same work again in smaller
//! pieces.
//!
//! The guard knows nothing of tensors or models: its caller implements the work as an [`Attempt`].
//! Training and evaluation each have their own guard, so that one does not shrink the other.

use std::thread;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::classify::{Failure, classify};
use super::error::GuardError;
use super::event::{Cause, OomEvent};
use super::gauge::Gauge;
use super::micro_batch_size::MicroBatchSize;
use super::micro_batch_sizes::MicroBatchSizes;
use super::state::GuardState;

/// After this number of steps in a row in which the allocator had to empty its cache and retry, the size is too large:
/// training is slow, and memory soon runs out.
const ALLOC_RETRY_STEPS: u32 = 2;
/// A larger size is tried where its predicted peak is below this share of the memory that the process can have.
const GROWTH_LIMIT_SHARE: f64 = 0.9;
/// A barred size is tried again where this process can have so many times the memory that it could have when that size ran
/// out: another process was in the way then.
const MORE_MEMORY: f64 = 1.1;

/// A size that the guard grew to and that then ran out of memory.
#[derive(Debug, Clone, Copy)]
struct Bar {
    index: usize,
    /// The memory that this process could have then.
    limit_bytes: Option<u64>,
}

/// Runs work at the current micro-batch size, and changes that size as memory allows.
pub struct Guard<'a> {
    phase: &'static str,
    sizes: MicroBatchSizes,
    gauge: Box<dyn Gauge>,
    /// Whether work that ran out of memory runs again.
    retry: bool,
    /// Good steps before a larger size is tried; 0 = never.
    grow_after: u64,
    /// The current size.
    index: usize,
    /// Neither this size nor a larger one is grown to again, unless there is more memory than then.
    barred: Option<Bar>,
    /// The current size was reached by growing, and may be too large.
    just_grown: bool,
    /// Steps without a failure at the current size, or since the last decision not to grow.
    good_steps: u64,
    /// Pauses since the last success.
    pauses: usize,
    pause: Box<dyn FnMut(Duration) -> bool + 'a>,
    /// The memory that this process could have of the GPU when it was given up.
    left_at_bytes: Option<u64>,
    /// Called after memory of a GPU ran out, before the clean-up.
    on_gpu_failure: Box<dyn FnMut() + 'a>,
    /// Steps in a row in which the allocator had to retry.
    alloc_retry_steps: u32,
    /// Retries of the allocator at the last reading.
    alloc_retries: Option<u64>,
    events: Vec<OomEvent>,
}

impl<'a> Guard<'a> {
    /// Starts at the largest size. Without `retry` the first failure is final; with a `grow_after` of 0 the size never
    /// grows.
    #[must_use]
    pub fn new(
        phase: &'static str,
        sizes: MicroBatchSizes,
        gauge: Box<dyn Gauge>,
        retry: bool,
        grow_after: u64,
    ) -> Self {
        let alloc_retries = gauge.alloc_retries();
        Self {
            phase,
            sizes,
            gauge,
            retry,
            grow_after,
            index: 0,
            barred: None,
            just_grown: false,
            good_steps: 0,
            pauses: 0,
            pause: Box::new(|pause| {
                thread::sleep(pause);
                true
            }),
            left_at_bytes: None,
            on_gpu_failure: Box::new(|| {}),
            alloc_retry_steps: 0,
            alloc_retries,
            events: Vec::new(),
        }
    }

    /// Pauses with `pause`, which returns `false` where the user wants to stop instead.
    #[must_use]
    pub fn with_pause(self, pause: impl FnMut(Duration) -> bool + 'a) -> Self {
        Self { pause: Box::new(pause), ..self }
    }

    /// Calls `callback` after memory of a GPU ran out, while its allocator is still as the attempt left it.
    #[must_use]
    pub fn on_gpu_failure(self, callback: impl FnMut() + 'a) -> Self {
        Self { on_gpu_failure: Box::new(callback), ..self }
    }

    /// Goes on with the size of a checkpoint, where there still is such a size. A run that had to leave the device
    /// tries it again from the largest size: its memory may be free again.
    #[must_use]
    pub fn resume(mut self, state: &GuardState) -> Self {
        self.index = self.sizes.find(state.size).filter(|_| !state.size.on_cpu).unwrap_or(0);
        let index = state.barred.and_then(|size| self.sizes.find(size));
        self.barred = index.map(|index| Bar { index, limit_bytes: state.barred_at_bytes });
        self
    }

    /// The state for a checkpoint.
    #[must_use]
    pub fn state(&self) -> GuardState {
        GuardState {
            size: self.micro_batch_size(),
            barred: self.barred.map(|bar| self.sizes.at(bar.index)),
            barred_at_bytes: self.barred.and_then(|bar| bar.limit_bytes),
        }
    }

    /// The current size.
    #[must_use]
    pub fn micro_batch_size(&self) -> MicroBatchSize {
        self.sizes.at(self.index)
    }

    /// Reads host memory, at any size, or that of the GPU again, because another guard moved the network there.
    pub fn read_host(&mut self, is_on_cpu: bool) {
        self.gauge.read_host(is_on_cpu);
    }

    /// Every change of size so far.
    #[must_use]
    pub fn events(&self) -> &[OomEvent] {
        &self.events
    }

    /// Does `work` on a batch of `clips` in pieces that fit.
    ///
    /// After an out-of-memory error the attempt has freed what it allocated; then [`Attempt::recover`] undoes its
    /// changes and frees what can be freed; then the same work runs again in smaller pieces.
    ///
    /// # Errors
    /// See [`GuardError`]; an error that is not out of memory is returned unchanged.
    pub fn run<A: Attempt>(&mut self, clips: usize, work: &mut A) -> Result<A::Output, GuardError<A::Error>> {
        loop {
            let started = Instant::now();
            // Only the peak of this attempt tells whether memory was short in it, and whether more would fit.
            self.gauge.reset_peak();
            let error = match work.attempt(self.micro_batch_size().of_batch(clips)) {
                Ok(output) => {
                    self.pauses = 0;
                    return Ok(output);
                }
                Err(error) => error,
            };
            let message = error.to_string();
            let cause = match classify(&message) {
                Failure::OutOfMemory => Cause::OutOfMemory,
                // Where a smaller attempt did not find memory short, this ends.
                Failure::MaybeOutOfMemory if self.gauge.was_low() => Cause::MaybeOutOfMemory,
                Failure::DeviceBroken => {
                    return Err(GuardError::DeviceBroken { phase: self.phase, error });
                }
                Failure::MaybeOutOfMemory | Failure::Other => return Err(GuardError::Other(error)),
            };
            // Nothing of the attempt may outlive it, not even in the error, which should hold only the text of
            // libtorch.
            drop(error);
            self.step_down(clips, work, cause, &message, started)?;
        }
    }

    /// Counts a step that is done, its update included. The guard leaves a size at which the allocator keeps retrying
    /// for a smaller one, and tries a larger one after many good steps with enough headroom.
    pub fn step_done(&mut self) {
        self.good_steps += 1;
        if self.allocator_retries_repeat() {
            self.shrink_because(Cause::AllocatorRetries);
        } else if self.may_return() {
            self.change_size(Cause::Returned, 0);
        } else if self.may_grow() {
            self.change_size(Cause::Headroom, self.index - 1);
            self.just_grown = true;
        }
    }

    /// Goes to the next smaller micro-batch because memory is short, although it has not run out. Chunks of a clip and
    /// the CPU, which are slower, wait until memory runs out.
    pub fn shrink(&mut self) {
        if self.retry && self.micro_batch_size().micro_batch > 1 {
            self.shrink_because(Cause::Pressure);
        }
    }

    /// Goes to the next smaller size on the same device, where there is one.
    fn shrink_because(&mut self, cause: Cause) {
        let lower = self.sizes.below(self.index, usize::MAX);
        if let Some(lower) = lower.filter(|lower| self.sizes.at(*lower).on_cpu == self.micro_batch_size().on_cpu) {
            self.change_size(cause, lower);
        }
    }

    /// Whether the allocator had to retry in too many steps in a row.
    fn allocator_retries_repeat(&mut self) -> bool {
        let before = std::mem::replace(&mut self.alloc_retries, self.gauge.alloc_retries());
        let retried = before.zip(self.alloc_retries).is_some_and(|(before, now)| now > before);
        self.alloc_retry_steps = if retried { self.alloc_retry_steps + 1 } else { 0 };
        self.retry && self.alloc_retry_steps >= ALLOC_RETRY_STEPS
    }

    /// Whether to try the GPU again that was given up: where this process can have clearly more of its memory than then.
    /// It starts at the largest size, and goes down from there as a run that starts.
    fn may_return(&self) -> bool {
        let now = self.left_at_bytes.zip(self.gauge.device_bytes()).filter(|_| self.micro_batch_size().on_cpu);
        self.grow_after > 0 && now.is_some_and(|(then, now)| now as f64 >= MORE_MEMORY * then as f64)
    }

    /// Whether to try the next larger size now.
    fn may_grow(&mut self) -> bool {
        if self.grow_after == 0 || self.good_steps < self.grow_after || self.index == 0 {
            return false;
        }
        // The next decision comes only after as many good steps more, because reading memory takes time.
        self.good_steps = 0;
        let growth = self.sizes.growth(self.index);
        let [peak, limit] = [self.gauge.peak_bytes(), self.limit_bytes()].map(|bytes| bytes.map(|bytes| bytes as f64));
        let (Some(growth), Some(peak), Some(limit)) = (growth, peak, limit) else { return false };
        let is_barred = self.barred.filter(|bar| bar.index >= self.index - 1).is_some_and(|bar| {
            // Without a reading, or where as little is there as then, it would run out again.
            bar.limit_bytes.is_none_or(|then| limit < MORE_MEMORY * then as f64)
        });
        !is_barred && peak * growth < GROWTH_LIMIT_SHARE * limit
    }

    /// The memory that this process can have.
    fn limit_bytes(&self) -> Option<u64> {
        self.gauge.used_bytes().zip(self.gauge.free_bytes()).map(|(used, free)| used + free)
    }

    /// Changes the size and records why.
    fn change_size(&mut self, cause: Cause, index: usize) {
        let (phase, before, after) = (self.phase, self.micro_batch_size(), self.sizes.at(index));
        match cause {
            Cause::Headroom => tracing::info!("{phase}: memory has room, {before} -> {after}"),
            Cause::Returned => tracing::info!("{phase}: the GPU has memory again, {before} -> {after}"),
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
            shortage: None,
            freed_bytes: None,
            lost_ms: 0,
            message: String::new(),
        });
        self.use_size(index);
    }

    fn use_size(&mut self, index: usize) {
        self.index = index;
        (self.just_grown, self.good_steps, self.alloc_retry_steps) = (false, 0, 0);
        self.gauge.read_host(self.micro_batch_size().on_cpu);
        // Retries of a failed attempt say nothing of the new size.
        self.alloc_retries = self.gauge.alloc_retries();
    }
}

mod step_down;
#[cfg(test)]
mod tests;
