//! What the trainer does about memory between two steps, and writes down of it.

use std::io;

use super::lines::{CleanupLine, MemoryLine, OomLine};
use super::trainer::Trainer;
use crate::memory::Cause;

impl Trainer<'_> {
    /// Between two steps: cleans up where it is time for that, goes to a smaller size where nothing else helps, and
    /// writes down how memory stands.
    pub(super) fn look_at_memory(&mut self) -> io::Result<()> {
        if self.stepper.guard.cut().on_cpu {
            self.memory.leave_gpu();
            self.evaluate_guard.leave_device();
        }
        if self.memory.safe_point(self.state.step) {
            let known = self.stepper.guard.events().len();
            self.stepper.guard.shrink();
            self.log_sizes(known, true)?;
        }
        self.log_cleanups()?;
        let every = self.config.logging.memory_log_interval;
        if every == 0 || !self.state.step.is_multiple_of(every) {
            return Ok(());
        }
        let size = self.loader.size();
        let line = MemoryLine {
            step: self.state.step,
            cut: self.stepper.guard.cut(),
            clips_ahead: size.clips_ahead,
            threads: size.threads,
            cache_bytes: self.loader.cached_bytes(),
            reading: self.memory.read(),
        };
        self.log.write("memory", &line)
    }

    /// Writes down the changes of size after the first `known` of a guard.
    pub(super) fn log_sizes(&mut self, known: usize, training: bool) -> io::Result<()> {
        let guard = if training { &self.stepper.guard } else { &self.evaluate_guard };
        for event in &guard.events()[known..] {
            let device = format!("{:?}", self.stepper.learner.detector.device());
            let line = OomLine { step: self.state.step, device, event };
            match event.cause {
                Cause::Headroom => {
                    self.log.write("grow", &line)?;
                    self.state.times_grown += 1;
                }
                Cause::Pressure => self.log.write("shrink", &line)?,
                Cause::OutOfMemory | Cause::MaybeOutOfMemory | Cause::AllocatorRetries => {
                    self.log.write("oom", &line)?;
                    self.state.oom_events += 1;
                }
            }
        }
        Ok(())
    }

    pub(super) fn log_cleanups(&mut self) -> io::Result<()> {
        for cleanup in self.memory.take_cleanups() {
            self.log.write("cleanup", &CleanupLine { step: self.state.step, cleanup: &cleanup })?;
            let totals = &mut self.state.cleanups;
            totals.times += 1;
            totals.freed_bytes += cleanup.freed_bytes.unwrap_or(0);
            totals.ms += cleanup.ms;
        }
        Ok(())
    }
}
