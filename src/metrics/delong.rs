//! DeLong's test: whether the AUCs of two detectors on the same videos differ by more than chance.
//!
//! DeLong, DeLong and Clarke-Pearson, 1988, computed from midranks (Sun and Xu, 2014). Videos count as independent. The
//! confidence intervals of one detector are in `scored_videos.rs`.

use serde::{Deserialize, Serialize};

use super::video_metrics::Interval;

/// The AUCs of two detectors on the same videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AucComparison {
    /// AUC of the first.
    pub auc: f64,
    /// AUC of the second.
    pub other_auc: f64,
    /// The first less the second.
    pub difference: f64,
    /// 95% interval of the difference.
    pub difference_ci95: Interval,
    /// Two-sided: the probability of a difference at least this large between equally good detectors.
    pub p_value: f64,
}

/// Compares the AUCs of two detectors' scores of the same videos. `None` with fewer than two videos of a class, or
/// where a score is not a number.
#[must_use]
pub fn delong_test(scores: &[f64], other: &[f64], is_fake: &[bool]) -> Option<AucComparison> {
    assert_eq!((scores.len(), other.len()), (is_fake.len(), is_fake.len()), "two scores a label");
    let fakes = is_fake.iter().filter(|fake| **fake).count();
    let reals = is_fake.len() - fakes;
    if fakes < 2 || reals < 2 || scores.iter().chain(other).any(|score| score.is_nan()) {
        return None;
    }
    let [a, b] = [scores, other].map(|scores| Placements::of(scores, is_fake));
    let difference = a.auc() - b.auc();
    let variance = variance_of_difference(&a.of_fakes, &b.of_fakes) / fakes as f64
        + variance_of_difference(&a.of_reals, &b.of_reals) / reals as f64;
    let deviation = variance.sqrt();
    // Equal scores have variance 0 and difference 0.
    let p_value = match difference == 0.0 {
        true => 1.0,
        false => libm::erfc(difference.abs() / deviation / std::f64::consts::SQRT_2),
    };
    let half_width = 1.959_963_984_540_054 * deviation;
    Some(AucComparison {
        auc: a.auc(),
        other_auc: b.auc(),
        difference,
        difference_ci95: [difference - half_width, difference + half_width],
        p_value,
    })
}

/// Structural components: for each fake the share of reals that score lower, for each real the share of fakes that
/// score higher. Ties count half.
struct Placements {
    of_fakes: Vec<f64>,
    of_reals: Vec<f64>,
}

impl Placements {
    fn of(scores: &[f64], is_fake: &[bool]) -> Self {
        let among_all = midranks(scores);
        let of_class = |class: bool| -> Vec<f64> {
            let members: Vec<usize> = (0..scores.len()).filter(|i| is_fake[*i] == class).collect();
            let among_own = midranks(&members.iter().map(|i| scores[*i]).collect::<Vec<_>>());
            let others = (scores.len() - members.len()) as f64;
            members.iter().zip(among_own).map(|(i, own)| (among_all[*i] - own) / others).collect()
        };
        let of_reals = of_class(false).into_iter().map(|lower| 1.0 - lower).collect();
        Self { of_fakes: of_class(true), of_reals }
    }

    fn auc(&self) -> f64 {
        self.of_fakes.iter().sum::<f64>() / self.of_fakes.len() as f64
    }
}

/// Ranks from 1; equal values share the mean of their ranks.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = below as f64 + 0.5 * (equal.len() + 1) as f64;
        equal.iter().for_each(|i| ranks[*i] = rank);
        below += equal.len();
    }
    ranks
}

/// The unbiased sample variance of the element-wise differences.
fn variance_of_difference(a: &[f64], b: &[f64]) -> f64 {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (differences.len() - 1) as f64
}
