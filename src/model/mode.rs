//! What a forward pass is for.

/// How layers that tell training from scoring behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm by its running statistics, no dropout.
    Evaluate,
    /// Batch norm by the statistics of what it sees, which the running ones follow; dropout.
    Train,
    /// `Train` once more over the same frames: running statistics stay as the first time left them.
    Again,
}

impl Mode {
    /// Whether dropout is on and batch norm goes by what it sees.
    #[must_use]
    pub fn is_training(self) -> bool {
        self != Self::Evaluate
    }

    /// For a second pass over frames that a first one has seen.
    #[must_use]
    pub fn again(self) -> Self {
        if self == Self::Train { Self::Again } else { self }
    }
}
