//! What the guard does after an attempt ran out of memory: it cleans up, and goes to a smaller size or waits for other
//! programs.

use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::super::attempt::Attempt;
use super::super::classify::requested_bytes;
use super::super::error::GuardError;
use super::super::event::{Cause, OomEvent};
use super::super::micro_batch_size::MicroBatchSize;
use super::super::shortage::Shortage;
use super::{Bar, Guard};

/// The pauses before a GPU is given up at its smallest size, if others hold memory of it: about two minutes in all.
pub(super) const PAUSES_SECS: [u64; 6] = [2, 5, 10, 20, 40, 60];
/// The share of the memory that this process could have from which what others hold is worth waiting for.
const OTHERS_SHARE: f64 = 0.05;

impl Guard<'_> {
    /// Cleans up after a failed attempt and goes to the next smaller size, or waits for other programs.
    pub(super) fn step_down<A: Attempt>(
        &mut self,
        clips: usize,
        work: &mut A,
        cause: Cause,
        message: &str,
        started: Instant,
    ) -> Result<(), GuardError<A::Error>> {
        let before = self.micro_batch_size().of_batch(clips);
        let lower = if self.retry { self.sizes.below(self.index, clips) } else { None };
        let pause = self.pause_before(lower);
        let (lower, cause) = if pause.is_some() { (Some(self.index), Cause::Waited) } else { (lower, cause) };
        let after = lower.map_or(before, |index| self.sizes.at(index).of_batch(clips));

        let limit_bytes = self.limit_bytes();
        self.clean_up(work, cause, [before, after], message, started)?;
        match (lower, pause) {
            (None, _) => {
                let (phase, size, message) = (self.phase, before, first_line(message));
                Err(match self.retry {
                    true => GuardError::Exhausted { phase, size, message },
                    false => GuardError::Forbidden { phase, size, message },
                })
            }
            (Some(_), Some(pause)) => self.wait_for_others(before, pause),
            (Some(lower), None) => {
                tracing::warn!(
                    "out of memory in the {} pass: {before} -> {after}, the same clips run again ({} ms lost)",
                    self.phase,
                    started.elapsed().as_millis()
                );
                if self.just_grown {
                    self.barred = Some(Bar { index: lower - 1, limit_bytes });
                }
                if after.on_cpu && !before.on_cpu {
                    self.left_at_bytes = limit_bytes;
                }
                self.use_size(lower);
                Ok(())
            }
        }
    }

    /// Undoes what a failed attempt changed, frees what can be freed, and records the event.
    fn clean_up<A: Attempt>(
        &mut self,
        work: &mut A,
        cause: Cause,
        [before, after]: [MicroBatchSize; 2],
        message: &str,
        started: Instant,
    ) -> Result<(), GuardError<A::Error>> {
        let used_bytes = self.gauge.used_bytes();
        let shortage = self.find_shortage(message);
        if let Err(error) = work.recover(after) {
            return Err(GuardError::NotRecovered { phase: self.phase, message: first_line(message), error });
        }
        self.events.push(OomEvent {
            phase: self.phase.to_owned(),
            cause,
            before,
            after,
            requested_bytes: requested_bytes(message),
            shortage,
            freed_bytes: used_bytes.zip(self.gauge.used_bytes()).map(|(before, after)| before.saturating_sub(after)),
            lost_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            message: first_line(message),
        });
        Ok(())
    }

    /// Waits before the same size is tried again.
    fn wait_for_others<E>(&mut self, size: MicroBatchSize, pause: Duration) -> Result<(), GuardError<E>> {
        let others = ByteSize(self.gauge.others_bytes().unwrap_or(0)).display().iec().to_string();
        tracing::warn!(
            "out of memory in the {} pass with {size}: other programs hold {others} of the GPU, the same clips run again in \
             {} s",
            self.phase,
            pause.as_secs()
        );
        self.pauses += 1;
        if (self.pause)(pause) { Ok(()) } else { Err(GuardError::Interrupted) }
    }

    /// Who held the memory of the GPU when an attempt on it just failed; said where the last failure had another cause.
    fn find_shortage(&mut self, message: &str) -> Option<Shortage> {
        let shortage = Shortage::of(self.gauge.gpu_use()?, requested_bytes(message), message);
        let last = self.events.iter().rev().find_map(|event| event.shortage.as_ref());
        if last.is_none_or(|last| last.held_by != shortage.held_by) {
            tracing::warn!("{}", shortage.advice());
        }
        (self.on_gpu_failure)();
        Some(shortage)
    }

    /// The pause before the same size is tried again instead of `lower`: where the GPU would be given up, and others hold
    /// memory of it.
    fn pause_before(&self, lower: Option<usize>) -> Option<Duration> {
        let gives_up = lower.is_none_or(|lower| self.sizes.at(lower).on_cpu);
        if !self.retry || !gives_up || self.micro_batch_size().on_cpu {
            return None;
        }
        let others = self.gauge.others_bytes()? as f64;
        let is_much = others >= OTHERS_SHARE * self.limit_bytes()? as f64;
        PAUSES_SECS.get(self.pauses).filter(|_| is_much).map(|secs| Duration::from_secs(*secs))
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
