//! Dynamic loss scaling for fp16 (PyTorch's `GradScaler`). Skips no step: the caller decides what follows from an
//! overflow.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::torch::Result;
use crate::torch::foreach;

/// The defaults of PyTorch's `GradScaler`.
const INIT_SCALE: f64 = 65536.0;
const GROWTH_FACTOR: f64 = 2.0;
/// Steps without overflow after which the scale grows.
const GROWTH_INTERVAL: i64 = 2000;
const BACKOFF_FACTOR: f64 = 0.5;

/// The factor on the loss; constantly 1 where the number format needs no scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossScaler {
    scale: f64,
    /// Steps without overflow since the scale last changed.
    good_steps: i64,
    enabled: bool,
}

impl LossScaler {
    /// Starts at 65,536 when `enabled`, else stays at 1.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self { scale: if enabled { INIT_SCALE } else { 1.0 }, good_steps: 0, enabled }
    }

    /// Whether the loss is scaled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The factor on the loss.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Divides gradients by the scale. A gradient that is not finite stays so. Without scaling it does nothing.
    ///
    /// # Errors
    /// No memory for two numbers and a list of pointers; then the gradients are as they were.
    pub fn unscale(&self, gradients: &[&Tensor]) -> Result<()> {
        let Some(first) = gradients.first().filter(|_| self.enabled) else {
            return Ok(());
        };
        let number = |value| Tensor::f_full([1], value, (Kind::Float, first.device()));
        // Whether one is not finite also shows in their norm, which is read anyway.
        foreach::unscale(gradients, &number(0.0)?, &number(1.0 / self.scale)?)
    }

    /// Updates the scale after a step: overflow halves it, 2000 steps without overflow double it, as far as float32
    /// goes.
    pub fn update(&mut self, finite: bool) {
        if !self.enabled {
            return;
        }
        self.good_steps = if finite { self.good_steps + 1 } else { 0 };
        if !finite {
            self.scale *= BACKOFF_FACTOR;
        } else if self.good_steps == GROWTH_INTERVAL {
            let grown = self.scale * GROWTH_FACTOR;
            self.scale = if (grown as f32).is_finite() { grown } else { self.scale };
            self.good_steps = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_is_found_and_gradients_come_back_to_size() {
        let scaler = LossScaler::new(true);
        let [good, bad] = [[65536.0_f32, -32768.0], [1.0, f32::INFINITY]].map(|values| Tensor::from_slice(&values));
        scaler.unscale(&[&good, &bad]).unwrap();
        assert_eq!(Vec::<f32>::try_from(&good).unwrap(), [1.0, -0.5]);
        let norm = |gradients: &[&Tensor]| foreach::global_norm(gradients).unwrap().double_value(&[]);
        assert!(!norm(&[&good, &bad]).is_finite() && norm(&[&good]).is_finite());
    }

    #[test]
    fn without_scaling_nothing_is_touched() {
        let mut scaler = LossScaler::new(false);
        let gradient = Tensor::from_slice(&[2.0_f32, f32::NAN]);
        scaler.unscale(&[&gradient]).unwrap();
        scaler.update(false);
        assert_eq!((scaler.scale(), gradient.double_value(&[0])), (1.0, 2.0));
    }

    /// libtorch's own kernel is the reference, also where the scale leaves float32.
    #[test]
    fn the_scale_goes_as_libtorchs_does() {
        use tch::Device;
        let start = 2.0_f64.powi(125);
        let mut scaler = LossScaler { scale: start, ..LossScaler::new(true) };
        let mut scale = Tensor::from_slice(&[start as f32]);
        let good_steps = Tensor::from_slice(&[0_i32]);
        let overflows = [3, 4, 2003];
        for step in 0..15_000 {
            let finite = !overflows.contains(&step);
            scaler.update(finite);
            let found_inf = Tensor::full([1], f64::from(u8::from(!finite)), (Kind::Float, Device::Cpu));
            let _ = scale.internal_amp_update_scale_(
                &good_steps,
                &found_inf,
                GROWTH_FACTOR,
                BACKOFF_FACTOR,
                GROWTH_INTERVAL,
            );
            let expected = (scale.double_value(&[0]), good_steps.int64_value(&[0]));
            assert_eq!((scaler.scale, scaler.good_steps), expected, "step {step}");
        }
        assert_eq!(scaler.scale, 2.0_f64.powi(127), "the end of float32 was reached");
    }
}
