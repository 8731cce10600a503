//! The mode of a forward pass: evaluation, training, or recomputation for backward. Runs nothing: `layers.rs` and
//! `temporal.rs` behave as the mode says.

/// How batch norm and dropout behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses its running statistics; no dropout.
    Evaluate,
    /// Batch norm uses the batch's statistics and updates the running ones; dropout is on.
    Train,
    /// A second training pass over the same frames, for backward: running statistics are not updated again.
    Recompute,
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
        if self == Self::Train { Self::Recompute } else { self }
    }
}
