//! A training run from its plan to its report: what is to be trained on what, checked first, then carried out.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::Interrupted;
use super::pipeline::{clip_source, loader, stop_flag};
use crate::config::{self, Config, ConfigError, DataConfig};
use crate::data::{ClipSource, ClipSpec, DataError, FrameCache, Label, Loader, Manifest, Split, prepare};
use crate::evaluate::EvaluateError;
use crate::files;
use crate::memory::{self, Guard};
use crate::metrics::Metrics;
use crate::model::{Detector, Placement};
use crate::optim::{AdamW, LossScaler};
use crate::report::{DataSummary, MemorySummary, Report, RunFolder, RunLog, Status, Throughput, Versions};
use crate::torch::{self, Format};
use crate::train::{Checkpoint, Checkpoints, Outcome, Stepper, TrainError, TrainState, Trainer};

/// What is to be trained on what; nothing is written yet.
pub(super) struct Plan {
    pub config: Config,
    manifest: Manifest,
    placement: Placement,
    /// The run to go on with and its last checkpoint.
    resumed: Option<(RunFolder, Checkpoint)>,
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
        let mut manifest = Manifest::scan(&config.data)?;
        manifest.assign_splits(&config.data, config.seed)?;
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
        make_absolute(&mut config.data);
        let mut manifest = Manifest::load(&folder.manifest())?;
        manifest.move_to(&[config.data.root.0.as_slice(), &config.data.test_roots.0].concat())?;
        let placement = Placement::decide(&config.gpu)?;
        Ok(Self { config, manifest, placement, resumed: Some((folder, checkpoint)) })
    }

    pub fn describe(&self) -> Result<()> {
        let detector = self.detector()?;
        for set in &self.manifest.sets {
            writeln!(io::stdout(), "data       {}", set.root.display())?;
        }
        for (name, split) in [("train", Split::Train), ("validation", Split::Val), ("test", Split::Test)] {
            let count = |label| self.manifest.count(split, label);
            writeln!(io::stdout(), "{name:10} {} real and {} fake videos", count(Label::Real), count(Label::Fake))?;
        }
        writeln!(io::stdout(), "device     {}", self.placement.reason)?;
        writeln!(io::stdout(), "network    {} parameters to train", detector.parameters().trainable_count())?;
        let training = &self.config.training;
        let effective = training.batch_size * training.gradient_accumulation;
        let batches = self.manifest.indices(Split::Train).len().div_ceil(training.batch_size);
        let steps = batches.div_ceil(training.gradient_accumulation);
        writeln!(io::stdout(), "training   {} epochs of {steps} steps, {effective} clips each", training.epochs)?;
        writeln!(io::stdout(), "nothing was written: this was a dry run")?;
        Ok(())
    }

    fn detector(&self) -> Result<Detector> {
        tch::manual_seed(self.config.seed as i64);
        let Placement { device, format, .. } = self.placement;
        Detector::new(&self.config.model, device, format, self.config.gpu.channels_last)
            .context("the network cannot be built")
    }

    pub fn carry_out(mut self) -> Result<()> {
        let stop = stop_flag()?;
        tracing::info!("device: {}", self.placement.reason);
        // First what takes seconds: a network that cannot be built or loaded should not wait for thousands of videos.
        let learner = self.learner()?;
        let source = clip_source(&self.config, &self.manifest);
        let folder = match &self.resumed {
            Some((folder, _)) => {
                self.check_still_there(&self.extract(&source, &stop)?)?;
                self.write_config(folder)?;
                folder.clone()
            }
            None => self.make_folder(&source, &stop)?,
        };
        let loader = loader(&self.config, source.clone());
        let mut trainer = self.trainer(learner, &folder, &source, &loader, &stop)?;
        tracing::info!("run folder: {}", folder.path().display());

        let result = train_and_test(&mut trainer, &self.manifest.indices(Split::Test));
        let state = trainer.state;
        for (video, reason) in &state.skipped {
            self.manifest.mark_unusable(*video, reason);
        }
        let report = self.report(&folder, &source, &state, &result);
        let saved = report.save(&folder.report());
        let listed = self.manifest.save(&folder.manifest());
        // Where training failed, its own error says more than that these could not be written either.
        let (outcome, _) = result?;
        saved.with_context(|| cannot_write(&folder.report()))?;
        listed?;
        let printed = writeln!(io::stdout(), "{report}");
        if outcome == Outcome::Interrupted {
            let hint = format!("a checkpoint is written; go on with: dfdetect train --resume {}", report.run);
            return Err(Interrupted(Some(hint)).into());
        }
        Ok(printed?)
    }

    /// The folder of a new run, with what is known before training in it. Nothing stays where that fails.
    fn make_folder(&mut self, source: &ClipSource, stop: &AtomicBool) -> Result<RunFolder> {
        let output = &self.config.output.directory;
        let folder = RunFolder::create(output, &self.config.experiment.name).with_context(|| {
            format!(
                "{}: the run's folder cannot be made\n  hint: allow writing there, or choose another --output",
                output.display()
            )
        })?;
        let mut fill = || -> Result<()> {
            for (video, reason) in self.extract(source, stop)? {
                self.manifest.mark_unusable(video, &reason);
            }
            check_splits(&self.manifest)?;
            self.write_config(&folder)?;
            Ok(self.manifest.save(&folder.manifest())?)
        };
        fill().inspect_err(|_| {
            let _ = fs::remove_dir_all(folder.path());
        })?;
        Ok(folder)
    }

    fn write_config(&self, folder: &RunFolder) -> Result<()> {
        let yaml = serde_yaml::to_string(&self.config).context("the configuration cannot be written as YAML")?;
        files::write_whole(&folder.config(), yaml.as_bytes()).with_context(|| cannot_write(&folder.config()))
    }

    /// Decodes what the cache holds and probes the rest; the test videos are only probed. Gives back the unusable ones.
    fn extract(&self, source: &ClipSource, stop: &AtomicBool) -> Result<Vec<(usize, String)>> {
        let threads = self.config.dataloader.num_workers.max(1);
        let mut seen: Vec<_> = [Split::Train, Split::Val].map(|split| self.manifest.indices(split)).concat();
        seen.sort_unstable();
        let mut unusable = prepare(source, &seen, threads, stop);
        let probing = ClipSource::new(&self.manifest, ClipSpec::of(&self.config.data), Arc::new(FrameCache::new(0)));
        unusable.extend(prepare(&probing, &self.manifest.indices(Split::Test), threads, stop));
        if stop.load(Ordering::Relaxed) {
            return Err(Interrupted(None).into());
        }
        for (video, reason) in &unusable {
            tracing::warn!("{} is skipped: {reason}", self.manifest.video_name(*video));
        }
        Ok(unusable)
    }

    /// A resumed run keeps its list of videos, so that it goes on with the same batches; but some must be left.
    fn check_still_there(&self, unusable: &[(usize, String)]) -> Result<(), DataError> {
        let mut left = self.manifest.clone();
        unusable.iter().for_each(|(video, reason)| left.mark_unusable(*video, reason));
        check_splits(&left)
    }

    /// Network, optimizer and state: new ones, or those of the checkpoint.
    fn learner(&self) -> Result<(Detector, AdamW, TrainState)> {
        let detector = self.detector()?;
        let named = detector.parameters().trainable().map(|parameter| (parameter.name.as_str(), &parameter.tensor));
        let mut optimizer =
            AdamW::new(named, self.config.training.weight_decay).context("the optimizer cannot be built")?;
        let state = match &self.resumed {
            Some((_, checkpoint)) => {
                checkpoint.load_weights(detector.parameters())?;
                let mut state = checkpoint.load_training(&mut optimizer)?;
                self.adapt(&mut state, &checkpoint.config)?;
                state
            }
            None => {
                let scaler = LossScaler::new(self.placement.format == Format::Fp16);
                TrainState::new(scaler, self.config.training.batch_size)
            }
        };
        Ok((detector, optimizer, state))
    }

    /// What a resumed run may not take over as it was, because its settings were changed since.
    fn adapt(&self, state: &mut TrainState, before: &Config) -> Result<(), ConfigError> {
        let cut = |config: &Config| {
            let training = &config.training;
            let sizes = (training.batch_size, training.gradient_accumulation, training.limit_batches);
            (sizes, config.dataloader.drop_last)
        };
        if cut(before) != cut(&self.config) && state.batches_done > 0 {
            let problem = "the run stands in the middle of an epoch, whose batches cannot be cut anew; batch_size, \
                           gradient_accumulation, limit_batches and dataloader.drop_last must stay";
            let hint = "resume without the change, and make it after the epoch";
            return Err(unresumable("training", problem, hint));
        }
        // A micro-batch that held says nothing of other sizes, networks or devices.
        let shape = |config: &Config| {
            (config.data.max_frames, config.data.frame_size, config.training.batch_size, config.gpu.clone())
        };
        if shape(before) != shape(&self.config) {
            let batch_size = self.config.training.batch_size;
            (state.micro_batch, state.evaluate_micro_batch) = (batch_size, batch_size);
        }
        let scaling = self.placement.format == Format::Fp16;
        if state.scaler.is_enabled() != scaling {
            state.scaler = LossScaler::new(scaling);
        }
        Ok(())
    }

    fn trainer<'a>(
        &'a self,
        (detector, optimizer, state): (Detector, AdamW, TrainState),
        folder: &RunFolder,
        source: &Arc<ClipSource>,
        loader: &'a Loader,
        stop: &'a AtomicBool,
    ) -> Result<Trainer<'a>> {
        let retry = self.config.gpu.memory_management.oom_retry;
        let cache = source.clone();
        let stepper = Stepper {
            optimizer,
            scaler: state.scaler.clone(),
            guard: Guard::new("train", state.micro_batch, retry),
            clip_norm: self.config.training.gradient_clip_norm,
            spec: ClipSpec::of(&self.config.data),
            pin_memory: self.config.dataloader.pin_memory,
            relieve: match detector.device().is_cuda() {
                // Frames in host memory do not crowd the device.
                true => Box::new(|| {}),
                false => Box::new(move || cache.cache().shrink_to(cache.cache().stats().bytes / 2)),
            },
            detector,
        };
        Ok(Trainer {
            config: &self.config,
            manifest: &self.manifest,
            train_videos: self.manifest.members(Split::Train),
            usable_videos: self.manifest.indices(Split::Train).into_iter().collect(),
            val_videos: self.manifest.indices(Split::Val),
            loader,
            stop,
            stepper,
            evaluate_guard: Guard::new("evaluate", state.evaluate_micro_batch, retry),
            log: RunLog::open(&folder.log(), state.log_bytes).with_context(|| cannot_write(&folder.log()))?,
            folder: folder.clone(),
            state,
        })
    }

    fn report(
        &self,
        folder: &RunFolder,
        source: &ClipSource,
        state: &TrainState,
        result: &Result<(Outcome, Option<Metrics>)>,
    ) -> Report {
        let (status, test) = match result {
            Ok((Outcome::Completed, test)) => (Status::Completed, test.clone()),
            Ok((Outcome::Interrupted, _)) => (Status::Interrupted, None),
            Err(_) => (Status::Failed, None),
        };
        let cache = source.cache().stats();
        let train_secs: f64 = state.history.iter().map(|epoch| epoch.seconds).sum();
        let waited_secs: f64 = state.history.iter().map(|epoch| epoch.seconds * epoch.data_wait_share).sum();
        let clips: usize = state.history.iter().map(|epoch| epoch.train_clips).sum();
        Report {
            run: folder.path().display().to_string(),
            status,
            error: result.as_ref().err().map(|error| format!("{error:#}")),
            epochs: state.epoch,
            steps: state.step,
            best_epoch: state.best.as_ref().map(|best| best.epoch),
            seconds: state.seconds,
            validation: state.best.as_ref().map(|best| best.validation.clone()),
            test,
            memory: MemorySummary {
                oom_events: state.oom_events,
                cleanups: state.cleanups,
                micro_batch_final: state.micro_batch,
                rss_peak_bytes: memory::process_peak_rss_bytes(),
                gpu_peak_bytes: torch::peak_allocated_bytes(self.placement.device),
            },
            data: DataSummary {
                videos: self.manifest.videos.len(),
                skipped: self.manifest.skipped.len(),
                skipped_videos: self.manifest.skipped.clone(),
                cache_hits: cache.hits,
                cache_misses: cache.misses,
            },
            throughput: Throughput {
                clips_per_sec: (train_secs > 0.0).then(|| clips as f64 / train_secs),
                data_wait_share: (train_secs > 0.0).then(|| waited_secs / train_secs),
            },
            versions: Versions {
                dfdetect: env!("CARGO_PKG_VERSION").into(),
                libtorch: torch::version(),
                ffmpeg: crate::data::decode::libavcodec_version(),
            },
        }
    }
}

