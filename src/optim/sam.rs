//! Sharpness-aware minimisation: where a step takes its gradient. The step itself is another optimizer's.

use tch::Tensor;

use crate::torch::{Result, foreach};

/// Sharpness-aware minimisation (Foret et al. 2021): weights climb by `rho * g / |g|` along their gradient g, and return;
/// the gradient up there then moves them.
///
/// Memory for the weights that they return to is allocated once: neither way needs more, so that neither can run out of it.
#[derive(Debug)]
pub struct Sam {
    weights: Vec<Tensor>,
    before: Vec<Tensor>,
    rho: f64,
}

impl Sam {
    /// # Errors
    /// No memory for a copy of the weights.
    pub fn new(weights: Vec<Tensor>, rho: f64) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        // As they lie in memory, which makes copies fast. Each climb fills them.
        let before = weights.iter().map(Tensor::f_zeros_like).collect::<Result<_>>()?;
        Ok(Self { weights, before, rho })
    }

    /// Adds to the weights their gradients, of global L2 norm `norm`, scaled to length rho. The gradients are scaled, too.
    ///
    /// # Errors
    /// No memory for lists of pointers; then the weights are as before.
    pub fn climb(&self, norm: f64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        foreach::copy(&self.before.iter().collect::<Vec<_>>(), &self.weights.iter().collect::<Vec<_>>())?;
        let learning: Vec<_> = self.weights.iter().filter(|weight| weight.grad().defined()).collect();
        let gradients: Vec<_> = learning.iter().map(|weight| weight.grad()).collect();
        let gradients: Vec<_> = gradients.iter().collect();
        foreach::scale(&gradients, self.rho / (norm + 1e-12))?;
        foreach::add(&learning, &gradients)
    }

    /// Sets the weights to what they were before [`climb`](Self::climb).
    ///
    /// # Errors
    /// No memory for lists of pointers.
    pub fn descend(&self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        foreach::copy(&self.weights.iter().collect::<Vec<_>>(), &self.before.iter().collect::<Vec<_>>())
    }

    /// The copy of the weights, which moves to another device with them.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.before.iter()
    }
}
