//! Shortcut cues: whether the classes of a set can be separated without looking at the faces. Opens no video; the
//! measurements are passed in.
//!
//! Where file size or brightness differ between the classes, a detector can use them as a shortcut. Each cue alone
//! should rank fakes and reals no better than chance.

use serde::{Deserialize, Serialize};

use crate::metrics::auc;

/// Measurements of a video that do not depend on the face.
#[derive(Debug, Clone)]
pub(super) struct VideoMeasurements {
    pub is_fake: bool,
    pub file_bytes: u64,
    pub secs: f64,
    pub pixels: u64,
    /// Mean of all bytes of all frames, 0 to 255.
    pub brightness: f64,
}

impl VideoMeasurements {
    pub fn bits_per_sec(&self) -> u32 {
        (self.file_bytes as f64 * 8.0 / self.secs) as u32
    }
}

/// How well one cue alone separates the classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cue {
    /// What was measured.
    pub cue: String,
    /// AUC in the direction that separates better: 0.5 is chance, 1 separates the classes perfectly.
    pub auc: f64,
}

/// All cues; empty where a class is missing.
pub(super) fn cues(videos: &[VideoMeasurements]) -> Vec<Cue> {
    let is_fake: Vec<_> = videos.iter().map(|video| video.is_fake).collect();
    let cue = |name: &str, value: fn(&VideoMeasurements) -> f64| {
        let values: Vec<_> = videos.iter().map(value).collect();
        auc(&values, &is_fake).map(|auc| Cue { cue: name.to_owned(), auc: auc.max(1.0 - auc) })
    };
    [
        cue("file size", |video| video.file_bytes as f64),
        cue("bit rate", |video| video.file_bytes as f64 / video.secs),
        cue("mean brightness", |video| video.brightness),
        cue("duration", |video| video.secs),
        cue("resolution", |video| video.pixels as f64),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cue_that_gives_a_class_away_says_so_in_either_direction() {
        let video = |is_fake: bool, file_bytes: u64, brightness: f64| VideoMeasurements {
            is_fake,
            file_bytes,
            secs: 2.0,
            pixels: 100,
            brightness,
        };
        let videos = [video(false, 900, 10.0), video(true, 500, 30.0), video(false, 800, 20.0), video(true, 700, 40.0)];
        let found: Vec<_> = cues(&videos).into_iter().map(|cue| cue.auc).collect();
        assert_eq!(found, [1.0, 1.0, 1.0, 0.5, 0.5]);
        assert!(cues(&videos[..1]).is_empty());
    }
}
