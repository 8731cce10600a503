//! Everything that a checkpoint saves, in one place. Knows nothing of files.

use super::state::TrainState;
use super::train_step::Stepper;
use crate::memory::Guard;

/// Everything that training changes and a checkpoint saves.
pub struct ModelState<'a> {
    /// Network, optimizer, loss scale and the out-of-memory guard of training.
    pub stepper: Stepper<'a>,
    /// The out-of-memory guard of validation and tests.
    pub evaluate_guard: Guard<'a>,
    /// Counters, history and everything else that is not a tensor.
    pub state: TrainState,
}
