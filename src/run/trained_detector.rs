//! A trained detector, opened from its run or checkpoint, and the scores that it gives. Knows nothing of labels and
//! verdicts; those are in `evaluation.rs` and `prediction.rs`.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use super::clips::Clips;
use super::error::RunError;
use super::gpu_support::decide_placement;
use super::memory_hooks::{limit_device_memory, memory_manager};
use super::test_sets::VideoSet;
use crate::config::{self, Config, FaceMode, Sampling, WhichFaces};
use crate::dataset::Manifest;
use crate::evaluate::{EvaluateError, Evaluation, Evaluator, Pooling};
use crate::memory::{DeviceGauge, Guard, MicroBatchSizes, Reason};
use crate::model::{Detector, Placement};
use crate::parallel;
use crate::train::{Checkpoint, CheckpointError, Checkpoints};
use crate::video::ClipSpec;

/// A checkpoint, and the folder that it was read from.
#[derive(Debug)]
pub struct StoredCheckpoint {
    /// Such as `RUN/checkpoints/best`.
    pub folder: PathBuf,
    /// What is in it.
    pub checkpoint: Checkpoint,
}

impl StoredCheckpoint {
    /// Opens the checkpoint in a folder.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        Ok(Self { folder: folder.to_owned(), checkpoint: Checkpoint::open(folder)? })
    }

    /// Opens the checkpoint that a run was tested with.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn of_run(run: &Path) -> Result<Self, CheckpointError> {
        let checkpoints = Checkpoints::of_run(run);
        // A resumed run may have other settings than its best epoch had. A copied run may have its best epoch alone.
        let last = checkpoints.path("last");
        let newest = Self::open(&if last.exists() { last } else { checkpoints.path("best") })?;
        let tested = checkpoints.for_testing(&newest.checkpoint.config);
        if tested == newest.folder { Ok(newest) } else { Self::open(&tested) }
    }
}

/// How videos are to be scored, where the checkpoint's own settings do not decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoringOptions {
    /// Clips taken from each video, one after the other in time; as in training if `None`.
    pub clips_a_video: Option<usize>,
    /// How the scores of a video's clips are pooled.
    pub pooling: Pooling,
    /// Changes to the checkpoint's configuration, each `a.b=value`, such as `gpu.device=cpu`.
    pub overrides: Vec<String>,
}

impl Default for ScoringOptions {
    /// As in training.
    fn default() -> Self {
        Self { clips_a_video: None, pooling: Pooling::default(), overrides: Vec::new() }
    }
}

/// A network with the weights of a checkpoint, and how it takes videos.
pub struct TrainedDetector {
    /// The checkpoint's folder.
    pub folder: PathBuf,
    /// As it was trained, with the changes of the options.
    pub config: Config,
    /// The network.
    pub network: Detector,
    /// The temperature by which logits are divided for calibrated probabilities, if it is known.
    pub temperature: Option<f64>,
    /// The methods of the fakes that it was trained on, as far as they are known.
    pub trained_methods: Vec<String>,
    /// How it scores.
    pub options: ScoringOptions,
    placement: Placement,
}

impl TrainedDetector {
    /// Builds the network of a checkpoint, and loads the weights that the run was tested with.
    ///
    /// # Errors
    /// The configuration cannot be used with these options, the device is not there, or the weights cannot be read.
    pub fn load(stored: StoredCheckpoint, options: &ScoringOptions) -> Result<Self, RunError> {
        let StoredCheckpoint { folder, checkpoint } = stored;
        let mut config = scoring_config(&checkpoint.config, options)?;
        let placement = decide_placement(&config.gpu)?;
        tracing::info!("checkpoint: {}, device: {}", folder.display(), placement.reason);
        limit_device_memory(&config.gpu, placement.device)?;
        let network = Detector::new(&config.model, placement.device, placement.format, config.gpu.channels_last)
            .map_err(RunError::torch("the network cannot be built"))?;
        checkpoint.load_eval_model(network.parameters())?;
        let state = checkpoint.state().inspect_err(|error| {
            tracing::warn!("scores are not calibrated: {error}");
        });
        let (temperature, shows_faces, trained_methods) = state.map_or_else(
            |_| Default::default(),
            |state| (state.temperature(), state.shows_faces, state.trained_methods),
        );
        // A detector that was trained on videos without faces gets whole frames.
        if config.data.faces.mode == FaceMode::Auto && shows_faces == Some(false) {
            config.data.faces.mode = FaceMode::Off;
        }
        // It was fitted on the mean, and does not hold for the highest of several scores.
        let has_one = config.data.clips_per_video == 1 && config.data.faces.which == WhichFaces::Largest;
        let temperature = temperature.filter(|_| has_one || options.pooling != Pooling::Max);
        Ok(Self { folder, config, network, temperature, trained_methods, options: options.clone(), placement })
    }

