//! From a configuration to a run that can be trained: videos found and split, device and number format decided. Writes
//! nothing; the run's folder is made in `run_folder.rs`.

use std::sync::atomic::AtomicBool;

use super::batch_size::{self, BatchSizeCheck};
use super::error::RunError;
use super::gpu_support::decide_placement;
use super::network::{build_network, load_first_weights};
use crate::config::{BatchSize, Config, DataConfig, Pretrained, SamplerChoice};
use crate::dataset::{Manifest, Media, Sampler, Split, assign_splits, place_fakes, scan_for};
use crate::model::Placement;
use crate::report::RunFolder;
use crate::train::Checkpoint;

/// A run before training; nothing is written yet.
pub struct PreparedRun {
    /// The configuration of the run.
    pub config: Config,
    /// Its videos and their split.
    pub manifest: Manifest,
    /// Device and number format.
    pub placement: Placement,
    /// The run that is resumed; `None` for a new one.
    pub resumed: Option<ResumedRun>,
}

/// A resumed run, and its state.
pub struct ResumedRun {
    /// Its folder.
    pub folder: RunFolder,
    /// Its last checkpoint.
    pub checkpoint: Checkpoint,
}

/// An epoch of training, as it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochPlan {
    /// The order of the videos, in words.
    pub sampler: String,
    /// Optimizer steps.
    pub steps: usize,
    /// Clips of each step.
    pub clips_a_step: usize,
}

/// Finds and splits the videos of a new run, and decides on its device.
///
/// # Errors
/// The data set cannot be trained on, or the device is not there.
pub fn prepare(mut config: Config) -> Result<PreparedRun, RunError> {
    // A run may be resumed from another working directory.
    make_absolute(&mut config.data);
    for path in config.model.init_from.iter_mut().chain([&mut config.cache.directory]) {
        *path = std::path::absolute(&*path).unwrap_or_default();
    }
    let mut manifest = scan_for(&config.data, config.augmentation.self_blend)?;
    take_pictures_as_they_are(&mut config, &manifest);
    assign_splits(&mut manifest, &config.data, config.seed)?;
    place_fakes(&mut manifest, &config.data, config.augmentation.self_blend)?;
    let placement = decide_placement(&config.gpu)?;
    Ok(PreparedRun { config, manifest, placement, resumed: None })
}

/// A clip of a single picture is that picture again and again, so that clips of pictures alone need one frame.
pub(super) fn take_pictures_as_they_are(config: &mut Config, manifest: &Manifest) {
    let mut own = manifest.videos.iter().filter(|video| video.split != Split::CrossTest);
    let all_are_pictures = own.all(|video| video.media == Media::Picture);
    // Batch norm needs more than one value of a micro-batch of one clip.
    let has_one_cell = config.model.backbone.description().has_one_cell(config.data.frame_size);
    if all_are_pictures && config.data.max_frames > 1 && !has_one_cell {
        tracing::info!(
            "data.max_frames is 1 instead of {}: all that is trained on are single pictures",
            config.data.max_frames
        );
        (config.data.max_frames, config.data.frames_per_epoch) = (1, None);
        config.data.clips_per_video = 1;
    }
}

impl PreparedRun {
    /// Puts a number in place of `training.batch_size: auto`: that of a resumed run, or what fits here.
    ///
    /// # Errors
    /// The device that is configured is not there.
    pub fn choose_batch_size(&mut self, check: BatchSizeCheck) -> Result<(), RunError> {
        if self.config.training.batch_size == BatchSize::Auto {
            match &self.resumed {
                Some(resumed) => self.config.training.batch_size = resumed.checkpoint.config.training.batch_size,
                None => {
                    let videos = self.manifest.indices(Split::Train).len();
                    self.config = batch_size::choose(&self.config, videos, check)?;
                    self.config.training.batch_size = with_room_for_others(&self.config);
                }
            }
        }
        Ok(())
    }

