//! One training step, from top to bottom: forward and backward of the effective batch under the out-of-memory guard,
//! one update, and its record. Forward and backward are in `step_attempt.rs`.
//!
//! What must stay true:
//! - A failed attempt leaves no trace: see `step_attempt.rs`.
//! - The host waits for the device once, when it reads the results of forward and backward.
//! - The update is outside the guard, because it changes weights and moments in place and cannot be run twice.
//! - The result depends on the batches, the seed and the micro-batch size, and not on failures before.
//!
//! This file does not decide when an epoch ends, and saves no checkpoint.

use std::io;
use std::time::Instant;

use tch::{Device, TchError, Tensor};

use super::error::{StepError, TrainError};
use super::learner::Learner;
use super::log_lines::StepLine;
use super::recorder::Recorder;
use super::state::TrainState;
use super::step_attempt::{Gradients, StepAttempt};
use crate::config::{Config, Precision};
use crate::evaluate::Uploads;
use crate::loader::HostBatch;
use crate::memory::{self, Guard, GuardError, MemoryManager, MicroBatchSize};
use crate::model::{Draws, Mode};
use crate::optim::{Loss, LossScaler, Sam};
use crate::torch::{self, Format, foreach};
use crate::video::ClipSpec;

/// The input of a training step.
pub(super) struct StepInput<'b> {
    /// Together, the effective batch.
    pub batches: &'b [HostBatch],
    /// The first batch of the step after it.
    pub next: Option<&'b HostBatch>,
    pub learning_rate: f64,
    pub seed: i64,
    /// The end of the step before it.
    pub started: Instant,
    /// Time spent waiting for the batches, seconds.
    pub wait_secs: f64,
}

/// Trains on the batches of one step, and records it.
pub(super) fn train_step(
    stepper: &mut Stepper,
    state: &mut TrainState,
    recorder: &mut Recorder,
    memory: &MemoryManager,
    input: &StepInput,
) -> Result<(), TrainError> {
    for batch in input.batches {
        recorder.skipped_videos(state, &batch.skipped);
    }
    let has_clips = input.batches.iter().any(|batch| !batch.labels.is_empty());
    if has_clips {
        let (events_before, late_before) = (stepper.guard.events().len(), stepper.uploads.late());
        let result = stepper.step(input.batches, input.next, input.learning_rate, input.seed);
        state.late_passes += stepper.uploads.late() - late_before;
        let device = stepper.learner.detector.device();
        let logged = recorder.size_changes(state, device, &stepper.guard.events()[events_before..]);
        let logged = logged.and_then(|()| recorder.cleanups(state, memory.take_cleanups()));
        // The failure of a step says more than that it could not be logged.
        let report = result?;
        logged?;
        record_step(stepper, state, recorder, input, &report)?;
        if state.batches_done == 0 {
            recorder.clips(state.step, &input.batches[0])?;
        }
    }
    state.batches_done += input.batches.len();
    Ok(())
}

/// Adds a step to the state of the run, and writes its line to the log.
fn record_step(
    stepper: &Stepper,
    state: &mut TrainState,
    recorder: &mut Recorder,
    input: &StepInput,
    report: &StepReport,
) -> io::Result<()> {
    let clips = report.scores.len();
    let seconds = input.started.elapsed().as_secs_f64();
    state.step += 1;
    state.seconds += seconds;
    state.tally.seconds += seconds;
    state.tally.wait_secs += input.wait_secs;
    if report.updated {
        (state.bad_steps, state.overflows) = (0, 0);
        state.tally.loss_sum += report.loss * clips as f64;
        state.tally.scores.extend_from_slice(&report.scores);
    } else {
        let is_overflow = report.loss.is_finite() && stepper.scaler.is_enabled();
        if is_overflow {
            state.overflows += 1;
        } else {
            state.bad_steps += 1;
        }
        recorder.bad_step(state, input.batches, report.loss, is_overflow)?;
    }
    let allocated = torch::allocator_stats(stepper.learner.detector.device());
    state.gpu_peak_bytes = state.gpu_peak_bytes.max(allocated.map(|stats| stats.allocated_peak_bytes));
    state.gpu_reserved_peak_bytes = state.gpu_reserved_peak_bytes.max(allocated.map(|stats| stats.reserved_peak_bytes));
    let backbone_lr_scale = recorder.config.training.backbone_lr_scale;
    recorder.step(&StepLine {
        step: state.step,
        epoch: state.epoch + 1,
        loss: report.loss,
        lr: input.learning_rate,
        backbone_lr: (backbone_lr_scale != 1.0).then_some(input.learning_rate * backbone_lr_scale),
        grad_norm: report.grad_norm,
        scale: stepper.scaler.scale(),
        clips,
        size: report.size,
        clips_per_sec: (seconds > 0.0).then(|| clips as f64 / seconds),
        data_wait_ms: (input.wait_secs * 1000.0) as u64,
        gpu_peak_bytes: state.gpu_peak_bytes,
        rss_bytes: memory::process_rss_bytes(),
    })
}

