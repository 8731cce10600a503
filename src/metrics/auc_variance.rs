//! The sampling variance of an AUC, and of the difference of two, over videos of which some show the same people; the
//! 95% interval of an AUC.
//!
//! An AUC is a mean over videos of their placements (DeLong, DeLong and Clarke-Pearson, 1988; from midranks as in Sun and
//! Xu, 2014). The variance adds up products of placements over all pairs of videos that share a person. With one person a
//! video that is Obuchowski's variance for clustered data (1997), and with a person of its own for each video it is
//! DeLong's. Where a video shows two people, as in a swap, no clusters can be formed, but the sum over pairs holds (Fafchamps
//! and Gubert, 2007).

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::people::People;
use super::video_metrics::Interval;

/// The 97.5th percentile of the normal distribution.
const NORMAL_QUANTILE: f64 = 1.959_963_984_540_054;

/// An AUC, and how much each score moves it: the score's placement less the mean, over the number of its class.
pub(super) struct AucInfluence {
    pub auc: f64,
    pub of_score: Vec<f64>,
}

impl AucInfluence {
    /// `None` with fewer than two scores of a class, or where a score is not a number.
    pub fn of(scores: &[f64], is_fake: &[bool]) -> Option<Self> {
        let count_of = |class: bool| is_fake.iter().filter(|fake| **fake == class).count();
        if count_of(true) < 2 || count_of(false) < 2 || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let among_all = midranks(scores);
        let mut of_score = vec![0.0; scores.len()];
        let mut auc = 0.0;
        for class in [false, true] {
            let members: Vec<usize> = (0..scores.len()).filter(|i| is_fake[*i] == class).collect();
            let among_own = midranks(&members.iter().map(|i| scores[*i]).collect::<Vec<_>>());
            let (count, others) = (members.len() as f64, (scores.len() - members.len()) as f64);
            // The share of the other class that scores lower; of reals, what is wanted is the share that scores higher.
            let lower = |(i, own): (&usize, f64)| (among_all[*i] - own) / others;
            let placement = |lower: f64| if class { lower } else { 1.0 - lower };
            let placements: Vec<f64> = members.iter().zip(among_own).map(lower).map(placement).collect();
            auc = placements.iter().sum::<f64>() / count;
            members.iter().zip(placements).for_each(|(i, placement)| of_score[*i] = (placement - auc) / count);
        }
        Some(Self { auc, of_score })
    }
}

/// The variance of an AUC, or of a difference of two, of which `of_video` is each video's influence. `None` where a class has
/// only one person.
pub(super) fn variance(of_video: &[f64], is_fake: &[bool], people: &People) -> Option<f64> {
    let [of_reals, of_fakes] = [false, true].map(|class| {
        let of_class =
            of_video.iter().zip(is_fake).map(|(influence, fake)| if *fake == class { *influence } else { 0.0 });
        of_class.collect::<Vec<_>>()
    });
    let reals = people.correction(|video| !is_fake[video])? * people.shared_products(&of_reals, &of_reals);
    let fakes = people.correction(|video| is_fake[video])? * people.shared_products(&of_fakes, &of_fakes);
    let both = people.correction(|_| true)? * people.shared_products(&of_reals, &of_fakes);
    // With few people, the sum over pairs may come out too small, or even negative. The squares of people's sums count a pair
    // as often as it shares people, which is the most that they can be too large by.
    let times = people.most_in_a_video().max(2) as f64;
    let least = people.sums(of_video).iter().map(|sum| sum * sum).sum::<f64>() / times;
    Some((reals + fakes + 2.0 * both).max(least))
}

/// Student's distribution of an AUC or a difference in standard deviations, with as many degrees of freedom as the class with
/// fewer independent people has, less one. They follow from who is in the videos, not from the scores: of a good detector,
/// the few mistakes may be those of one person.
pub(super) fn students_t(is_fake: &[bool], people: &People) -> Option<StudentsT> {
    let independent = [false, true].map(|class| people.effective(is_fake, class));
    StudentsT::new(0.0, 1.0, (independent[0].min(independent[1]) - 1.0).max(1.0)).ok()
}

/// The 95% interval of the AUC of scores, of which `video_of` names the video of each. It is symmetric on the logit scale, on
/// which an AUC is nearly normal. `None` where a class is missing or has too few people, or a score is not a number.
pub(super) fn auc_interval(scores: &[f64], video_of: &[usize], is_fake: &[bool], people: &People) -> Option<Interval> {
    if !people.suffice(is_fake) {
        return None;
    }
    let score_is_fake: Vec<bool> = video_of.iter().map(|video| is_fake[*video]).collect();
    let AucInfluence { auc, of_score } = AucInfluence::of(scores, &score_is_fake)?;
    let mut of_video = vec![0.0; is_fake.len()];
    video_of.iter().zip(of_score).for_each(|(video, influence)| of_video[*video] += influence);
    let variance = variance(&of_video, is_fake, people)?;
    let [reals, fakes] = [false, true].map(|class| people.effective(is_fake, class));
    if auc >= 1.0 {
        return Some([lower_end_of_perfect(reals, fakes), 1.0]);
    }
    if auc <= 0.0 {
        return Some([0.0, 1.0 - lower_end_of_perfect(reals, fakes)]);
    }
    let half_width = students_t(is_fake, people)?.inverse_cdf(0.975) * variance.sqrt() / (auc * (1.0 - auc));
    let logit = (auc / (1.0 - auc)).ln();
    Some([logit - half_width, logit + half_width].map(super::calibration::sigmoid))
}

/// The lower end of the interval where all fakes score higher than all reals, whose placements have no variance: the AUC
/// which that is just within reach of, by the variance of Hanley and McNeil as in method 5 of Newcombe (2006).
fn lower_end_of_perfect(reals: f64, fakes: f64) -> f64 {
    let more = (reals + fakes) / 2.0 - 1.0;
    let is_reached_from = |auc: f64| {
        let spread = 1.0 + more * (1.0 - auc) / (2.0 - auc) + more * auc / (1.0 + auc);
        1.0 - auc < NORMAL_QUANTILE * (auc * (1.0 - auc) * spread / (reals * fakes)).sqrt()
    };
    let [mut low, mut high] = [0.0, 1.0];
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        *(if is_reached_from(middle) { &mut high } else { &mut low }) = middle;
    }
    high
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Fakes swap four people in a ring; of two neighbours, who share one, one scores too high and one too low. The sum over
    /// pairs is negative.
    #[test]
    fn a_variance_is_never_negative() {
        let people = People::new([vec![4], vec![5], vec![0, 1], vec![1, 2], vec![2, 3], vec![3, 0]]);
        let is_fake = [false, false, true, true, true, true];
        let found = variance(&[0.1, -0.1, 1.0, -1.0, 1.0, -1.0], &is_fake, &people).unwrap();
        // Half of what the two reals have.
        assert!((found - 0.01).abs() < 1e-12, "{found}");
    }
}
