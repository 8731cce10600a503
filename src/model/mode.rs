//! The mode of a forward pass: evaluation, training, or recomputation for backward. Runs nothing: `layers.rs`,
//! `backbone.rs` and `temporal.rs` behave as the mode says.

use super::draws::Draws;

/// How batch norm, dropout and stochastic depth behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses its running statistics; no dropout.
    Evaluate,
    /// Batch norm uses the batch's statistics and updates the running ones; dropout is on. The backbone's has these
    /// draws.
    Train(Draws),
    /// A second training pass over the same frames, for backward: running statistics are not updated again.
    Recompute(Draws),
}

impl Mode {
    /// Whether dropout is on and batch norm uses the batch's statistics.
    #[must_use]
    pub fn is_training(self) -> bool {
        self != Self::Evaluate
    }

    /// The mode of a second pass over the same frames.
    #[must_use]
    pub fn recompute(self) -> Self {
        match self {
            Self::Train(draws) => Self::Recompute(draws),
            other => other,
        }
    }

    /// The mode of a pass over the frames of the effective batch from frame `row` on.
    #[must_use]
    pub fn from_row(self, row: usize) -> Self {
        match self {
            Self::Evaluate => Self::Evaluate,
            Self::Train(draws) => Self::Train(draws.from_row(row)),
            Self::Recompute(draws) => Self::Recompute(draws.from_row(row)),
        }
    }

    /// The draws of the backbone's dropout; `None` in evaluation.
    pub(super) fn draws(self) -> Option<Draws> {
        match self {
            Self::Evaluate => None,
            Self::Train(draws) | Self::Recompute(draws) => Some(draws),
        }
    }
}
