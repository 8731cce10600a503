//! The contents of a data set before training: its videos, their split, and what probing each video shows. Reads no
//! clips. Counts and tables are in `cli/data.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::error::RunError;
use crate::config::Config;
use crate::dataset::{DataError, Manifest, assign_splits, mend_splits, place_fakes, scan_for};
use crate::parallel::in_parallel;
use crate::progress::Bar;
use crate::video::{self, ClipSpec, VideoInfo};

/// The videos of a data set, split as for training.
#[derive(Debug)]
pub struct DataScan {
    /// The videos.
    pub manifest: Manifest,
    /// What each video's file says, where it can be used; empty before [`DataScan::probe`].
    pub infos: Vec<Option<VideoInfo>>,
    /// Why there is no split.
    pub split_problem: Option<String>,
}

impl DataScan {
    /// Lists the videos without opening them, and splits them where there are enough.
    ///
    /// # Errors
    /// The folder has no videos of a known layout.
    pub fn find(config: &Config) -> Result<Self, DataError> {
        let self_blend = config.augmentation.self_blend;
        let mut manifest = scan_for(&config.data, self_blend)?;
        // The counts are useful even if there are too few videos for a split.
        let split = assign_splits(&mut manifest, &config.data, config.seed)
            .and_then(|()| place_fakes(&mut manifest, &config.data, self_blend));
        let split_problem = match split {
            Err(DataError::Unusable { problem, .. }) => Some(problem),
            other => other.map(|()| None)?,
        };
        Ok(Self { manifest, infos: Vec::new(), split_problem })
    }

    /// Opens every video on all cores, marks those that cannot be used, and mends the split for the rest.
    ///
    /// # Errors
    /// `stop` was set.
    pub fn probe(&mut self, config: &Config, stop: &AtomicBool) -> Result<(), RunError> {
        self.infos = probe_all(&mut self.manifest, &ClipSpec::of(&config.data), stop);
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::INTERRUPTED);
        }
        if self.split_problem.is_none() {
            mend_splits(&mut self.manifest, &config.data, config.augmentation.self_blend, config.seed);
        }
        Ok(())
    }
}

/// Probes every video on all cores, and marks those that cannot be used.
fn probe_all(manifest: &mut Manifest, spec: &ClipSpec, stop: &AtomicBool) -> Vec<Option<VideoInfo>> {
    let total = manifest.videos.len();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let bar = Bar::new("scan", total as u64, (total as u64).div_ceil(4));
    let videos: Vec<_> = (0..total).collect();
    let results = in_parallel(&videos, threads, stop, |video| {
        let result = video::probe(&manifest.footage(*video), spec);
        bar.advance(1, String::new);
        result
    });
    let mut infos = vec![None; total];
    let mut unusable = Vec::new();
    for (video, result) in results.into_iter().enumerate() {
        match result {
            Ok(info) => infos[video] = Some(info),
            Err(DataError::Video { reason, .. }) => unusable.push((video, reason)),
            Err(other) => unusable.push((video, other.to_string())),
        }
    }
    manifest.mark_unusable(unusable);
    infos
}
