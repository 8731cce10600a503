//! Stochastic gradient descent with momentum. Learning rates and weight decay of single parameters are in `groups.rs`.

use tch::Tensor;

use super::groups::ParameterGroups;
use super::optimizer::Optimizer;
use crate::torch::Result;
use crate::torch::foreach::fused_sgd;

const MOMENTUM: f64 = 0.9;

/// SGD with momentum 0.9 and L2 weight decay in the gradient, as in PyTorch (no dampening, not Nesterov's).
#[derive(Debug)]
pub struct Sgd {
    parameters: ParameterGroups,
    momentum_buffers: Vec<Tensor>,
    steps: i32,
}

impl Sgd {
    /// SGD with momentum buffers of zeros.
    ///
    /// # Errors
    /// No memory for the momentum.
    pub fn new(parameters: ParameterGroups) -> Result<Self> {
        let momentum_buffers = parameters.zeros()?;
        Ok(Self { parameters, momentum_buffers, steps: 0 })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, learning_rate: f64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let updated = self.parameters.with_gradient(learning_rate)?;
        let buffers = updated.pick(&self.momentum_buffers);
        if updated.can_be_fused() {
            let gradients: Vec<_> = updated.gradients.iter().collect();
            fused_sgd(&updated.parameters, &gradients, &buffers, &updated.spans, MOMENTUM)?;
        } else {
            let scratch = updated.scratch()?;
            for span in &updated.spans {
                for i in span.begin..span.end {
                    let [mut parameter, mut gradient, mut buffer] =
                        [updated.parameters[i], &updated.gradients[i], buffers[i]].map(Tensor::shallow_clone);
                    let _ = gradient.f_add_(&parameter.f_mul_scalar_out(&scratch[i], span.weight_decay)?)?;
                    let _ = buffer.f_mul_scalar_(MOMENTUM)?.f_add_(&gradient)?;
                    let _ = parameter.f_add_(&buffer.f_mul_scalar_out(&scratch[i], -span.learning_rate)?)?;
                }
            }
        }
        self.steps += 1;
        Ok(())
    }

    fn state(&self) -> Vec<(String, &Tensor)> {
        self.parameters.named(&self.momentum_buffers, "momentum_buffer")
    }

    fn step_count(&self) -> i32 {
        self.steps
    }

    fn set_step_count(&mut self, steps: i32) {
        self.steps = steps;
    }
}
