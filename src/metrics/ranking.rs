//! Rank statistics of weighted scores: AUC, average precision, equal error rate. A weight is how often a bootstrap
//! sample drew the score; it is 1 without a bootstrap. The samples are drawn in `scored_videos.rs`, points of curves
//! are in `curve.rs`.

/// Scores with their labels, highest score first.
#[derive(Debug, Clone)]
pub(super) struct Ranking {
    ranked: Vec<Ranked>,
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    score: f64,
    is_fake: bool,
    /// Its position before sorting.
    index: usize,
}

/// The weights of all reals and of all fakes that have the same score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tie {
    pub score: f64,
    pub reals: f64,
    pub fakes: f64,
}

impl Ranking {
    /// `None` where a score is not a number.
    pub fn new(scores: &[f64], is_fake: &[bool]) -> Option<Self> {
        assert_eq!(scores.len(), is_fake.len(), "one label a score");
        if scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let each = scores.iter().zip(is_fake).enumerate();
        let mut ranked: Vec<_> =
            each.map(|(index, (score, is_fake))| Ranked { score: *score, is_fake: *is_fake, index }).collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        Some(Self { ranked })
    }

    /// Ties, highest score first, with `weight(i)` as the weight of score `i`; `None` where a class has no weight.
    pub fn ties(&self, weight: impl Fn(usize) -> f64) -> Option<Vec<Tie>> {
        let mut ties = Vec::new();
        let (mut reals, mut fakes) = (0.0, 0.0);
        for equal in self.ranked.chunk_by(|a, b| a.score == b.score) {
            let mut tie = Tie { score: equal[0].score, reals: 0.0, fakes: 0.0 };
            for one in equal {
                *(if one.is_fake { &mut tie.fakes } else { &mut tie.reals }) += weight(one.index);
            }
            (reals, fakes) = (reals + tie.reals, fakes + tie.fakes);
            if tie.reals + tie.fakes > 0.0 {
                ties.push(tie);
            }
        }
        (reals > 0.0 && fakes > 0.0).then_some(ties)
    }
}

/// Area under the ROC curve by the rank statistic; ties count half.
///
/// `None` where one class is missing or a score is not a number.
#[must_use]
pub fn auc(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    Some(roc_auc(&Ranking::new(scores, is_fake)?.ties(|_| 1.0)?))
}

/// Total weights of reals and of fakes.
pub(super) fn totals(ties: &[Tie]) -> (f64, f64) {
    ties.iter().fold((0.0, 0.0), |(reals, fakes), tie| (reals + tie.reals, fakes + tie.fakes))
}

/// The probability that a fake scores higher than a real; ties count half.
pub(super) fn roc_auc(ties: &[Tie]) -> f64 {
    let (reals, fakes) = totals(ties);
    let (mut reals_above, mut wins) = (0.0, 0.0);
    for tie in ties {
        wins += tie.fakes * (reals - reals_above - 0.5 * tie.reals);
        reals_above += tie.reals;
    }
    wins / (fakes * reals)
}

/// The mean over fakes of the precision at each one's score.
pub(super) fn average_precision(ties: &[Tie]) -> f64 {
    let (_, fakes) = totals(ties);
    let (mut seen, mut hits, mut sum) = (0.0, 0.0, 0.0);
    for tie in ties {
        seen += tie.reals + tie.fakes;
        hits += tie.fakes;
        sum += tie.fakes * hits / seen;
    }
    sum / fakes
}

/// Where the false positive rate crosses the false negative rate, linearly interpolated.
pub(super) fn equal_error_rate(ties: &[Tie]) -> f64 {
    let (reals, fakes) = totals(ties);
    // From the highest threshold (nothing is called fake) down, one tie at a time.
    let (mut false_positives, mut hits) = (0.0, 0.0);
    let (mut last_fpr, mut last_fnr) = (0.0, 1.0);
    for tie in ties {
        false_positives += tie.reals;
        hits += tie.fakes;
        let (fpr, fnr) = (false_positives / reals, (fakes - hits) / fakes);
        if fpr >= fnr {
            let (gap_before, gap_after) = (last_fnr - last_fpr, fpr - fnr);
            return last_fpr + gap_before / (gap_before + gap_after) * (fpr - last_fpr);
        }
        (last_fpr, last_fnr) = (fpr, fnr);
    }
    // Not reached: below the lowest score everything is called fake, a false positive rate of 1 and a false negative
    // rate of 0.
    1.0
}
