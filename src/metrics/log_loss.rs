//! Log-loss: the mean negative log-likelihood of the labels, and the weighted mean that it uses. The loss of training,
//! which has gradients, is in `optim/loss.rs`.

/// Mean negative log-likelihood of the labels, probabilities clipped to `[1e-7, 1 - 1e-7]`.
#[must_use]
pub fn log_loss(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), is_fake.len(), "one label a score");
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    weighted_mean(scores.iter().zip(is_fake).map(|(score, fake)| (nll(*score, *fake), 1.0)))
}

/// Negative log-likelihood of one label.
pub(super) fn nll(score: f64, is_fake: bool) -> f64 {
    let p = score.clamp(1e-7, 1.0 - 1e-7);
    if is_fake { -p.ln() } else { -(1.0 - p).ln() }
}

/// The mean of (value, weight) pairs; `None` where the weights add up to 0.
pub(super) fn weighted_mean(weighted: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weight) =
        weighted.fold((0.0, 0.0), |(sum, total), (value, weight)| (sum + weight * value, total + weight));
    (weight > 0.0).then(|| sum / weight)
}