    /// The frames of one clip, and how they are read.
    #[must_use]
    pub fn clip_spec(&self) -> ClipSpec {
        ClipSpec::of(&self.config.data)
    }

    /// Scores the videos of each set.
    pub(super) fn score(
        &self,
        clips: &Clips,
        sets: &[VideoSet],
        stop: &AtomicBool,
    ) -> Result<Vec<Evaluation>, RunError> {
        let loader = Rc::new(clips.loader());
        let memory = memory_manager(&self.config.gpu, self.placement.device, &clips.source, &loader);
        let mut clean_up = || {
            memory.clean(Reason::OutOfMemory);
        };
        let sizes = MicroBatchSizes::evaluation(&self.config, self.placement.device.is_cuda());
        let retry = self.config.gpu.memory_management.oom_retry;
        let mut guard = Guard::new("evaluate", sizes, Box::new(DeviceGauge::new(self.placement.device)), retry, 0)
            .with_pause(|pause| parallel::wait(pause, stop));
        let mut evaluator = Evaluator {
            loader: &loader,
            guard: &mut guard,
            clean_up: &mut clean_up,
            batch_size: self.config.training.batch_size.clips(),
            clips_a_video: self.config.data.clips_per_video,
            pin_memory: self.config.dataloader.pin_memory,
            pooling: self.options.pooling,
            stop,
            label: "",
        };
        let mut evaluations = Vec::with_capacity(sets.len());
        for VideoSet { name, videos, .. } in sets {
            evaluator.label = name;
            match evaluator.run(&self.network, videos) {
                Err(EvaluateError::Interrupted) => return Err(RunError::INTERRUPTED),
                evaluation => evaluations.push(evaluation?),
            }
        }
        Ok(evaluations)
    }

    /// The clips of sets of a manifest's videos, each wanted once.
    pub(super) fn clips(&self, manifest: &Manifest, sets: &[VideoSet], stop: &AtomicBool) -> Result<Clips, RunError> {
        let videos: Vec<_> = sets.iter().flat_map(|set| set.videos.iter().copied()).collect();
        Clips::new(&self.config, manifest, &videos, true, stop)
    }
}

/// The configuration of training, for scoring.
fn scoring_config(trained: &Config, options: &ScoringOptions) -> Result<Config, RunError> {
    let (frames, clips_a_video) = (trained.data.max_frames, options.clips_a_video);
    let clips_a_video = clips_a_video.unwrap_or(trained.data.clips_per_video);
    let mut overrides = options.overrides.clone();
    // The sampler of pairs would require an even batch, and mixing one of two clips; nothing is trained here.
    let nothing_trained = ["data.sampler=shuffled", "augmentation.mixup=0", "augmentation.cutmix=0"];
    overrides.extend(nothing_trained.map(str::to_owned));
    // Frames are only drawn in training.
    let is_drawn = clips_a_video > 1 && trained.data.sampling == Sampling::RandomSegment;
    overrides.extend(is_drawn.then(|| "data.sampling=uniform".to_owned()));
    overrides.push(format!("data.clips_per_video={clips_a_video}"));
    config::resolve(trained, &overrides).map_err(|source| RunError::Clips { clips_a_video, frames, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_training_needs_is_no_reason_not_to_score() {
        let scored = |trained: &[&str], clips_a_video, batch: usize| {
            let trained: Vec<_> = trained.iter().map(ToString::to_string).collect();
            let trained = config::resolve(&Config::default(), &trained).unwrap();
            let overrides = vec![format!("training.batch_size={batch}")];
            scoring_config(&trained, &ScoringOptions { clips_a_video, overrides, ..ScoringOptions::default() }).unwrap()
        };
        for trained in ["data.sampler=paired", "augmentation.mixup=0.2", "augmentation.cutmix=0.2"] {
            assert_eq!(scored(&[trained, "training.batch_size=4"], None, 1).training.batch_size.clips(), 1);
        }
        let drawn = "data.sampling=random_segment";
        assert_eq!(scored(&[drawn], None, 2).data.sampling, Sampling::RandomSegment, "its clips may be cached");
        let several = scored(&[drawn], Some(3), 2).data;
        assert_eq!((several.sampling, several.clips_per_video), (Sampling::Uniform, 3));
        assert_eq!(scored(&["data.clips_per_video=2"], None, 2).data.clips_per_video, 2);
    }
}