/// The result of a training step. Loss and scores are those of the weights before it, with SAM, too.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Mean loss over the clips.
    pub loss: f64,
    /// For each clip, its predicted probability of fake and whether it is fake.
    pub scores: Vec<(f64, bool)>,
    /// Global L2 norm, before clipping, of the gradients that move the weights; not finite if a gradient is not.
    pub grad_norm: f64,
    /// Whether the weights were updated. They are not if loss or gradients are not finite.
    pub updated: bool,
    /// The micro-batch size of the step.
    pub size: MicroBatchSize,
}

/// Runs training steps: it owns everything that a step changes.
pub struct Stepper<'a> {
    /// Network, optimizer and EMA.
    pub learner: Learner,
    loss: Loss,
    /// The loss scale, for fp16.
    pub scaler: LossScaler,
    /// The out-of-memory guard, which sets the micro-batch size.
    pub guard: Guard<'a>,
    /// Frees memory of the rest of the program after memory ran out.
    pub clean_up: Box<dyn FnMut()>,
    /// The running statistics before the step. They are allocated once, because a step must not need memory for them.
    saved_buffers: Vec<Tensor>,
    /// Those after the first of SAM's two passes.
    first_pass_buffers: Vec<Tensor>,
    /// Frames of the next step on their way to the device.
    uploads: Uploads,
    /// The device that training started on, and the number format there.
    home: (Device, Format),
    spec: ClipSpec,
    clip_norm: f64,
    pin_memory: bool,
    precision: Precision,
}

impl<'a> Stepper<'a> {
    /// Takes the size of clips, gradient clipping, pinned memory and precision from `config`.
    ///
    /// # Errors
    /// There is no memory for a copy of the running statistics.
    pub fn new(
        config: &Config,
        learner: Learner,
        loss: Loss,
        scaler: LossScaler,
        guard: Guard<'a>,
        clean_up: Box<dyn FnMut()>,
    ) -> Result<Self, TchError> {
        let buffers = || learner.detector.parameters().copy_buffers();
        Ok(Self {
            saved_buffers: buffers()?,
            first_pass_buffers: if learner.sam.is_some() { buffers()? } else { Vec::new() },
            uploads: Uploads::default(),
            home: (learner.detector.device(), learner.detector.format()),
            spec: ClipSpec::of_training(&config.data),
            clip_norm: config.training.gradient_clip_norm,
            pin_memory: config.dataloader.pin_memory,
            precision: config.gpu.mixed_precision,
            learner,
            loss,
            scaler,
            guard,
            clean_up,
        })
    }

    /// Trains on all clips of `batches` with one update. Meanwhile frames of `next`, the first batch of the next step, travel
    /// to the device.
    ///
    /// `seed` sets the random generator for dropout, so that a step that runs again draws the same numbers.
    ///
    /// # Errors
    /// Memory ran out at the smallest size, or libtorch failed otherwise.
    pub fn step(
        &mut self,
        batches: &[HostBatch],
        next: Option<&HostBatch>,
        learning_rate: f64,
        seed: i64,
    ) -> Result<StepReport, StepError> {
        self.learner.detector.parameters().copy_buffers_into(&self.saved_buffers).map_err(GuardError::Other)?;
        let first_of_next = if self.learner.sam.is_some() { batches.first() } else { next };
        let Gradients { loss, scores, mut norm } = self.gradients(batches, first_of_next, seed)?;
        let mut updated = norm.is_finite() && loss.is_finite();
        if updated && self.learner.sam.is_some() {
            let uphill = self.uphill_gradients(norm, batches, next, seed)?;
            (norm, updated) = (uphill.norm, uphill.norm.is_finite() && uphill.loss.is_finite());
        }

        // The update, once.
        self.update(updated, norm, learning_rate).map_err(StepError::PartialUpdate)?;
        let size = self.guard.micro_batch_size();
        self.guard.step_done();
        Ok(StepReport { loss, scores, grad_norm: norm, updated, size })
    }

