//! The scores of a set of videos: their metrics, with confidence intervals. The formulas of rank statistics, log-loss and
//! calibration are in files of their own.

use std::sync::atomic::AtomicBool;
use std::thread;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::auc_variance::auc_interval;
use super::calibration_bins::Bins;
use super::log_loss::{nll, weighted_mean};
use super::people::People;
use super::ranking::{Ranking, average_precision, equal_error_rate, roc_auc};
use super::video_metrics::{Interval, Metrics};
use crate::parallel::in_parallel;

const BOOTSTRAP_SAMPLES: usize = 2000;
/// Fixed, so that equal scores have equal intervals.
const SEED: u64 = 0;

/// Scores of videos and of their frames, with labels.
#[derive(Debug, Clone, Default)]
pub struct ScoredVideos {
    /// Probability of fake of each video.
    pub scores: Vec<f64>,
    /// The label of each video.
    pub is_fake: Vec<bool>,
    frame_scores: Vec<f64>,
    video_of_frame: Vec<usize>,
    clips: usize,
}

impl ScoredVideos {
    /// Adds a video with its score, which was pooled from `clips` clips.
    pub fn push(&mut self, score: f64, is_fake: bool, frame_scores: &[f64], clips: usize) {
        self.clips += clips;
        self.frame_scores.extend_from_slice(frame_scores);
        self.video_of_frame.extend(std::iter::repeat_n(self.scores.len(), frame_scores.len()));
        self.scores.push(score);
        self.is_fake.push(is_fake);
    }

    /// All metrics, without intervals.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.ranked().metrics(|_| 1.0)
    }

    /// All metrics with their 95% intervals, where there are enough people for any. Those of AUCs come from their variance
    /// (`auc_variance.rs`). Of the others, they are the 2.5th and 97.5th percentile over 2000 samples of as many people,
    /// drawn with replacement with all their videos (Efron's percentile bootstrap). A video of two people is drawn as often
    /// as both (the pigeonhole bootstrap, Owen 2007), which makes intervals rather too wide. A figure at
    /// its limit, such as an EER of 0, gets one without width.
    #[must_use]
    pub fn metrics_with_intervals(&self, people: &People) -> Metrics {
        assert_eq!(people.videos(), self.scores.len(), "people of each video");
        let ranked = self.ranked();
        let metrics = ranked.metrics(|_| 1.0);
        if !people.suffice(&self.is_fake) {
            return metrics;
        }
        // Frames are needed for their AUC alone.
        let ranked = RankedVideos { frames: None, ..ranked };
        let sample = |number: &u64| {
            let mut random = ChaCha8Rng::seed_from_u64(SEED);
            random.set_stream(*number);
            let times = people.draw(&mut random);
            ranked.metrics(|video| times[video])
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let numbers: Vec<u64> = (0..BOOTSTRAP_SAMPLES as u64).collect();
        let drawn = in_parallel(&numbers, threads, &AtomicBool::new(false), sample);
        let interval = |pick: fn(&Metrics) -> Option<f64>| interval(drawn.iter().filter_map(pick).collect());
        let videos: Vec<usize> = (0..self.scores.len()).collect();
        Metrics {
            frame_auc_ci95: auc_interval(&self.frame_scores, &self.video_of_frame, &self.is_fake, people),
            video_auc_ci95: auc_interval(&self.scores, &videos, &self.is_fake, people),
            eer_ci95: interval(|metrics| metrics.eer),
            ap_ci95: interval(|metrics| metrics.ap),
            acc_ci95: interval(|metrics| metrics.acc),
            log_loss_ci95: interval(|metrics| metrics.log_loss),
            ..metrics
        }
    }

    fn ranked(&self) -> RankedVideos<'_> {
        let frame_is_fake: Vec<_> = self.video_of_frame.iter().map(|video| self.is_fake[*video]).collect();
        RankedVideos {
            scored: self,
            videos: Ranking::new(&self.scores, &self.is_fake),
            frames: Ranking::new(&self.frame_scores, &frame_is_fake),
        }
    }
}

/// Videos and frames by rank: sorted once, used with the weights of each bootstrap sample.
struct RankedVideos<'a> {
    scored: &'a ScoredVideos,
    videos: Option<Ranking>,
    frames: Option<Ranking>,
}

impl RankedVideos<'_> {
    /// All metrics, with `weight(i)` as the weight of video `i`.
    fn metrics(&self, weight: impl Fn(usize) -> f64) -> Metrics {
        let ScoredVideos { scores, is_fake, video_of_frame, .. } = self.scored;
        let ties = self.videos.as_ref().and_then(|ranking| ranking.ties(&weight));
        let frame_ties = self.frames.as_ref().and_then(|ranking| ranking.ties(|frame| weight(video_of_frame[frame])));
        let each = || scores.iter().copied().zip(is_fake.iter().copied()).enumerate();
        let share = |counts: fn(f64, bool) -> bool, hit: fn(f64, bool) -> bool| {
            let counted = each().filter(|(_, (score, fake))| counts(*score, *fake));
            weighted_mean(counted.map(|(i, (score, fake))| (f64::from(u8::from(hit(score, fake))), weight(i))))
        };
        let is_right = |score: f64, fake: bool| (score >= 0.5) == fake;
        let acc_real = share(|_, fake| !fake, is_right);
        let acc_fake = share(|_, fake| fake, is_right);
        let precision = share(|score, _| score >= 0.5, |_, fake| fake);
        Metrics {
            frame_auc: frame_ties.map(|ties| roc_auc(&ties)),
            video_auc: ties.as_ref().map(|ties| roc_auc(ties)),
            eer: ties.as_ref().map(|ties| equal_error_rate(ties)),
            ap: ties.as_ref().map(|ties| average_precision(ties)),
            acc: share(|_, _| true, is_right),
            balanced_acc: acc_real.zip(acc_fake).map(|(real, fake)| 0.5 * (real + fake)),
            f1: acc_fake.map(|recall| precision.map_or(0.0, |precision| harmonic_mean(precision, recall))),
            acc_real,
            acc_fake,
            precision,
            log_loss: self
                .videos
                .as_ref()
                .and_then(|_| weighted_mean(each().map(|(i, (score, fake))| (nll(score, fake), weight(i))))),
            ece: self.videos.as_ref().and_then(|_| Bins::of(scores, is_fake, &weight).expected_error()),
            videos: scores.len(),
            clips: self.scored.clips,
            ..Metrics::default()
        }
    }
}

fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

/// The 2.5th and 97.5th percentiles, linearly interpolated. `None` where fewer than half of the bootstrap samples
/// define the metric: a class may be missing in a sample.
fn interval(mut values: Vec<f64>) -> Option<Interval> {
    if values.len() < BOOTSTRAP_SAMPLES / 2 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let place = q * (values.len() - 1) as f64;
        let (below, share) = (place as usize, place.fract());
        let above = (below + 1).min(values.len() - 1);
        values[below] + share * (values[above] - values[below])
    };
    Some([quantile(0.025), quantile(0.975)])
}

#[cfg(test)]
mod tests;
