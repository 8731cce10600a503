//! Adam and AdamW, with moments that can be saved and restored by name. Learning rates and weight decay of single
//! parameters are in `groups.rs`.

use tch::{Kind, Tensor};

use super::groups::ParameterGroups;
use super::optimizer::Optimizer;
use crate::torch::Result;
use crate::torch::foreach::{AdamLists, AdamSettings, Span, fused_adam};

/// Adam (Kingma and Ba, 2015), betas 0.9 and 0.999, epsilon 1e-8, with L2 weight decay in the gradient; or AdamW
/// (Loshchilov and Hutter, 2019), with decoupled weight decay. Both compute what PyTorch's do.
#[derive(Debug)]
pub struct Adam {
    parameters: ParameterGroups,
    exp_avgs: Vec<Tensor>,
    exp_avg_sqs: Vec<Tensor>,
    steps: i32,
    settings: AdamSettings,
}

impl Adam {
    /// Adam or, with decoupled weight decay, AdamW.
    ///
    /// # Errors
    /// No memory for the moments.
    pub fn new(parameters: ParameterGroups, decoupled: bool) -> Result<Self> {
        let (exp_avgs, exp_avg_sqs) = (parameters.zeros()?, parameters.zeros()?);
        let settings = AdamSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decoupled };
        Ok(Self { parameters, exp_avgs, exp_avg_sqs, steps: 0, settings })
    }

    fn fused(&self, lists: &AdamLists, spans: &[Span], steps: i32) -> Result<()> {
        let Some(first) = lists.parameters.first() else { return Ok(()) };
        let step = Tensor::f_full([0_i64; 0], f64::from(steps), (Kind::Float, first.device()))?;
        fused_adam(lists, &step, spans, self.settings)
    }

    /// The same update by single operations, in PyTorch's order.
    fn plain(&self, lists: &AdamLists, spans: &[Span], scratch: &[Tensor], steps: i32) -> Result<()> {
        let AdamSettings { beta1, beta2, epsilon, decoupled } = self.settings;
        let (correction1, correction2) = (1.0 - beta1.powi(steps), 1.0 - beta2.powi(steps));
        for span in spans {
            for (i, scratch) in scratch.iter().enumerate().take(span.end).skip(span.begin) {
                let [mut parameter, mut gradient, mut exp_avg, mut exp_avg_sq, mut scratch] =
                    [lists.parameters[i], lists.gradients[i], lists.exp_avgs[i], lists.exp_avg_sqs[i], scratch]
                        .map(Tensor::shallow_clone);
                if !decoupled {
                    let _ = gradient.f_add_(&parameter.f_mul_scalar_out(&scratch, span.weight_decay)?)?;
                }
                let _ = exp_avg.f_lerp_(&gradient, 1.0 - beta1)?;
                let _ = gradient.f_square_out(&scratch)?.f_mul_scalar_(1.0 - beta2)?;
                let _ = exp_avg_sq.f_mul_scalar_(beta2)?.f_add_(&scratch)?;
                let _ = exp_avg_sq.f_sqrt_out(&scratch)?.f_div_scalar_(correction2.sqrt())?;
                let denominator = scratch.f_add_scalar_(epsilon)?;
                let _ = exp_avg.f_div_out(&scratch, &denominator)?;
                let _ = scratch.f_mul_scalar_(-span.learning_rate / correction1)?;
                if decoupled {
                    let _ = parameter.f_mul_scalar_(1.0 - span.learning_rate * span.weight_decay)?;
                }
                let _ = parameter.f_add_(&scratch)?;
            }
        }
        Ok(())
    }
}

impl Optimizer for Adam {
    fn step(&mut self, learning_rate: f64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let steps = self.steps + 1;
        let updated = self.parameters.with_gradient(learning_rate)?;
        let lists = AdamLists {
            parameters: updated.parameters.clone(),
            gradients: updated.gradients.iter().collect(),
            exp_avgs: updated.pick(&self.exp_avgs),
            exp_avg_sqs: updated.pick(&self.exp_avg_sqs),
        };
        match updated.can_be_fused() {
            true => self.fused(&lists, &updated.spans, steps)?,
            false => self.plain(&lists, &updated.spans, &updated.scratch()?, steps)?,
        }
        self.steps = steps;
        Ok(())
    }

    fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = self.parameters.named(&self.exp_avgs, "exp_avg");
        state.extend(self.parameters.named(&self.exp_avg_sqs, "exp_avg_sq"));
        state
    }

    fn step_count(&self) -> i32 {
        self.steps
    }

    fn set_step_count(&mut self, steps: i32) {
        self.steps = steps;
    }
}