/// Unreadable videos may have taken the last one of a class.
fn check_splits(manifest: &Manifest) -> Result<(), DataError> {
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

fn make_absolute(data: &mut DataConfig) {
    for root in data.root.0.iter_mut().chain(&mut data.test_roots.0) {
        *root = std::path::absolute(&*root).unwrap_or_default();
    }
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written\n  hint: free some space, or allow writing there", path.display())
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

/// Trains, then looks at the test videos once, with the weights of the best epoch.
fn train_and_test(trainer: &mut Trainer, test_videos: &[usize]) -> Result<(Outcome, Option<Metrics>)> {
    if trainer.fit()? == Outcome::Interrupted {
        return Ok((Outcome::Interrupted, None));
    }
    if test_videos.is_empty() {
        return Ok((Outcome::Completed, None));
    }
    let best = Checkpoints::of_run(trainer.folder.path()).path("best");
    Checkpoint::open(&best)?.load_weights(trainer.stepper.detector.parameters())?;
    match trainer.evaluate("test", test_videos) {
        Ok(evaluation) => Ok((Outcome::Completed, Some(evaluation.metrics()))),
        Err(TrainError::Evaluate(EvaluateError::Interrupted)) => Ok((Outcome::Interrupted, None)),
        Err(error) => Err(error.into()),
    }
}