    /// Builds the network as a check, with its first weights if they come from a file or a run. Returns the number of
    /// parameters to train.
    ///
    /// # Errors
    /// There is no memory for the network, or the weights do not fit.
    pub fn check_network(&self) -> Result<u64, RunError> {
        let network = build_network(&self.config, &self.placement)?;
        let model = &self.config.model;
        let is_at_hand = model.init_from.is_some() || matches!(model.pretrained, Pretrained::File(_));
        if self.resumed.is_none() && is_at_hand {
            load_first_weights(&self.config, &network, &AtomicBool::new(false))?;
        }
        Ok(network.parameters().trainable_count())
    }

    /// How an epoch is divided into steps.
    ///
    /// # Errors
    /// The sampler finds no pairs where it is to make some.
    pub fn epoch_plan(&self) -> Result<EpochPlan, RunError> {
        let training = &self.config.training;
        let batch_size = training.batch_size.clips();
        let data = &self.config.data;
        let sampler = Sampler::new(data.sampler, &self.manifest)?.repeated(data.clips_per_video);
        let batches = sampler.plan(0, 0, batch_size, self.config.dataloader.drop_last).len();
        let batches = batches.min(training.limit_batches.unwrap_or(usize::MAX));
        Ok(EpochPlan {
            sampler: sampler.describe().to_string(),
            steps: batches.div_ceil(training.gradient_accumulation),
            clips_a_step: batch_size * training.gradient_accumulation,
        })
    }
}

pub(super) fn make_absolute(data: &mut DataConfig) {
    for root in data.root.0.iter_mut().chain(&mut data.test_roots.0) {
        *root = std::path::absolute(&*root).unwrap_or_default();
    }
}

/// A batch size that the user did not choose is even where batches are of pairs, and at least 2 where clips are paired
/// or mixed.
fn with_room_for_others(config: &Config) -> BatchSize {
    let clips = config.training.batch_size.clips();
    BatchSize::Clips(match config.data.sampler {
        SamplerChoice::Paired => (clips / 2 * 2).max(2),
        _ if config.augmentation.mixes() => clips.max(2),
        _ => clips,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{self, Roots, TrainingConfig};

    #[test]
    fn a_set_of_pictures_alone_has_clips_of_one_frame() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["real", "fake"] {
            fs::create_dir(folder.path().join(class)).unwrap();
            (0..8).for_each(|number| fs::write(folder.path().join(format!("{class}/{number}.png")), "").unwrap());
        }
        let mut config = Config::default();
        (config.data.root, config.data.frames_per_epoch) = (Roots::one(folder.path()), Some(4));
        let frames = |config: &Config| {
            let prepared = prepare(config.clone()).unwrap().config;
            (prepared.data.max_frames, prepared.data.frames_per_epoch)
        };
        assert_eq!(frames(&config), (1, None));
        let tiny = DataConfig { frame_size: [32, 32], ..config.data.clone() };
        assert_eq!(frames(&Config { data: tiny, ..config.clone() }), (32, Some(4)), "batch norm needs two values");
        fs::create_dir(folder.path().join("real/more")).unwrap();
        fs::write(folder.path().join("real/more/a.mp4"), "").unwrap();
        assert_eq!(frames(&config), (32, Some(4)), "a video among them");
    }

    #[test]
    fn an_automatic_batch_has_room_for_the_clips_that_need_each_other() {
        let size = |clips: usize, setting: &str| {
            let config = config::resolve(&Config::default(), &[setting.to_owned()]).unwrap();
            let sized = Config {
                training: TrainingConfig { batch_size: BatchSize::Clips(clips), ..config.training },
                ..config
            };
            with_room_for_others(&sized).clips()
        };
        assert_eq!([1, 5].map(|clips| size(clips, "data.sampler=shuffled")), [1, 5]);
        assert_eq!([1, 5].map(|clips| size(clips, "data.sampler=paired")), [2, 4]);
        assert_eq!([1, 5].map(|clips| size(clips, "augmentation.mixup=0.2")), [2, 5]);
        assert_eq!([1, 5].map(|clips| size(clips, "augmentation.cutmix=0.2")), [2, 5]);
        assert_eq!(size(1, "augmentation={enabled: false, mixup: 0.2}"), 1);
    }
}
