//! Clips read into the cache on disk, ahead of training. Builds no network and makes no folder of a run.

use std::sync::atomic::AtomicBool;

use super::clips::{Clips, fill_cache};
use super::error::RunError;
use super::face_decision::decide_faces;
use super::prepare::{make_absolute, take_pictures_as_they_are};
use crate::clip::{CacheStats, Prepared};
use crate::config::{Config, ConfigError, Sampling};
use crate::dataset::{Manifest, assign_splits, scan_for, shard};

/// One of several equal parts of a list, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which.
    pub part: usize,
    /// How many there are.
    pub parts: usize,
}

/// The videos whose clips are read.
#[derive(Debug)]
pub struct Extraction {
    config: Config,
    manifest: Manifest,
}

/// The result of an extraction.
#[derive(Debug)]
pub struct Extracted {
    /// Index and outcome of each video.
    pub videos: Vec<(usize, Prepared)>,
    /// What the cache counted.
    pub cache: CacheStats,
}

impl Extraction {
    /// Finds the videos as training with this configuration would.
    ///
    /// # Errors
    /// The data set cannot be used.
    pub fn prepare(mut config: Config) -> Result<Self, RunError> {
        make_absolute(&mut config.data);
        let mut manifest = scan_for(&config.data, config.augmentation.self_blend)?;
        take_pictures_as_they_are(&mut config, &manifest);
        // Random frames of training videos are not cached, so the split must be known.
        if config.data.sampling == Sampling::RandomSegment {
            assign_splits(&mut manifest, &config.data, config.seed)?;
        }
        Ok(Self { config, manifest })
    }

    /// Reads the clips of a part of the videos. Errors name the configuration as `place`.
    ///
    /// # Errors
    /// Nothing would be kept on disk, the face detector cannot be used, or `stop` was set.
    pub fn run(mut self, part: Shard, place: &str, stop: &AtomicBool) -> Result<Extracted, RunError> {
        decide_faces(&self.config, &mut self.manifest, stop)?;
        let all: Vec<_> = (0..self.manifest.videos.len()).collect();
        let videos = shard(&all, part.part - 1, part.parts);
        let clips = Clips::new(&self.config, &self.manifest, &videos, true, stop)?;
        if !clips.source.cache().has_disk() {
            return Err(nothing_kept(place).into());
        }
        let threads = self.config.dataloader.num_workers.max(1);
        let videos = fill_cache(&clips, &self.manifest, &videos, threads, stop)?;
        Ok(Extracted { videos, cache: clips.source.cache().stats() })
    }
}

fn nothing_kept(place: &str) -> ConfigError {
    ConfigError {
        place: place.into(),
        key: "cache".into(),
        problem: "no clips would be kept on disk, so there is nothing to do ahead of training".into(),
        hint: Some(
            "set cache.enable_cache: true, cache.disk_bytes to what they need, or another cache.directory".into(),
        ),
    }
}
