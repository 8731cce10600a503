//! Pure functions of scores and labels. Fake is the positive class; a score is the probability of fake.
//!
//! A metric that the data does not define (one class only, no samples) is `None`, never 0 or 0.5.

mod detail;

use serde::{Deserialize, Serialize};

pub use detail::{Calibration, CalibrationBin, Confusion, CurvePoint, OperatingPoint};

/// Area under the ROC curve by the rank statistic; ties count half.
///
/// `None` where one class is missing or a score is not a number.
#[must_use]
pub fn auc(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), is_fake.len(), "one label a score");
    let ranked = ranked(scores, is_fake)?;
    let (mut reals_below, mut wins) = (0.0, 0.0);
    for tie in ranked.chunk_by(|a, b| a.0 == b.0) {
        let fakes = tie.iter().filter(|(_, fake)| *fake).count() as f64;
        let reals = tie.len() as f64 - fakes;
        wins += fakes * (reals_below + 0.5 * reals);
        reals_below += reals;
    }
    let fakes = scores.len() as f64 - reals_below;
    Some(wins / (fakes * reals_below))
}

/// Scores with labels, ascending; `None` unless both classes are there and all scores are numbers.
fn ranked(scores: &[f64], is_fake: &[bool]) -> Option<Vec<(f64, bool)>> {
    let both = is_fake.contains(&true) && is_fake.contains(&false);
    if !both || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut ranked: Vec<_> = scores.iter().copied().zip(is_fake.iter().copied()).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some(ranked)
}

/// Average precision without interpolation: the mean over fakes of the precision at each one's score.
#[must_use]
pub fn average_precision(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), is_fake.len(), "one label a score");
    let mut ranked = ranked(scores, is_fake)?;
    ranked.reverse();
    let fakes = is_fake.iter().filter(|fake| **fake).count() as f64;
    let (mut seen, mut hits, mut sum) = (0.0, 0.0, 0.0);
    for tie in ranked.chunk_by(|a, b| a.0 == b.0) {
        let tie_hits = tie.iter().filter(|(_, fake)| *fake).count() as f64;
        seen += tie.len() as f64;
        hits += tie_hits;
        sum += tie_hits * hits / seen;
    }
    Some(sum / fakes)
}

/// Equal error rate: where the false positive rate crosses the false negative rate, linearly interpolated.
#[must_use]
pub fn equal_error_rate(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), is_fake.len(), "one label a score");
    let ranked = ranked(scores, is_fake)?;
    let fakes = is_fake.iter().filter(|fake| **fake).count() as f64;
    let reals = scores.len() as f64 - fakes;
    // From the highest threshold (nothing is called fake) down, one tie at a time.
    let (mut false_positives, mut misses) = (0.0, fakes);
    let (mut last_fpr, mut last_fnr) = (0.0, 1.0);
    for tie in ranked.chunk_by(|a, b| a.0 == b.0).rev() {
        let tie_fakes = tie.iter().filter(|(_, fake)| *fake).count() as f64;
        misses -= tie_fakes;
        false_positives += tie.len() as f64 - tie_fakes;
        let (fpr, fnr) = (false_positives / reals, misses / fakes);
        if fpr >= fnr {
            let gap_before = last_fnr - last_fpr;
            let gap_after = fpr - fnr;
            let share = gap_before / (gap_before + gap_after);
            return Some(last_fpr + share * (fpr - last_fpr));
        }
        (last_fpr, last_fnr) = (fpr, fnr);
    }
    None
}

/// Mean negative log-likelihood of the labels, probabilities clipped to `[1e-7, 1 - 1e-7]`.
#[must_use]
pub fn log_loss(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), is_fake.len(), "one label a score");
    if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let losses = scores.iter().zip(is_fake).map(|(score, fake)| {
        let p = score.clamp(1e-7, 1.0 - 1e-7);
        if *fake { -p.ln() } else { -(1.0 - p).ln() }
    });
    Some(losses.sum::<f64>() / scores.len() as f64)
}

/// Share of videos on the right side of 0.5, among those of one class or (`None`) of both.
#[must_use]
pub fn accuracy(scores: &[f64], is_fake: &[bool], class: Option<bool>) -> Option<f64> {
    assert_eq!(scores.len(), is_fake.len(), "one label a score");
    let counted: Vec<_> = scores.iter().zip(is_fake).filter(|(_, fake)| class.is_none_or(|c| c == **fake)).collect();
    let right = counted.iter().filter(|(score, fake)| (**score >= 0.5) == **fake).count();
    if counted.is_empty() { None } else { Some(right as f64 / counted.len() as f64) }
}

/// What is said of a set of videos; undefined values are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// AUC over single frames.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub frame_auc: Option<f64>,
    /// AUC over videos; a video's score is the mean of its clips' probabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub video_auc: Option<f64>,
    /// Equal error rate over videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eer: Option<f64>,
    /// Average precision over videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ap: Option<f64>,
    /// Accuracy over videos at 0.5.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acc: Option<f64>,
    /// Accuracy over real videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acc_real: Option<f64>,
    /// Accuracy over fake videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acc_fake: Option<f64>,
    /// Log-loss over videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log_loss: Option<f64>,
    /// Mean of the accuracies over real and over fake videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub balanced_acc: Option<f64>,
    /// Share of fakes among the videos that 0.5 calls fake.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub precision: Option<f64>,
    /// Harmonic mean of precision and the accuracy over fakes, at 0.5.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub f1: Option<f64>,
    /// Expected calibration error over videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ece: Option<f64>,
    /// Bounds of the 95 % interval of `video_auc`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub video_auc_ci95: Option<[f64; 2]>,
    /// Bounds of the 95 % interval of `frame_auc`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub frame_auc_ci95: Option<[f64; 2]>,
    /// Bounds of the 95 % interval of `eer`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eer_ci95: Option<[f64; 2]>,
    /// Bounds of the 95 % interval of `ap`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ap_ci95: Option<[f64; 2]>,
    /// Bounds of the 95 % interval of `acc`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acc_ci95: Option<[f64; 2]>,
    /// Bounds of the 95 % interval of `log_loss`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log_loss_ci95: Option<[f64; 2]>,
    /// Videos that were scored.
    pub videos: usize,
    /// Clips that were scored.
    pub clips: usize,
}

impl Metrics {
    /// All metrics of video scores; the frame AUC and the number of clips come from the caller.
    #[must_use]
    pub fn of_videos(scores: &[f64], is_fake: &[bool]) -> Self {
        Self {
            frame_auc: None,
            video_auc: auc(scores, is_fake),
            eer: equal_error_rate(scores, is_fake),
            ap: average_precision(scores, is_fake),
            acc: accuracy(scores, is_fake, None),
            acc_real: accuracy(scores, is_fake, Some(false)),
            acc_fake: accuracy(scores, is_fake, Some(true)),
            log_loss: log_loss(scores, is_fake),
            videos: scores.len(),
            clips: scores.len(),
            ..Self::default()
        }
    }
}
