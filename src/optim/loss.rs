//! Losses: binary cross-entropy and focal loss, in float32. Only sums over clips: the mean of a batch and the backward
//! pass are in `train`.

use tch::{Reduction, Tensor};

use super::pair_loss::pair_loss;
use crate::config::{ClassWeights, LossConfig, LossKind};
use crate::torch::Result;

/// The loss function.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    config: LossConfig,
    /// Class weights of reals and of fakes.
    weights: [f64; 2],
}

impl Loss {
    /// The configured loss. `clips` are the numbers of reals and fakes in an epoch: `balanced` weights give both
    /// classes the same total weight, and are 1 on average.
    #[must_use]
    pub fn new(config: &LossConfig, clips: [usize; 2]) -> Self {
        let all = (clips[0] + clips[1]) as f64;
        let weights = match config.class_weights {
            ClassWeights::None => [1.0; 2],
            ClassWeights::Balanced => clips.map(|of_class| all / (2.0 * of_class.max(1) as f64)),
            ClassWeights::RealFake(weights) => weights,
        };
        Self { config: config.clone(), weights }
    }

    /// Weighted uniformity and alignment of the features `[B, F]` of all clips of a step: see [`pair_loss`].
    ///
    /// # Errors
    /// Out of memory.
    pub fn of_pairs(&self, features_bf: &Tensor, is_fake: &[bool]) -> Result<Option<Tensor>> {
        pair_loss(&self.config, features_bf, is_fake)
    }

    /// Whether [`Loss::of_pairs`] is part of the loss.
    #[must_use]
    pub fn sees_pairs(&self) -> bool {
        self.config.sees_pairs()
    }

    /// The targets of clips and their weights, as [`Loss::sum`] wants them: float32 `[2, B]` on the CPU. `targets` are 0 for
    /// a real, 1 for a fake, and between them for mixed clips, whose class weight lies between, too.
    ///
    /// # Errors
    /// Out of memory.
    pub fn targets(&self, targets: &[f64]) -> Result<Tensor> {
        let LossConfig { kind, alpha, label_smoothing, .. } = self.config;
        let smooth = |target: &f64| target * (1.0 - label_smoothing) + 0.5 * label_smoothing;
        let weight = |target: &f64| {
            let class_weight = (1.0 - target) * self.weights[0] + target * self.weights[1];
            let alpha = alpha.filter(|_| kind == LossKind::Focal);
            let of_target = |alpha: f64| alpha * smooth(target) + (1.0 - alpha) * (1.0 - smooth(target));
            alpha.map_or(1.0, of_target) * class_weight
        };
        let numbers: Vec<_> = targets.iter().map(smooth).chain(targets.iter().map(weight)).collect();
        let numbers: Vec<_> = numbers.into_iter().map(|number| number as f32).collect();
        Tensor::f_from_slice(&numbers)?.f_view([2, targets.len() as i64])
    }

    /// Sum over clips of the loss of float32 logits `[B]`; positive means fake. `targets_2b` are those of
    /// [`Loss::targets`], on the device of the logits.
    ///
    /// With label smoothing `s`, targets are `s / 2` and `1 - s / 2`. Focal loss is that of Lin et al. (2017, equation
    /// 5), written as torchvision's `sigmoid_focal_loss`, which also takes smoothed targets.
    ///
    /// # Errors
    /// Out of memory.
    pub fn sum(&self, logits_b: &Tensor, targets_2b: &Tensor) -> Result<Tensor> {
        let (targets_b, weights_b) = (targets_2b.f_select(0, 0)?, targets_2b.f_select(0, 1)?);
        match self.config.kind {
            LossKind::Bce => {
                let weights_b = (self.weights != [1.0; 2]).then_some(weights_b);
                logits_b.f_binary_cross_entropy_with_logits(&targets_b, weights_b, None::<Tensor>, Reduction::Sum)
            }
            LossKind::Focal => {
                focal(logits_b, &targets_b, self.config.gamma)?.f_mul(&weights_b)?.f_sum(logits_b.kind())
            }
        }
    }
}

/// Unweighted focal loss of each logit.
fn focal(logits_b: &Tensor, targets_b: &Tensor, gamma: f64) -> Result<Tensor> {
    let entropy_b =
        logits_b.f_binary_cross_entropy_with_logits(targets_b, None::<Tensor>, None::<Tensor>, Reduction::None)?;
    // 1 - p_t, from two sigmoids: 1 - sigmoid would lose precision near 0.
    let fake_b = logits_b.f_sigmoid()?;
    let real_b = logits_b.f_neg()?.f_sigmoid()?;
    let reals_b = targets_b.f_neg()?.f_add_scalar(1.0)?;
    let miss_b = fake_b.f_mul(&reals_b)?.f_add(&real_b.f_mul(targets_b)?)?;
    // Clamped, because the gradient of a power below 1 is infinite at 0.
    let factor_b = miss_b.f_clamp_min(f64::from(f32::MIN_POSITIVE))?.f_pow_tensor_scalar(gamma)?;
    entropy_b.f_mul(&factor_b)
}
