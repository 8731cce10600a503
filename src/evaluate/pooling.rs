//! Pooling of the scores of a video's clips into one. Knows nothing of videos and tensors.

use std::fmt;

use clap::ValueEnum;

use crate::metrics::{logit, sigmoid};

/// How the scores of a video's clips become one; of a single clip all are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Pooling {
    /// Mean of the probabilities.
    #[default]
    Mean,
    /// Probability of the mean logit: clips that are sure count more.
    Logit,
    /// The highest probability: one forged clip is enough.
    Max,
}

impl Pooling {
    /// Pools at least one probability.
    pub fn pool(self, scores: &[f64]) -> f64 {
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / scores.len() as f64;
        match (self, scores) {
            (_, [score]) => *score,
            (Self::Mean, _) => mean(&mut scores.iter().copied()),
            (Self::Logit, _) => sigmoid(mean(&mut scores.iter().map(|score| logit(*score)))),
            (Self::Max, _) => scores.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean of the clips' probabilities",
            Self::Logit => "probability of the clips' mean logit",
            Self::Max => "highest of the clips' probabilities",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_what_its_name_says() {
        let scores = [0.9, 0.5, 0.1];
        assert!((Pooling::Mean.pool(&scores) - 0.5).abs() < 1e-12);
        assert!((Pooling::Logit.pool(&scores) - 0.5).abs() < 1e-12);
        assert!((Pooling::Logit.pool(&[0.99, 0.5]) - 0.9086).abs() < 1e-4);
        assert_eq!(Pooling::Max.pool(&scores), 0.9);
        assert_eq!([Pooling::Mean, Pooling::Logit, Pooling::Max].map(|pooling| pooling.pool(&[0.3])), [0.3; 3]);
    }
}
