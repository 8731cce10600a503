//! Runs work in micro-batches and, when memory runs out, runs the same work again in smaller ones.
//!
//! Knows nothing of tensors or models: the caller says what an attempt is and how to put things back after a failed
//! one. Training and evaluation each have their own guard, so that one does not shrink the other.

use std::fmt::Display;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::classify::is_out_of_memory;

/// What happened once when memory ran out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OomEvent {
    /// `train` or `evaluate`.
    pub phase: String,
    /// Clips a forward pass before.
    pub micro_batch_before: usize,
    /// Clips a forward pass from here on.
    pub micro_batch_after: usize,
    /// Time that the failed attempt and the clean-up cost.
    pub lost_ms: u64,
    /// The allocator's first line.
    pub message: String,
}

/// Why guarded work did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError<E> {
    /// Memory ran out and the work cannot be cut smaller.
    #[error(
        "out of memory with a single clip in the {phase} pass ({message})\n  hint: fewer or smaller frames need less: \
         data.max_frames, data.frame_size, or a smaller model.backbone"
    )]
    Exhausted {
        /// `train` or `evaluate`.
        phase: String,
        /// The allocator's first line.
        message: String,
    },
    /// Memory ran out and retrying is switched off.
    #[error(
        "out of memory with {micro_batch} clips in the {phase} pass ({message})\n  hint: set \
         gpu.memory_management.oom_retry: true, or a smaller training.batch_size"
    )]
    Forbidden {
        /// `train` or `evaluate`.
        phase: String,
        /// Clips a forward pass.
        micro_batch: usize,
        /// The allocator's first line.
        message: String,
    },
    /// Something else went wrong; it was not retried.
    #[error("{0}")]
    Other(E),
}

/// The size that holds, and what happened on the way to it.
#[derive(Debug)]
pub struct Guard {
    phase: &'static str,
    micro_batch: usize,
    retry: bool,
    events: Vec<OomEvent>,
}

impl Guard {
    /// Starts with `micro_batch` clips a forward pass; without `retry` the first failure is final.
    #[must_use]
    pub fn new(phase: &'static str, micro_batch: usize, retry: bool) -> Self {
        Self { phase, micro_batch: micro_batch.max(1), retry, events: Vec::new() }
    }

    /// Clips a forward pass, at most.
    #[must_use]
    pub fn micro_batch(&self) -> usize {
        self.micro_batch
    }

    /// Every time memory ran out so far.
    #[must_use]
    pub fn events(&self) -> &[OomEvent] {
        &self.events
    }

    /// Runs `attempt` with micro-batches that fit.
    ///
    /// `clips` is the most that one forward pass could see (the batch), so that halving always makes a difference.
    /// After an out-of-memory error everything that the attempt made is gone; then `recover` puts back what it changed
    /// and frees what can be freed; then the same work runs again, halved.
    ///
    /// # Errors
    /// [`GuardError::Exhausted`] when one clip does not fit; any other error of `attempt` or `recover` as it came.
    pub fn run<T, E: Display>(
        &mut self,
        clips: usize,
        mut attempt: impl FnMut(usize) -> Result<T, E>,
        mut recover: impl FnMut() -> Result<(), E>,
    ) -> Result<T, GuardError<E>> {
        loop {
            let started = Instant::now();
            let micro_batch = self.micro_batch.min(clips.max(1));
            let error = match attempt(micro_batch) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let message = error.to_string();
            if !is_out_of_memory(&message) {
                return Err(GuardError::Other(error));
            }
            // The error may hold what libtorch said, nothing more; still, nothing of the attempt lives on.
            drop(error);
            recover().map_err(GuardError::Other)?;
            let phase = self.phase.to_owned();
            let message = message.lines().next().unwrap_or_default().to_owned();
            let micro_batch_after = if self.retry { (micro_batch / 2).max(1) } else { micro_batch };
            let event = OomEvent {
                phase: phase.clone(),
                micro_batch_before: micro_batch,
                micro_batch_after,
                lost_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                message: message.clone(),
            };
            self.events.push(event);
            if !self.retry {
                return Err(GuardError::Forbidden { phase, micro_batch, message });
            }
            if micro_batch == 1 {
                return Err(GuardError::Exhausted { phase, message });
            }
            self.micro_batch = micro_batch_after;
            tracing::warn!(
                "out of memory in the {phase} pass: micro-batch {micro_batch} -> {micro_batch_after}, the same clips run \
                 again ({} ms lost)",
                started.elapsed().as_millis()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OOM: &str = "CUDA out of memory. Tried to allocate 2 GiB\nmore lines";

    /// Fits at most `room` clips a forward pass.
    fn attempt(room: usize) -> impl FnMut(usize) -> Result<usize, String> {
        move |micro_batch| if micro_batch <= room { Ok(micro_batch) } else { Err(OOM.into()) }
    }

    #[test]
    fn halves_until_it_fits_and_stays_there() {
        let mut guard = Guard::new("train", 12, true);
        let mut recovered = 0;
        let mut recover = || {
            recovered += 1;
            Ok(())
        };
        assert_eq!(guard.run(12, attempt(3), &mut recover).unwrap(), 3);
        assert_eq!(guard.run(12, attempt(3), &mut recover).unwrap(), 3);
        assert_eq!((guard.micro_batch(), guard.events().len(), recovered), (3, 2, 2));
        assert_eq!((guard.events()[0].micro_batch_before, guard.events()[0].micro_batch_after), (12, 6));
        assert_eq!(guard.events()[0].message, "CUDA out of memory. Tried to allocate 2 GiB");
    }

    #[test]
    fn a_short_batch_is_halved_from_what_it_really_was() {
        let mut guard = Guard::new("train", 12, true);
        assert_eq!(guard.run(5, attempt(2), || Ok(())).unwrap(), 2);
        assert_eq!(guard.events().len(), 1);
    }

    #[test]
    fn one_clip_that_does_not_fit_is_the_end() {
        let mut recovered = 0;
        let recover = || {
            recovered += 1;
            Ok(())
        };
        let error = Guard::new("train", 4, true).run(4, attempt(0), recover).unwrap_err();
        assert!(matches!(error, GuardError::Exhausted { .. }) && error.to_string().contains("hint:"));
        assert_eq!(recovered, 3, "also the last failure is cleaned up after");
    }

    #[test]
    fn retrying_can_be_switched_off() {
        let error = Guard::new("train", 4, false).run(4, attempt(2), || Ok(())).unwrap_err();
        assert!(matches!(error, GuardError::Forbidden { micro_batch: 4, .. }));
    }

    #[test]
    fn a_bug_is_not_retried() {
        let mut calls = 0;
        let bug = |_| -> Result<(), String> {
            calls += 1;
            Err("shape mismatch".into())
        };
        let error = Guard::new("train", 4, true).run(4, bug, || panic!("must not recover")).unwrap_err();
        assert!(matches!(error, GuardError::Other(_)));
        assert_eq!(calls, 1);
    }
}
