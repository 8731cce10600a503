//! AdamW with moments of our own, so that they can be saved and restored by name.

use tch::Tensor;

use crate::torch::Result;

/// The running means of one parameter's gradient and of its square.
#[derive(Debug)]
pub struct Moments {
    /// The parameter's name.
    pub name: String,
    /// Mean of the gradient.
    pub exp_avg: Tensor,
    /// Mean of its square.
    pub exp_avg_sq: Tensor,
}

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), betas 0.9 and 0.999, epsilon 1e-8.
#[derive(Debug)]
pub struct AdamW {
    parameters: Vec<Tensor>,
    moments: Vec<Moments>,
    weight_decay: f64,
    step: i32,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl AdamW {
    /// For these named parameters; the moments are made here, so that no step needs new memory for them.
    ///
    /// # Errors
    /// No memory for the moments.
    pub fn new<'t>(parameters: impl Iterator<Item = (&'t str, &'t Tensor)>, weight_decay: f64) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        let mut optimizer = Self { parameters: Vec::new(), moments: Vec::new(), weight_decay, step: 0 };
        for (name, tensor) in parameters {
            optimizer.moments.push(Moments {
                name: name.to_owned(),
                exp_avg: tensor.f_zeros_like()?,
                exp_avg_sq: tensor.f_zeros_like()?,
            });
            optimizer.parameters.push(tensor.shallow_clone());
        }
        Ok(optimizer)
    }

    /// The moments of every parameter, in order.
    #[must_use]
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Updates done so far; decides the correction of the young moments.
    #[must_use]
    pub fn step_count(&self) -> i32 {
        self.step
    }

    /// Goes on from a saved count; the moments are copied into [`AdamW::moments`] by the caller.
    pub fn set_step_count(&mut self, step: i32) {
        self.step = step;
    }

    /// Moves every parameter that has a gradient, with the gradient multiplied by `gradient_scale` first.
    ///
    /// # Errors
    /// No memory for the scratch of the largest parameter.
    pub fn step(&mut self, learning_rate: f64, gradient_scale: f64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.step += 1;
        let correction1 = 1.0 - BETA1.powi(self.step);
        let correction2 = 1.0 - BETA2.powi(self.step);
        for (parameter, moments) in self.parameters.iter_mut().zip(&mut self.moments) {
            let mut gradient = parameter.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            if gradient_scale != 1.0 {
                let _ = gradient.f_mul_scalar_(gradient_scale)?;
            }
            let _ = moments.exp_avg.f_lerp_(&gradient, 1.0 - BETA1)?;
            let mut square = gradient.f_square()?;
            let _ = square.f_mul_scalar_(1.0 - BETA2)?;
            let _ = moments.exp_avg_sq.f_mul_scalar_(BETA2)?.f_add_(&square)?;
            let mut denominator = moments.exp_avg_sq.f_sqrt()?;
            let _ = denominator.f_div_scalar_(correction2.sqrt())?.f_add_scalar_(EPSILON)?;
            let mut update = moments.exp_avg.f_div(&denominator)?;
            let _ = update.f_mul_scalar_(-learning_rate / correction1)?;
            let _ = parameter.f_mul_scalar_(1.0 - learning_rate * self.weight_decay)?.f_add_(&update)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Two steps by hand on one number: weight 1, gradients 0.5 and -2, learning rate 0.1, decay 0.01.
    #[test]
    fn follows_the_formula() {
        let weight = Tensor::ones([1], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let mut optimizer = AdamW::new([("w", &weight)].into_iter(), 0.01).unwrap();
        let (mut w, mut m, mut v) = (1.0_f64, 0.0_f64, 0.0_f64);
        for (step, gradient) in [(1, 0.5), (2, -2.0)] {
            weight.grad().defined().then(|| weight.grad().zero_());
            // Half of the gradient with a scale of 2: the same as the whole.
            (&weight * (gradient / 2.0)).sum(Kind::Double).f_backward().unwrap();
            optimizer.step(0.1, 2.0).unwrap();
            m = 0.9 * m + 0.1 * gradient;
            v = 0.999 * v + 0.001 * gradient * gradient;
            let (mh, vh) = (m / (1.0 - 0.9_f64.powi(step)), v / (1.0 - 0.999_f64.powi(step)));
            w = w * (1.0 - 0.1 * 0.01) - 0.1 * mh / (vh.sqrt() + 1e-8);
            assert!((weight.double_value(&[0]) - w).abs() < 1e-12);
        }
        assert_eq!(optimizer.step_count(), 2);
    }

    #[test]
    fn a_parameter_without_gradient_stays() {
        let weight = Tensor::ones([1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        AdamW::new([("w", &weight)].into_iter(), 0.5).unwrap().step(0.1, 1.0).unwrap();
        assert_eq!(weight.double_value(&[0]), 1.0);
    }
}
