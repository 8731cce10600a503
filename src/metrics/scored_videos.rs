//! The scores of a set of videos: their metrics, with bootstrap confidence intervals. The formulas of rank statistics,
//! log-loss and calibration are in files of their own.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::calibration_bins::Bins;
use super::log_loss::{nll, weighted_mean};
use super::ranking::{Ranking, average_precision, equal_error_rate, roc_auc};
use super::video_metrics::{Interval, Metrics};

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

    /// All metrics with their 95% intervals: the 2.5th and 97.5th percentile over 2000 samples of as many groups, drawn
    /// with replacement (Efron's percentile bootstrap). `group_of` names the group of each video.
    #[must_use]
    pub fn metrics_with_intervals(&self, group_of: &[usize]) -> Metrics {
        assert_eq!(group_of.len(), self.scores.len(), "one group a video");
        let ranked = self.ranked();
        // A subset of the videos may lack some groups: groups are renumbered without gaps.
        let present: BTreeSet<usize> = group_of.iter().copied().collect();
        let groups = present.len();
        let place: BTreeMap<usize, usize> = present.into_iter().zip(0..).collect();
        let group_of: Vec<usize> = group_of.iter().map(|group| place[group]).collect();
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let mut drawn = Vec::with_capacity(BOOTSTRAP_SAMPLES);
        for _ in 0..BOOTSTRAP_SAMPLES {
            let mut times = vec![0.0; groups];
            (0..groups).for_each(|_| times[random.random_range(0..groups)] += 1.0);
            drawn.push(ranked.metrics(|video| times[group_of[video]]));
        }
        let interval = |pick: fn(&Metrics) -> Option<f64>| interval(drawn.iter().filter_map(pick).collect());
        Metrics {
            frame_auc_ci95: interval(|metrics| metrics.frame_auc),
            video_auc_ci95: interval(|metrics| metrics.video_auc),
            eer_ci95: interval(|metrics| metrics.eer),
            ap_ci95: interval(|metrics| metrics.ap),
            acc_ci95: interval(|metrics| metrics.acc),
            log_loss_ci95: interval(|metrics| metrics.log_loss),
            ..ranked.metrics(|_| 1.0)
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
mod tests {
    use super::*;

    /// Of `n` videos, half of them fake, with overlapping scores.
    fn samples(n: usize) -> ScoredVideos {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut samples = ScoredVideos::default();
        for i in 0..n {
            let score = 0.7 * random.random::<f64>() + if i % 2 == 0 { 0.3 } else { 0.0 };
            samples.push(score, i % 2 == 0, &[score, (score + 0.1).min(1.0)], 1);
        }
        samples
    }

    #[test]
    fn intervals_hold_the_value_and_narrow_with_more_videos() {
        let width = |n: usize| {
            let metrics = samples(n).metrics_with_intervals(&(0..n).collect::<Vec<_>>());
            let [low, high] = metrics.video_auc_ci95.unwrap();
            let auc = metrics.video_auc.unwrap();
            assert!(low < auc && auc < high, "{low} {auc} {high}");
            high - low
        };
        let (few, many) = (width(50), width(800));
        // As the root of their number: 4 times.
        assert!((3.0..5.5).contains(&(few / many)), "{few} {many}");
    }

    /// A group of four copies is one observation, not four.
    #[test]
    fn what_is_grouped_counts_once() {
        let single = samples(60);
        let mut copies = ScoredVideos::default();
        let mut group_of = Vec::new();
        for i in 0..60 {
            for _ in 0..4 {
                copies.push(single.scores[i], single.is_fake[i], &[], 1);
                group_of.push(i);
            }
        }
        let alone = single.metrics_with_intervals(&(0..60).collect::<Vec<_>>());
        let grouped = copies.metrics_with_intervals(&group_of);
        assert_eq!(grouped.video_auc_ci95, alone.video_auc_ci95);
        let with_gaps: Vec<usize> = group_of.iter().map(|group| 3 * group + 1).collect();
        assert_eq!(copies.metrics_with_intervals(&with_gaps), grouped, "names of groups mean nothing");
        let ungrouped = copies.metrics_with_intervals(&(0..240).collect::<Vec<_>>()).video_auc_ci95.unwrap();
        let width = |[low, high]: Interval| high - low;
        assert!(width(ungrouped) < 0.7 * width(alone.video_auc_ci95.unwrap()));
    }

    #[test]
    fn one_group_or_one_class_says_nothing_of_chance() {
        let one_class = {
            let mut samples = ScoredVideos::default();
            [0.2, 0.7, 0.9].iter().for_each(|score| samples.push(*score, true, &[*score], 1));
            samples
        };
        let metrics = one_class.metrics_with_intervals(&[0, 1, 2]);
        assert_eq!((metrics.video_auc_ci95, metrics.eer_ci95), (None, None));
        assert!(metrics.acc_ci95.is_some());
        assert_eq!(ScoredVideos::default().metrics_with_intervals(&[]).acc_ci95, None);
    }
}
