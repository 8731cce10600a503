//! The errors of training. Knows nothing of exit codes.

use std::io;

use tch::TchError;

use super::checkpoint::CheckpointError;
use super::state::MAX_BAD_STEPS;
use crate::evaluate::EvaluateError;
use crate::memory::GuardError;

/// An error of one training step.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Forward and backward failed. Weights, moments and running statistics are those of before the step.
    #[error(transparent)]
    Guard(#[from] GuardError<TchError>),
    /// The update failed, or running statistics could not be restored. A part of the weights, moments or running
    /// statistics may have changed.
    #[error("{0}\n  hint: the step is half done, so it is not saved; go on from the last checkpoint")]
    PartialUpdate(TchError),
}

impl StepError {
    /// Whether everything that a checkpoint holds is as it was before the step, and can be read.
    #[must_use]
    pub fn can_be_saved(&self) -> bool {
        !matches!(
            self,
            Self::PartialUpdate(_) | Self::Guard(GuardError::DeviceBroken { .. } | GuardError::NotRecovered { .. })
        )
    }
}

/// An error that ends training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A step failed: memory ran out, or libtorch failed otherwise.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Validation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A log could not be written.
    #[error(
        "the log of the run cannot be written: {0}\n  hint: free some space; `--resume` goes on from the last checkpoint"
    )]
    Log(#[from] io::Error),
    /// Loss or gradients stay non-finite.
    #[error(
        "loss or gradients were not finite for {MAX_BAD_STEPS} steps in a row, the last one step {step}, {history}\n  \
         hint: start a new run with a smaller training.learning_rate, or with gpu.mixed_precision: off"
    )]
    Diverged {
        /// The last of these steps.
        step: u64,
        /// What was tried before.
        history: &'static str,
    },
}

impl TrainError {
    /// Whether the run ended because memory ran out at the smallest size.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        match self {
            Self::Step(StepError::Guard(error)) | Self::Evaluate(EvaluateError::Guard(error)) => error.ran_out(),
            _ => false,
        }
    }
}
