//! Whether the classes of a set can be told apart without looking at the faces.
//!
//! A detector that reads the file's size or the brightness would score well on a set where those differ, and learn
//! nothing. Each such cue alone must rank fakes and reals no better than chance.

use serde::{Deserialize, Serialize};

use crate::metrics::auc;

/// What of a video is seen without looking at the face.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub is_fake: bool,
    pub file_bytes: u64,
    pub secs: f64,
    pub pixels: u64,
    /// Mean of all bytes of all frames, 0 to 255.
    pub brightness: f64,
}

impl Measured {
    pub fn bits_per_sec(&self) -> u32 {
        (self.file_bytes as f64 * 8.0 / self.secs) as u32
    }
}

/// How well one cue alone tells the classes apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cue {
    /// What was measured.
    pub cue: String,
    /// AUC in the direction that separates better: 0.5 is chance, 1 a sure sign.
    pub auc: f64,
}

/// All cues; none where a class is missing.
pub(super) fn cues(videos: &[Measured]) -> Vec<Cue> {
    let is_fake: Vec<_> = videos.iter().map(|video| video.is_fake).collect();
    let cue = |name: &str, value: fn(&Measured) -> f64| {
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
        let video = |is_fake: bool, file_bytes: u64, brightness: f64| Measured {
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
