//! One optimizer step: the gradients of the effective batch under the guard, then one update.
//!
//! Forward and backward leave no trace when they fail; the update is outside of the guard.

use tch::{TchError, Tensor};

use super::learner::Learner;
use super::work::{Gradients, Work};
use crate::config::{Config, Precision};
use crate::loader::HostBatch;
use crate::memory::{Cut, Guard, GuardError};
use crate::model::Mode;
use crate::optim::{Loss, LossScaler};
use crate::torch::foreach;
use crate::video::ClipSpec;

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Loss and scores of the clips, and the norm of the gradients before clipping.
    pub gradients: Gradients,
    /// False where loss or gradients were not finite: then no weight moved.
    pub updated: bool,
    /// The size that it was done with.
    pub cut: Cut,
}

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Forward and backward failed; weights, moments and statistics are those of before the step.
    #[error(transparent)]
    Guard(#[from] GuardError<TchError>),
    /// What failed may have changed a part of the weights, moments or statistics.
    #[error("{0}\n  hint: the step is half done, so it is not saved; go on from the last checkpoint")]
    Torn(TchError),
}

impl StepError {
    /// Whether all that a checkpoint holds is as it was before the step, and can be read.
    #[must_use]
    pub fn can_be_saved(&self) -> bool {
        !matches!(self, Self::Torn(_) | Self::Guard(GuardError::DeviceBroken { .. } | GuardError::NotRecovered { .. }))
    }
}

/// Everything that a step changes, and what it needs for that.
pub struct Stepper {
    /// The network and what goes with it.
    pub learner: Learner,
    /// What is minimised.
    loss: Loss,
    /// The factor on the loss.
    pub scaler: LossScaler,
    /// Cuts batches where memory is short.
    pub guard: Guard,
    /// Frees what the rest of the program can spare, when memory ran out.
    pub relieve: Box<dyn FnMut()>,
    /// Running statistics as they were before the step; made once, so that no step needs new memory for them.
    statistics: Vec<Tensor>,
    spec: ClipSpec,
    clip_norm: f64,
    pin_memory: bool,
    precision: Precision,
}

impl Stepper {
    /// With what the configuration says of clips, clipping, copies and precision.
    ///
    /// # Errors
    /// No memory for copies of the running statistics.
    pub fn new(
        config: &Config,
        learner: Learner,
        loss: Loss,
        scaler: LossScaler,
        guard: Guard,
        relieve: Box<dyn FnMut()>,
    ) -> Result<Self, TchError> {
        Ok(Self {
            statistics: learner.detector.parameters().copy_buffers()?,
            spec: ClipSpec::of_training(&config.data),
            clip_norm: config.training.gradient_clip_norm,
            pin_memory: config.dataloader.pin_memory,
            precision: config.gpu.mixed_precision,
            learner,
            loss,
            scaler,
            guard,
            relieve,
        })
    }

    /// Learns from all clips of `batches` together, with one update at `learning_rate`.
    ///
    /// `seed` decides dropout, so that running the step again (in other pieces, or after a resume) needs no saved
    /// generator states.
    ///
    /// # Errors
    /// Memory does not even suffice for the smallest size, or libtorch failed otherwise.
    pub fn run(&mut self, batches: &[HostBatch], learning_rate: f64, seed: i64) -> Result<StepReport, StepError> {
        self.learner.detector.parameters().copy_buffers_into(&self.statistics).map_err(GuardError::Other)?;
        let largest = batches.iter().map(|batch| batch.labels.len()).max().unwrap_or(0);
        let mut work = Work {
            learner: &mut self.learner,
            loss: &self.loss,
            scaler: &self.scaler,
            statistics: &self.statistics,
            relieve: &mut *self.relieve,
            batches,
            spec: &self.spec,
            pin_memory: self.pin_memory,
            seed,
            precision: self.precision,
            mode: Mode::Train,
        };
        let gradients = match self.guard.run(largest, &mut work) {
            Ok(gradients) => gradients,
            Err(error) => return Err(self.put_back(error.into())),
        };
        let updated = gradients.norm.is_finite() && gradients.loss.is_finite();
        if updated {
            self.clip(gradients.norm).and_then(|()| self.learner.update(learning_rate)).map_err(StepError::Torn)?;
        } else {
            // What a batch with infinities did to the running statistics would outlive it.
            self.learner.detector.parameters().restore_buffers(&self.statistics).map_err(StepError::Torn)?;
        }
        self.scaler.update(updated).map_err(StepError::Torn)?;
        let cut = self.guard.cut();
        self.guard.step_done();
        Ok(StepReport { gradients, updated, cut })
    }

    /// Scales gradients of this norm down to the largest that is allowed.
    fn clip(&self, norm: f64) -> Result<(), TchError> {
        let factor = self.clip_norm / (norm + 1e-6);
        if self.clip_norm <= 0.0 || factor >= 1.0 {
            return Ok(());
        }
        let gradients = self.learner.detector.parameters().gradients()?;
        foreach::scale(&gradients.iter().collect::<Vec<_>>(), factor)
    }

    /// Running statistics as they were before the failed step, so that it can be saved and gone on with from there.
    fn put_back(&self, error: StepError) -> StepError {
        if !error.can_be_saved() {
            return error;
        }
        match self.learner.detector.parameters().restore_buffers(&self.statistics) {
            Ok(()) => error,
            Err(torn) => StepError::Torn(torn),
        }
    }
}
