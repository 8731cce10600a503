//! DeLong's test: whether the AUCs of two detectors on the same videos differ by more than chance. Videos may show the same
//! people; the variance is that of `auc_variance.rs`.

use serde::{Deserialize, Serialize};

use statrs::distribution::ContinuousCDF;

use super::auc_variance::{AucInfluence, students_t, variance};
use super::people::People;
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

/// Compares the AUCs of two detectors' scores of the same videos (DeLong, DeLong and Clarke-Pearson, 1988; where people
/// are shared, Obuchowski, 1997), with Student's distribution in the place of the normal one. `None` where a class is missing
/// or has too few people, or where a score is not a number.
#[must_use]
pub fn delong_test(scores: &[f64], other: &[f64], is_fake: &[bool], people: &People) -> Option<AucComparison> {
    assert_eq!((scores.len(), other.len()), (is_fake.len(), is_fake.len()), "two scores a label");
    assert_eq!(people.videos(), is_fake.len(), "people of each video");
    if !people.suffice(is_fake) {
        return None;
    }
    let (a, b) = (AucInfluence::of(scores, is_fake)?, AucInfluence::of(other, is_fake)?);
    let influence: Vec<f64> = a.of_score.iter().zip(&b.of_score).map(|(a, b)| a - b).collect();
    let deviation = variance(&influence, is_fake, people)?.sqrt();
    let (students_t, difference) = (students_t(is_fake, people)?, a.auc - b.auc);
    // Equal scores have variance 0 and difference 0.
    let p_value = match difference == 0.0 {
        true => 1.0,
        false => 2.0 * students_t.cdf(-difference.abs() / deviation),
    };
    let half_width = students_t.inverse_cdf(0.975) * deviation;
    Some(AucComparison {
        auc: a.auc,
        other_auc: b.auc,
        difference,
        difference_ci95: [difference - half_width, difference + half_width],
        p_value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_people_say_nothing_of_a_difference() {
        let compared = |of_each: usize| {
            let is_fake: Vec<bool> = (0..2 * of_each).map(|i| i % 2 == 0).collect();
            let scores: Vec<f64> = (0..2 * of_each).map(|i| (i * 7 % 11) as f64).collect();
            let other: Vec<f64> = scores.iter().map(|score| score * 5.0 % 9.0).collect();
            delong_test(&scores, &other, &is_fake, &People::of_their_own(2 * of_each))
        };
        assert_eq!(compared(5), None);
        assert!(compared(6).is_some());
    }
}
