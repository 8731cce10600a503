//! Types for the scores of videos, clips and frames. Runs no network and computes no metric; `metrics` does.

use crate::dataset::Label;
use crate::metrics::{Metrics, ScoredVideos};

/// The scores of one video.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoScore {
    /// Index in the manifest.
    pub video: usize,
    /// Its label.
    pub label: Label,
    /// Probability of fake, pooled over its clips.
    pub score: f64,
    /// The faces whose clips were scored, by their size; 0 is the largest.
    pub faces: Vec<usize>,
    /// Probability of fake of each clip of each face, in temporal order.
    pub clip_scores: Vec<f64>,
    /// Probability of fake of each frame.
    pub frame_scores: Vec<f64>,
}

impl VideoScore {
    /// The number of clips of each face.
    #[must_use]
    pub fn clips_a_face(&self) -> usize {
        self.clip_scores.len() / self.faces.len().max(1)
    }
}

/// The scores of one clip.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipScore {
    /// Probability of fake.
    pub score: f64,
    /// Probability of fake of each frame.
    pub frame_scores: Vec<f64>,
}

/// The scores of a set of videos.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Videos with a score, in the order in which they were asked for.
    pub videos: Vec<VideoScore>,
    /// Videos that could not be read: index in the manifest, and reason.
    pub skipped: Vec<(usize, String)>,
    /// Videos for which the network gave no finite number: index in the manifest. With other weights it may give one.
    pub not_finite: Vec<usize>,
}

/// Why a video has no score although it was read: weights are not finite, or the number format overflows.
const NOT_FINITE: &str = "the network gave no finite number for it";

impl Evaluation {
    /// Videos without a score: index in the manifest, and reason.
    pub fn unscored(&self) -> impl Iterator<Item = (usize, &str)> + Clone {
        let skipped = self.skipped.iter().map(|(video, reason)| (*video, reason.as_str()));
        skipped.chain(self.not_finite.iter().map(|video| (*video, NOT_FINITE)))
    }

    /// Frame and video metrics, without confidence intervals.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        scored_videos(&self.videos).metrics()
    }
}

/// The scores of some videos, for computing metrics.
pub fn scored_videos<'v>(videos: impl IntoIterator<Item = &'v VideoScore>) -> ScoredVideos {
    let mut scored = ScoredVideos::default();
    for video in videos {
        scored.push(video.score, video.label == Label::Fake, &video.frame_scores, video.clip_scores.len());
    }
    scored
}
