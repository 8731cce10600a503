//! What is to be trained on what: found, split, checked. [`carry_out`](Plan::carry_out) is in a file of its own.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::{Interrupted, measure};
use crate::config::{self, BatchSize, Config, ConfigError, DataConfig, Pretrained, SamplerChoice};
use crate::dataset::{DataError, Label, Manifest, Sampler, Split, assign_splits, place_self_blends, scan_for};
use crate::model::{Detector, Placement, PretrainedError, Sources, load_pretrained};
use crate::optim::LossScaler;
use crate::report::RunFolder;
use crate::torch::Format;
use crate::train::{Checkpoint, Checkpoints, TrainState};

/// What is to be trained on what; nothing is written yet.
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) manifest: Manifest,
    pub(super) placement: Placement,
    /// The run to go on with and its last checkpoint.
    pub(super) resumed: Option<(RunFolder, Checkpoint)>,
}

impl Plan {
    pub fn fresh(file: &Path, overrides: &[String]) -> Result<Self> {
        let loaded = config::load(file, overrides)?;
        for warning in loaded.warnings {
            tracing::warn!("{}: {warning}", file.display());
        }
        let mut config = loaded.config;
        // A run may be gone on with from another folder.
        make_absolute(&mut config.data);
        let mut manifest = scan_for(&config.data, config.augmentation.self_blend)?;
        assign_splits(&mut manifest, &config.data, config.seed)?;
        place_self_blends(&mut manifest, config.augmentation.self_blend);
        let placement = Placement::decide(&config.gpu)?;
        Ok(Self { config, manifest, placement, resumed: None })
    }

    pub fn resume(run: Option<&Path>, overrides: &[String]) -> Result<Self> {
        let folder = match run {
            Some(path) => RunFolder::open(path),
            None => {
                let output = config::resolve(&Config::default(), overrides)?.output.directory;
                RunFolder::latest(&output).ok_or_else(|| ConfigError {
                    place: output.display().to_string(),
                    key: String::new(),
                    problem: "there is no run with a checkpoint".into(),
                    hint: Some("name the run with --resume RUN, or the folder that it is in with --output".into()),
                })?
            }
        };
        let checkpoint = Checkpoint::open(&Checkpoints::of_run(folder.path()).path("last"))?;
        let mut config = config::resolve(&checkpoint.config, overrides)?;
        check_same_split(&checkpoint.config, &config)?;
        check_same_first_weights(&checkpoint.config, &config)?;
        make_absolute(&mut config.data);
        let mut manifest = Manifest::load(&folder.manifest())?;
        manifest.move_to(&[config.data.root.0.as_slice(), &config.data.test_roots.0].concat())?;
        let placement = Placement::decide(&config.gpu)?;
        Ok(Self { config, manifest, placement, resumed: Some((folder, checkpoint)) })
    }

    /// Puts a number in place of `training.batch_size: auto`: that of a resumed run, or what fits here; if `verify`,
    /// trial steps check it.
    pub fn settle_batch_size(&mut self, verify: bool) -> Result<()> {
        if self.config.training.batch_size == BatchSize::Auto {
            match &self.resumed {
                Some((_, checkpoint)) => self.config.training.batch_size = checkpoint.config.training.batch_size,
                None => {
                    let videos = self.manifest.indices(Split::Train).len();
                    self.config = measure::settle(&self.config, videos, verify)?;
                    self.make_room_for_pairs();
                }
            }
        }
        Ok(())
    }

    /// A batch that was not chosen by the user loses its odd clip, or has at least two.
    fn make_room_for_pairs(&mut self) {
        let training = &mut self.config.training;
        if self.config.data.sampler == SamplerChoice::Paired {
            training.batch_size = BatchSize::Clips((training.batch_size.clips() / 2 * 2).max(2));
        }
    }

    pub fn describe(&self) -> Result<()> {
        let detector = self.detector()?;
        if self.resumed.is_none() && matches!(self.config.model.pretrained, Pretrained::File(_)) {
            self.fill_backbone(&detector, &AtomicBool::new(false))?;
        }
        for set in &self.manifest.sets {
            writeln!(io::stdout(), "data       {}", set.root.display())?;
        }
        for (name, split) in [
            ("train", Split::Train),
            ("validation", Split::Val),
            ("test", Split::Test),
            ("cross-test", Split::CrossTest),
        ] {
            if split == Split::CrossTest && self.config.data.test_roots.0.is_empty() {
                continue;
            }
            let count = |label| self.manifest.count(split, label);
            writeln!(io::stdout(), "{name:10} {} real and {} fake videos", count(Label::Real), count(Label::Fake))?;
        }
        writeln!(io::stdout(), "device     {}", self.placement.reason)?;
        writeln!(io::stdout(), "network    {} parameters to train", detector.parameters().trainable_count())?;
        let training = &self.config.training;
        let batch_size = training.batch_size.clips();
        let effective = batch_size * training.gradient_accumulation;
        let sampler = Sampler::new(self.config.data.sampler, &self.manifest)?;
        let batches = sampler.plan(0, 0, batch_size, self.config.dataloader.drop_last).len();
        let batches = batches.min(training.limit_batches.unwrap_or(usize::MAX));
        let steps = batches.div_ceil(training.gradient_accumulation);
        writeln!(io::stdout(), "sampler    {}", sampler.describe())?;
        writeln!(io::stdout(), "training   {} epochs of {steps} steps, {effective} clips each", training.epochs)?;
        writeln!(io::stdout(), "nothing was written: this was a dry run")?;
        Ok(())
    }

