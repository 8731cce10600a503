//! A checkpoint that scores videos: what `evaluate` and `predict` share.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Args;

use super::pipeline::{Clips, NamedSet};
use super::relief::{limit_device_memory, memory_manager};
use super::{Interrupted, overrides_of};
use crate::config::{self, Config, FaceMode};
use crate::dataset::Manifest;
use crate::evaluate::{EvaluateError, Evaluation, Evaluator, Pooling};
use crate::memory::{DeviceGauge, Guard, MicroBatchSizes, Reason};
use crate::model::{Detector, Placement};
use crate::train::{Checkpoint, Checkpoints};
use crate::video::ClipSpec;

/// Which trained detector is meant.
#[derive(Debug, Args)]
pub struct Trained {
    /// A run: the checkpoint that it was tested with (its best)
    #[arg(long, value_name = "RUN", required_unless_present = "checkpoint", conflicts_with = "checkpoint")]
    pub(super) run: Option<PathBuf>,
    /// A checkpoint's folder, such as RUN/checkpoints/best
    #[arg(long, value_name = "DIR")]
    pub(super) checkpoint: Option<PathBuf>,
}

impl Trained {
    /// The checkpoint and its folder.
    pub(super) fn open(&self) -> Result<(PathBuf, Checkpoint)> {
        let Some(run) = &self.run else {
            let folder = self.checkpoint.clone().context("--run or --checkpoint is missing")?;
            return Ok((folder.clone(), Checkpoint::open(&folder)?));
        };
        let checkpoints = Checkpoints::of_run(run);
        let best = checkpoints.path("best");
        let checkpoint = Checkpoint::open(&best)?;
        let tested = checkpoints.for_testing(&checkpoint.config);
        let checkpoint = if tested == best { checkpoint } else { Checkpoint::open(&tested)? };
        Ok((tested, checkpoint))
    }
}

/// How videos are to be scored, where the checkpoint's own settings do not decide.
#[derive(Debug, Args)]
pub struct ScoringArgs {
    /// Clips taken from each video, one after the other in time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) clips: u16,
    /// What makes one score of a video's clips
    #[arg(long, value_name = "HOW", default_value = "mean")]
    pub(super) pool: Pooling,
    /// Clips in a batch
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "D")]
    device: Option<String>,
}

/// A network with the weights of a checkpoint, and how it takes videos.
pub(super) struct Scorer {
    /// The checkpoint's folder.
    pub folder: PathBuf,
    /// As it was trained, with the user's wishes; clips are as long as `clips_a_video` of training's.
    pub config: Config,
    pub detector: Detector,
    /// What its logits are divided by for calibrated probabilities, where that is known.
    pub temperature: Option<f64>,
    placement: Placement,
    clips_a_video: usize,
    pooling: Pooling,
}

impl Scorer {
    /// Loads a checkpoint from its folder; `faces` stands for `data.faces.mode`.
    pub fn new((folder, checkpoint): (PathBuf, Checkpoint), args: &ScoringArgs, faces: Option<&str>) -> Result<Self> {
        let clips_a_video = usize::from(args.clips);
        let overrides = overrides_of(
            &[],
            &[
                ("training.batch_size", args.batch_size.map(|n| n.to_string())),
                ("gpu.device", args.device.clone()),
                ("data.faces.mode", faces.map(str::to_owned)),
                // Pairs, which nothing is trained on here, would want an even batch.
                ("data.sampler", Some("shuffled".to_owned())),
                ("data.max_frames", Some((checkpoint.config.data.max_frames * clips_a_video).to_string())),
            ],
        );
        let frames = checkpoint.config.data.max_frames;
        let mut config = config::resolve(&checkpoint.config, &overrides)
            .with_context(|| format!("--clips {clips_a_video} of {frames} frames each"))?;
        let placement = Placement::decide(&config.gpu)?;
        tracing::info!("checkpoint: {}, device: {}", folder.display(), placement.reason);
        limit_device_memory(&config.gpu, placement.device)?;
        let detector = Detector::new(&config.model, placement.device, placement.format, config.gpu.channels_last)
            .context("the network cannot be built")?;
        checkpoint.load_eval_model(detector.parameters())?;
        let state = checkpoint.state().inspect_err(|error| {
            tracing::warn!("scores are not calibrated: {error}");
        });
        let (temperature, shows_faces) = state.map_or((None, None), |state| (state.temperature(), state.shows_faces));
        // Where it was trained on what shows none, it is to see the like.
        if config.data.faces.mode == FaceMode::Auto && shows_faces == Some(false) {
            config.data.faces.mode = FaceMode::Off;
        }
        let pooling = args.pool;
        // It was fitted on scores of single clips; the highest of several is another thing.
        let temperature = temperature.filter(|_| clips_a_video == 1 || pooling != Pooling::Max);
        Ok(Self { folder, config, detector, temperature, placement, clips_a_video, pooling })
    }

    /// How one clip is taken.
    pub fn clip_spec(&self) -> ClipSpec {
        let long_spec = ClipSpec::of(&self.config.data);
        ClipSpec { frames: long_spec.frames / self.clips_a_video, ..long_spec }
    }

    /// Scores the videos of each set.
    pub fn score(&self, clips: &Clips, sets: &[NamedSet], stop: &AtomicBool) -> Result<Vec<Evaluation>> {
        let loader = Rc::new(clips.loader());
        let memory = memory_manager(&self.config.gpu, self.placement.device, &clips.source, &loader);
        let mut relieve = || {
            memory.clean(Reason::OutOfMemory);
        };
        let ladder = MicroBatchSizes::evaluation(&self.config, self.placement.device.is_cuda());
        let retry = self.config.gpu.memory_management.oom_retry;
        let mut guard = Guard::new("evaluate", ladder, Box::new(DeviceGauge(self.placement.device)), retry, 0);
        let mut evaluator = Evaluator {
            loader: &loader,
            guard: &mut guard,
            relieve: &mut relieve,
            batch_size: self.config.training.batch_size.clips(),
            clips_a_video: self.clips_a_video,
            pooling: self.pooling,
            stop,
            label: "",
        };
        let mut evaluations = Vec::with_capacity(sets.len());
        for NamedSet { name, videos, .. } in sets {
            evaluator.label = name;
            match evaluator.run(&self.detector, videos) {
                Err(EvaluateError::Interrupted) => return Err(Interrupted(None).into()),
                evaluation => evaluations.push(evaluation?),
            }
        }
        Ok(evaluations)
    }

    /// The clips of a manifest's videos, each wanted once.
    pub fn clips(&self, manifest: &Manifest) -> Result<Clips> {
        Clips::new(&self.config, manifest, true)
    }
}
