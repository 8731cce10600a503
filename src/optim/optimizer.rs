//! The interface of optimizers. Contains no algorithm; each optimizer has a file of its own.

use tch::Tensor;

use crate::torch::Result;

/// An optimizer with its state.
pub trait Optimizer: std::fmt::Debug {
    /// Updates every parameter that has a gradient. All memory is allocated before the first parameter changes, so that
    /// a step that fails for lack of memory has changed nothing.
    ///
    /// # Errors
    /// No memory for lists of pointers or, on the plain path, for scratch of the largest parameter.
    fn step(&mut self, learning_rate: f64) -> Result<()>;

    /// The state's tensors with the names they are saved under: `PARAMETER.exp_avg` and the like.
    fn state(&self) -> Vec<(String, &Tensor)>;

    /// Number of steps taken.
    fn step_count(&self) -> i32;

    /// Restores a saved step count; the caller fills the tensors of [`state`](Self::state).
    fn set_step_count(&mut self, steps: i32);
}