    /// The second pass of a step of SAM: the gradients where the weights climb to, while running statistics stay those of the
    /// first pass. The guard runs each of the two by itself: where the second runs out of memory, the first is not run again.
    /// Both draw the same numbers.
    fn uphill_gradients(
        &mut self,
        norm: f64,
        batches: &[HostBatch],
        next: Option<&HostBatch>,
        seed: i64,
    ) -> Result<Gradients, StepError> {
        let Learner { detector, sam, .. } = &self.learner;
        let kept = detector.parameters().copy_buffers_into(&self.first_pass_buffers);
        let climbed = kept.and_then(|()| sam.as_ref().map_or(Ok(()), |sam| sam.climb(norm)));
        climbed.map_err(StepError::PartialUpdate)?;
        let uphill = self.gradients(batches, next, seed);
        if uphill.as_ref().is_err_and(|error| !error.can_be_saved()) {
            return uphill;
        }
        let descended = self.learner.sam.as_ref().map_or(Ok(()), Sam::descend);
        descended.map_err(StepError::PartialUpdate)?;
        let uphill = uphill?;
        let parameters = self.learner.detector.parameters();
        parameters.restore_buffers(&self.first_pass_buffers).map_err(StepError::PartialUpdate)?;
        Ok(uphill)
    }

    /// Forward and backward, in pieces that fit.
    fn gradients(
        &mut self,
        batches: &[HostBatch],
        next: Option<&HostBatch>,
        seed: i64,
    ) -> Result<Gradients, StepError> {
        let mut attempt = StepAttempt {
            learner: &mut self.learner,
            loss: &self.loss,
            scaler: &self.scaler,
            saved_buffers: &self.saved_buffers,
            kept_buffers: &self.first_pass_buffers,
            uploads: &mut self.uploads,
            clean_up: &mut *self.clean_up,
            home: self.home,
            batches,
            next,
            spec: &self.spec,
            pin_memory: self.pin_memory,
            seed,
            precision: self.precision,
            mode: Mode::Train(Draws::new(seed)),
        };
        let clips = batches.iter().map(|batch| batch.labels.len()).max().unwrap_or(0);
        self.guard.run(clips, &mut attempt).map_err(|error| self.restore_buffers(error.into()))
    }

    /// Clips the gradients and updates weights, EMA and loss scale. If loss or gradients are not finite, it restores
    /// the running statistics instead, because they may be not finite either, and lowers the loss scale.
    fn update(&mut self, is_finite: bool, grad_norm: f64, learning_rate: f64) -> Result<(), TchError> {
        let parameters = self.learner.detector.parameters();
        let factor = self.clip_norm / (grad_norm + 1e-6);
        if is_finite && self.clip_norm > 0.0 && factor < 1.0 {
            let gradients = parameters.gradients()?;
            foreach::scale(&gradients.iter().collect::<Vec<_>>(), factor)?;
        }
        match is_finite {
            true => self.learner.update(learning_rate)?,
            false => parameters.restore_buffers(&self.saved_buffers)?,
        }
        self.scaler.update(is_finite);
        Ok(())
    }

    /// Restores the running statistics after the last attempt failed, so that a checkpoint can be saved.
    fn restore_buffers(&self, error: StepError) -> StepError {
        if !error.can_be_saved() {
            return error;
        }
        match self.learner.detector.parameters().restore_buffers(&self.saved_buffers) {
            Ok(()) => error,
            Err(error) => StepError::PartialUpdate(error),
        }
    }
}

#[cfg(test)]
mod tests;
