//! The exponential moving average (EMA) of the weights, which often generalises better than the weights themselves. The
//! caller decides when it is updated and where the average is used.

use tch::{Kind, Tensor};

use crate::torch::Result;
use crate::torch::foreach;

/// The exponential moving average of weights and running statistics.
#[derive(Debug)]
pub struct Ema {
    averages: Vec<Tensor>,
    sources: Vec<Tensor>,
    decay: f64,
}

impl Ema {
    /// Copies `sources` into `averages`, tensor by tensor.
    ///
    /// # Errors
    /// The tensors do not have the same shapes.
    pub fn new(averages: Vec<Tensor>, sources: Vec<Tensor>, decay: f64) -> Result<Self> {
        assert_eq!(averages.len(), sources.len(), "one average a tensor");
        let _no_grad = tch::no_grad_guard();
        assert!(sources.iter().all(|source| source.kind() == Kind::Float), "averages are of float32");
        foreach::copy(&averages.iter().collect::<Vec<_>>(), &sources.iter().collect::<Vec<_>>())?;
        Ok(Self { averages, sources, decay })
    }

    /// Updates the average with the weights after optimizer step `n`, counted from 1. The decay is
    /// `min(decay, (1 + n) / (10 + n))`, so that the random initial weights lose their influence early (the warm-up of
    /// TensorFlow's `ExponentialMovingAverage`).
    ///
    /// # Errors
    /// No memory for lists of pointers; then nothing has changed.
    pub fn update(&self, n: i32) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let decay = self.decay.min((1.0 + f64::from(n)) / (10.0 + f64::from(n)));
        let [averages, sources] = [&self.averages, &self.sources].map(|list| list.iter().collect::<Vec<_>>());
        foreach::lerp(&averages, &sources, 1.0 - decay)
    }
}
