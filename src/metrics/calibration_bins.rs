//! The bins of a reliability diagram: scores in 15 bins of equal width, and the share of fakes in each. Draws no
//! diagram, and knows nothing of temperatures.

use serde::{Deserialize, Serialize};

/// Number of bins.
const BINS: usize = 15;

/// Videos with about the same score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower edge: scores are above it, except in the first bin, which includes 0.
    pub lower: f64,
    /// Upper edge: scores are at most this.
    pub upper: f64,
    /// Number of videos.
    pub videos: usize,
    /// Their mean score.
    pub mean_score: f64,
    /// Share of fakes among them.
    pub fake_share: f64,
}

/// Weighted sums over one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    weight: f64,
    scores: f64,
    fakes: f64,
}

/// All bins, empty ones included.
#[derive(Debug)]
pub(super) struct Bins([Bin; BINS]);

impl Bins {
    /// Sorts scores into bins; `weight(i)` is the weight of score `i`. A score on an edge belongs to the bin below it,
    /// as in scikit-learn.
    pub fn of(scores: &[f64], is_fake: &[bool], weight: impl Fn(usize) -> f64) -> Self {
        let mut bins = [Bin::default(); BINS];
        for (index, (score, fake)) in scores.iter().zip(is_fake).enumerate() {
            let edges_below = (1..BINS).take_while(|edge| edge_at(*edge) < *score).count();
            let (bin, weight) = (&mut bins[edges_below], weight(index));
            bin.weight += weight;
            bin.scores += weight * score;
            bin.fakes += weight * f64::from(u8::from(*fake));
        }
        Self(bins)
    }

    /// The expected calibration error: the weighted mean distance between mean score and share of fakes. `None` where
    /// the weights add up to 0.
    pub fn expected_error(&self) -> Option<f64> {
        let weight: f64 = self.0.iter().map(|bin| bin.weight).sum();
        let distance: f64 = self.0.iter().map(|bin| (bin.scores - bin.fakes).abs()).sum();
        (weight > 0.0).then(|| distance / weight)
    }

    /// The bins that have videos.
    pub fn filled(&self) -> Vec<CalibrationBin> {
        let filled = self.0.iter().enumerate().filter(|(_, bin)| bin.weight > 0.0);
        filled
            .map(|(index, bin)| CalibrationBin {
                lower: edge_at(index),
                upper: edge_at(index + 1),
                videos: bin.weight as usize,
                mean_score: bin.scores / bin.weight,
                fake_share: bin.fakes / bin.weight,
            })
            .collect()
    }
}

fn edge_at(index: usize) -> f64 {
    index as f64 / BINS as f64
}
