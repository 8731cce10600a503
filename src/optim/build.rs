//! Builds the optimizer that the configuration names. Computes no update; each optimizer has a file of its own.

use super::adam::Adam;
use super::groups::ParameterGroups;
use super::optimizer::Optimizer;
use super::sgd::Sgd;
use crate::config::OptimizerChoice;
use crate::torch::Result;

/// The optimizer that the configuration names; of SAM, the one that moves the weights. Its state is allocated here, so that no step needs new memory for it.
///
/// # Errors
/// No memory for the state.
pub fn optimizer(choice: OptimizerChoice, parameters: ParameterGroups) -> Result<Box<dyn Optimizer>> {
    Ok(match choice {
        OptimizerChoice::Adamw => Box::new(Adam::new(parameters, true)?),
        OptimizerChoice::Adam => Box::new(Adam::new(parameters, false)?),
        OptimizerChoice::Sgd | OptimizerChoice::Sam => Box::new(Sgd::new(parameters)?),
    })
}
