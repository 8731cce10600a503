//! Losses of pairs of clips: uniformity and alignment of their features on the unit sphere (Wang and Isola 2020; the
//! use for forgeries is that of GenD, 2026). They see a whole effective batch; which forward passes made the features
//! does not matter to them.

use tch::{Kind, Tensor};

use crate::config::LossConfig;
use crate::torch::{self, Result};

/// Exponent of uniformity, the paper's `t`.
const SHARPNESS: f64 = 2.0;

/// Weighted uniformity and alignment of features `[B, F]`; `None` where neither is configured, or where there is no
/// pair.
///
/// With unit vectors `z`: uniformity is `log mean exp(-2 |z_i - z_j|^2)` over all pairs `i < j`, alignment is
/// `mean |z_i - z_j|^2` over those of one class.
///
/// # Errors
/// Out of memory.
pub fn pair_loss(config: &LossConfig, features_bf: &Tensor, is_fake: &[bool]) -> Result<Option<Tensor>> {
    let clips = is_fake.len();
    if !config.sees_pairs() || clips < 2 {
        return Ok(None);
    }
    let length_b1 = features_bf.f_norm_scalaropt_dim(2.0, [-1_i64], true)?.f_clamp_min(1e-12)?;
    let z_bf = features_bf.f_div(&length_b1)?;
    // |a - b|^2 = 2 - 2 a b, of which rounding may leave a little less than 0.
    let distance_bb = z_bf.f_matmul(&z_bf.f_tr()?)?.f_mul_scalar(-2.0)?.f_add_scalar(2.0)?.f_clamp_min(0.0)?;
    // Each pair is counted twice, as (i, j) and as (j, i), in sums and in numbers.
    let mean = |values_bb: &Tensor, counts: &dyn Fn(usize, usize) -> bool| -> Result<Option<Tensor>> {
        let pairs = (0..clips * clips).map(|at| (at / clips, at % clips));
        let mask: Vec<f32> = pairs.map(|(i, j)| if i != j && counts(i, j) { 1.0 } else { 0.0 }).collect();
        let number = mask.iter().sum::<f32>();
        if number == 0.0 {
            return Ok(None);
        }
        let mask_bb = torch::send(&Tensor::f_from_slice(&mask)?.f_view([clips as i64, -1])?, values_bb.device())?;
        values_bb.f_mul(&mask_bb)?.f_sum(Kind::Float)?.f_div_scalar(f64::from(number)).map(Some)
    };
    let nearness_bb = distance_bb.f_mul_scalar(-SHARPNESS)?.f_exp()?;
    let uniformity = mean(&nearness_bb, &|_, _| true)?.map(|mean| mean.f_log()).transpose()?;
    let alignment = mean(&distance_bb, &|i, j| is_fake[i] == is_fake[j])?;
    let weighted = [(uniformity, config.uniformity), (alignment, config.alignment)];
    let mut sum: Option<Tensor> = None;
    for (value, weight) in weighted {
        if let Some(value) = value.filter(|_| weight != 0.0) {
            let value = value.f_mul_scalar(weight)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&value)?,
                None => value,
            });
        }
    }
    Ok(sum)
}
