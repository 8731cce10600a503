//! The running average of the weights as a network of its own, so that it can be asked like the one that learns.

use tch::Tensor;

use crate::model::{Detector, Parameters};
use crate::optim::Ema;
use crate::torch::Result;

/// A network whose weights and running statistics follow those of another.
#[derive(Debug)]
pub struct Average {
    /// The network to validate, test and save.
    pub detector: Detector,
    pub(super) ema: Ema,
}

impl Average {
    /// `detector`, of the same architecture as `source`, becomes its average.
    ///
    /// # Errors
    /// libtorch could not copy the weights.
    pub fn new(detector: Detector, source: &Parameters, decay: f64) -> Result<Self> {
        let tensors = |parameters: &Parameters| -> Vec<Tensor> {
            parameters.iter().map(|parameter| parameter.tensor.shallow_clone()).collect()
        };
        let ema = Ema::new(tensors(detector.parameters()), tensors(source), decay)?;
        Ok(Self { detector, ema })
    }
}
