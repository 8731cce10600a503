//! Rank statistics of weighted samples: each counts once, or as often as a bootstrap sample drew it.

/// Samples in the order of their scores, highest first.
#[derive(Debug, Clone)]
pub(super) struct Ranking {
    samples: Vec<Ranked>,
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    score: f64,
    is_fake: bool,
    /// Where it stood before.
    index: usize,
}

/// Samples of one score, by weight.
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
        let mut samples: Vec<_> =
            each.map(|(index, (score, is_fake))| Ranked { score: *score, is_fake: *is_fake, index }).collect();
        samples.sort_by(|a, b| b.score.total_cmp(&a.score));
        Some(Self { samples })
    }

    /// Highest score first, where sample `i` counts `weight(i)` times; `None` where a class counts nothing.
    pub fn ties(&self, weight: impl Fn(usize) -> f64) -> Option<Vec<Tie>> {
        let mut ties = Vec::new();
        let (mut reals, mut fakes) = (0.0, 0.0);
        for equal in self.samples.chunk_by(|a, b| a.score == b.score) {
            let mut tie = Tie { score: equal[0].score, reals: 0.0, fakes: 0.0 };
            for sample in equal {
                *(if sample.is_fake { &mut tie.fakes } else { &mut tie.reals }) += weight(sample.index);
            }
            (reals, fakes) = (reals + tie.reals, fakes + tie.fakes);
            if tie.reals + tie.fakes > 0.0 {
                ties.push(tie);
            }
        }
        (reals > 0.0 && fakes > 0.0).then_some(ties)
    }
}

/// Weights of both classes.
pub(super) fn totals(ties: &[Tie]) -> (f64, f64) {
    ties.iter().fold((0.0, 0.0), |(reals, fakes), tie| (reals + tie.reals, fakes + tie.fakes))
}

/// The probability that a fake scores higher than a real; ties count half.
pub(super) fn auc(ties: &[Tie]) -> f64 {
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
    // In the end everything is called fake: a rate of 1 is not below one of 0.
    1.0
}