    /// Fills the backbone of a new run's network as `model.pretrained` says.
    pub(super) fn fill_backbone(&self, detector: &Detector, stop: &AtomicBool) -> Result<()> {
        let path = match &self.config.model.pretrained {
            Pretrained::None => {
                if self.config.model.freeze.is_some() {
                    tracing::warn!("model.freeze keeps random weights as they are, because model.pretrained is none");
                }
                return Ok(());
            }
            Pretrained::Imagenet => match Sources::from_env().imagenet(self.config.model.backbone, stop) {
                Err(PretrainedError::Interrupted) => {
                    return Err(Interrupted(Some(
                        "what came of the weights is kept; the next run goes on there".into(),
                    ))
                    .into());
                }
                found => found?,
            },
            Pretrained::File(path) => path.clone(),
        };
        let loaded = load_pretrained(&path, detector.parameters())?;
        tracing::info!("backbone: {loaded} ({})", path.display());
        Ok(())
    }

    pub(super) fn detector(&self) -> Result<Detector> {
        tch::manual_seed(self.config.seed as i64);
        let Placement { device, format, .. } = self.placement;
        Detector::new(&self.config.model, device, format, self.config.gpu.channels_last)
            .context("the network cannot be built")
    }

    /// What one optimizer remembers says nothing to another.
    pub(super) fn check_same_optimizer(&self, before: &Config) -> Result<(), ConfigError> {
        let [before, now] = [before, &self.config].map(|config| config.training.optimizer);
        if before == now {
            return Ok(());
        }
        let problem = format!("the run was started with {before:?}, and its optimizer's state cannot become {now:?}'s");
        Err(unresumable("training.optimizer", &problem.to_lowercase(), "start a new run to change it"))
    }

    /// What a resumed run may not take over as it was, because its settings were changed since.
    pub(super) fn adapt(&self, state: &mut TrainState, before: &Config) -> Result<(), ConfigError> {
        let cut = |config: &Config| {
            let training = &config.training;
            let sizes = (training.batch_size, training.gradient_accumulation, training.limit_batches);
            (sizes, config.dataloader.drop_last, config.data.sampler)
        };
        if cut(before) != cut(&self.config) && state.batches_done > 0 {
            let problem = "the run stands in the middle of an epoch, whose batches cannot be cut anew; batch_size, \
                           gradient_accumulation, limit_batches, dataloader.drop_last and data.sampler must stay";
            let hint = "resume without the change, and make it after the epoch";
            return Err(unresumable("training", problem, hint));
        }
        // A size that held says nothing of other clips, networks or devices.
        let shape = |config: &Config| {
            let data = (config.data.max_frames, config.data.frames_per_epoch, config.data.frame_size);
            (data, config.training.batch_size, config.model.clone(), config.gpu.clone())
        };
        if shape(before) != shape(&self.config) {
            let fresh = TrainState::new(state.scaler.clone(), self.config.training.batch_size.clips());
            (state.train_guard, state.evaluate_guard) = (fresh.train_guard, fresh.evaluate_guard);
        }
        let scaling = self.placement.format == Format::Fp16;
        if state.scaler.is_enabled() != scaling {
            state.scaler = LossScaler::new(scaling);
        }
        Ok(())
    }
}

/// Unreadable videos may have taken the last one of a class.
pub(super) fn check_splits(manifest: &Manifest) -> Result<(), DataError> {
    for split in [Split::Train, Split::Val] {
        for label in [Label::Real, Label::Fake] {
            if manifest.count(split, label) == 0 {
                let (kind, side) = (format!("{label:?}").to_lowercase(), format!("{split:?}").to_lowercase());
                let skipped = manifest.skipped.len();
                let example = manifest
                    .skipped
                    .first()
                    .map_or("-".into(), |video| format!("{}: {}", manifest.name(video.set, &video.path), video.reason));
                let problem = format!(
                    "no {kind} video of the {side} split can be used ({skipped} videos were skipped, for instance {example})"
                );
                let hint = "look at why they were skipped, or add videos".into();
                return Err(DataError::Unusable { root: manifest.root().to_owned(), problem, hint });
            }
        }
    }
    Ok(())
}

pub(super) fn make_absolute(data: &mut DataConfig) {
    for root in data.root.0.iter_mut().chain(&mut data.test_roots.0) {
        *root = std::path::absolute(&*root).unwrap_or_default();
    }
}

fn unresumable(key: &str, problem: &str, hint: &str) -> ConfigError {
    ConfigError { place: "resumed run".into(), key: key.into(), problem: problem.into(), hint: Some(hint.into()) }
}

/// The split of a run is made once; other settings of it would do nothing.
fn check_same_split(before: &Config, now: &Config) -> Result<(), ConfigError> {
    let split = |config: &Config| {
        let data = &config.data;
        (config.seed, data.val_split.to_bits(), data.test_split.to_bits(), data.group_by)
    };
    if split(before) == split(now) {
        return Ok(());
    }
    let problem = "a run keeps its split and its seed: seed, val_split, test_split and group_by must stay";
    Err(unresumable("data", problem, "start a new run to change them"))
}

fn check_same_first_weights(before: &Config, now: &Config) -> Result<(), ConfigError> {
    if before.model.pretrained == now.model.pretrained {
        return Ok(());
    }
    let hint = "leave it as it was, or start a new run from other weights";
    Err(unresumable("model.pretrained", "a resumed run has its weights already", hint))
}
