//! What turns clips' logits into new weights: the loss, loss scaling for fp16, optimizers, the learning rate over time,
//! and a running average of the weights.

mod adam;
mod ema;
mod groups;
mod loss;
mod scaler;
mod schedule;
mod sgd;

use tch::Tensor;

pub use adam::Adam;
pub use ema::Ema;
pub use groups::ParameterGroups;
pub use loss::Loss;
pub use scaler::LossScaler;
pub use schedule::{PlateauState, Schedule};
pub use sgd::Sgd;

use crate::config::OptimizerChoice;
use crate::torch::Result;

/// What moves the weights.
pub trait Optimizer: std::fmt::Debug {
    /// Moves every parameter that has a gradient. All that it needs is allocated before the first one moves, so that an
    /// update which fails for want of memory has changed nothing.
    ///
    /// # Errors
    /// No memory for lists of pointers or, on the plain path, for scratch of the largest parameter.
    fn step(&mut self, learning_rate: f64) -> Result<()>;

    /// Its tensors with the names they are saved under: `PARAMETER.exp_avg` and the like.
    fn state(&self) -> Vec<(String, &Tensor)>;

    /// Updates done so far.
    fn step_count(&self) -> i32;

    /// Goes on from a saved count; the tensors of [`state`](Self::state) are filled by the caller.
    fn set_step_count(&mut self, steps: i32);
}

/// The optimizer that the configuration names. Its state is made here, so that no step needs new memory for it.
///
/// # Errors
/// No memory for the state.
pub fn optimizer(choice: OptimizerChoice, parameters: ParameterGroups) -> Result<Box<dyn Optimizer>> {
    Ok(match choice {
        OptimizerChoice::Adamw => Box::new(Adam::new(parameters, true)?),
        OptimizerChoice::Adam => Box::new(Adam::new(parameters, false)?),
        OptimizerChoice::Sgd => Box::new(Sgd::new(parameters)?),
    })
}
