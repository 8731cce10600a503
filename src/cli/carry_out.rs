//! Carries out a plan: videos made ready, training, the tests at the end, the report.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::Interrupted;
use super::pipeline::{Clips, NamedSet, OWN_TEST, decide_faces, extract, stop_flag, test_sets};
use super::plan::{Plan, check_splits};
use super::relief::{limit_device_memory, memory_manager};
use crate::data::{DataError, Loader, Split, unusable};
use crate::evaluate::EvaluateError;
use crate::files;
use crate::memory::{self, DeviceGauge, Guard, Ladder, MemoryManager, Reason};
use crate::metrics::Metrics;
use crate::model::Detector;
use crate::optim::{AdamW, LossScaler};
use crate::report::{
    CrossTest, DataSummary, FaceSummary, MemorySummary, Report, RunFolder, RunLog, Status, Throughput, Versions,
};
use crate::torch::{self, Format};
use crate::train::{Checkpoint, Checkpoints, Outcome, Stepper, TrainError, TrainState, Trainer};

/// How training ended, and the metrics of each test set that was reached.
type Tested = (Outcome, Vec<(String, Metrics)>);

impl Plan {
    pub fn carry_out(mut self) -> Result<()> {
        let stop = stop_flag()?;
        tracing::info!("device: {}", self.placement.reason);
        limit_device_memory(&self.config.gpu, self.placement.device)?;
        // First what takes seconds: a network that cannot be built or loaded should not wait for thousands of videos.
        let learner = self.learner()?;
        if self.resumed.is_none() {
            decide_faces(&self.config, &mut self.manifest, &stop)?;
        }
        let clips = Clips::new(&self.config, &self.manifest, false)?;
        let folder = match &self.resumed {
            Some((folder, _)) => {
                self.check_still_there(&self.extract(&clips, &stop)?)?;
                self.write_config(folder)?;
                folder.clone()
            }
            None => self.make_folder(&clips, &stop)?,
        };
        let loader = Rc::new(clips.loader());
        let memory = memory_manager(&self.config.gpu, self.placement.device, &clips.source, &loader);
        let mut trainer = self.trainer(learner, &folder, &loader, &memory, &stop)?;
        tracing::info!("run folder: {}", folder.path().display());

        let result = train_and_test(&mut trainer, &test_sets(&self.manifest));
        let state = trainer.state;
        self.manifest.mark_unusable(state.skipped.iter().cloned());
        let report = self.report(&folder, &clips, &state, &memory, &result);
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
    fn make_folder(&mut self, clips: &Clips, stop: &AtomicBool) -> Result<RunFolder> {
        let output = &self.config.output.directory;
        let folder = RunFolder::create(output, &self.config.experiment.name).with_context(|| {
            format!(
                "{}: the run's folder cannot be made\n  hint: allow writing there, or choose another --output",
                output.display()
            )
        })?;
        let mut fill = || -> Result<()> {
            let unusable = self.extract(clips, stop)?;
            self.manifest.mark_unusable(unusable);
            self.manifest.mend_splits(&self.config.data, self.config.seed);
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

    /// Reads what the cache has room for and looks at the rest; the test videos come last. Gives back the unusable ones.
    fn extract(&self, clips: &Clips, stop: &AtomicBool) -> Result<Vec<(usize, String)>> {
        let splits = [Split::Train, Split::Val, Split::Test, Split::CrossTest];
        let videos = splits.map(|split| self.manifest.indices(split)).concat();
        let threads = self.config.dataloader.num_workers.max(1);
        Ok(unusable(extract(clips, &self.manifest, &videos, threads, stop)?))
    }

    /// A resumed run keeps its list of videos, so that it goes on with the same batches; but some must be left.
    fn check_still_there(&self, unusable: &[(usize, String)]) -> Result<(), DataError> {
        let mut left = self.manifest.clone();
        left.mark_unusable(unusable.iter().cloned());
        check_splits(&left)
    }

    /// Network, optimizer and state: new ones, or those of the checkpoint.
    fn learner(&self) -> Result<(Detector, AdamW, TrainState)> {
        let detector = self.detector()?;
        if self.resumed.is_none() {
            self.fill_backbone(&detector)?;
        }
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
                TrainState::new(scaler, self.config.training.batch_size.clips())
            }
        };
        Ok((detector, optimizer, state))
    }

    fn trainer<'a>(
        &'a self,
        (detector, optimizer, state): (Detector, AdamW, TrainState),
        folder: &RunFolder,
        loader: &'a Loader,
        memory: &Rc<MemoryManager>,
        stop: &'a AtomicBool,
    ) -> Result<Trainer<'a>> {
        let config = &self.config;
        let device = detector.device();
        let guard = |phase, ladder| {
            let keys = &config.gpu.memory_management;
            Guard::new(phase, ladder, Box::new(DeviceGauge(device)), keys.oom_retry, keys.grow_after)
        };
        let train_guard = guard("train", Ladder::training(config, device.is_cuda())).resume(&state.train_guard);
        let evaluate_ladder = Ladder::evaluation(config, device.is_cuda());
        let evaluate_guard = guard("evaluate", evaluate_ladder).resume(&state.evaluate_guard);
        let relief = memory.clone();
        let relieve = Box::new(move || {
            relief.clean(Reason::OutOfMemory);
        });
        let stepper = Stepper::new(config, detector, optimizer, state.scaler.clone(), train_guard, relieve)
            .context("there is no memory to begin with")?;
        Ok(Trainer {
            config: &self.config,
            manifest: &self.manifest,
            train_videos: self.manifest.members(Split::Train),
            usable_videos: self.manifest.indices(Split::Train).into_iter().collect(),
            val_videos: self.manifest.indices(Split::Val),
            loader,
            memory: memory.clone(),
            stop,
            stepper,
            evaluate_guard,
            log: RunLog::open(&folder.log(), state.log_bytes).with_context(|| cannot_write(&folder.log()))?,
            folder: folder.clone(),
            state,
        })
    }

    /// Absent where no faces are cut out.
    fn face_summary(&self, clips: &Clips) -> Option<FaceSummary> {
        if self.manifest.sets.iter().all(|set| !set.crop_faces) {
            return None;
        }
        let missed = clips.misses.videos();
        let mut missed_by_method = BTreeMap::new();
        for video in &missed {
            let record = &self.manifest.videos[*video];
            let method = record.method.clone().unwrap_or_else(|| format!("{:?}", record.label).to_lowercase());
            *missed_by_method.entry(method).or_insert(0) += 1;
        }
        let missed_videos = missed.iter().map(|video| self.manifest.video_name(*video)).collect();
        Some(FaceSummary { missed: missed.len(), missed_by_method, missed_videos })
    }

    fn report(
        &self,
        folder: &RunFolder,
        clips: &Clips,
        state: &TrainState,
        memory: &MemoryManager,
        result: &Result<Tested>,
    ) -> Report {
        let status = match result {
            Ok((Outcome::Completed, _)) => Status::Completed,
            Ok((Outcome::Interrupted, _)) => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        let tested = result.as_ref().map_or(&[][..], |(_, tested)| tested.as_slice());
        let own = |(name, _): &&(String, Metrics)| name == OWN_TEST;
        let cross = tested.iter().filter(|set| !own(set));
        let cache = clips.source.cache().stats();
        let history = memory.history();
        let train_secs: f64 = state.history.iter().map(|epoch| epoch.seconds).sum();
        let waited_secs: f64 = state.history.iter().map(|epoch| epoch.seconds * epoch.data_wait_share).sum();
        let learned: usize = state.history.iter().map(|epoch| epoch.train_clips).sum();
        Report {
            run: folder.path().display().to_string(),
            status,
            error: result.as_ref().err().map(|error| format!("{error:#}")),
            epochs: state.epoch,
            steps: state.step,
            best_epoch: state.best.as_ref().map(|best| best.epoch),
            seconds: state.seconds,
            validation: state.best.as_ref().map(|best| best.validation.clone()),
            test: tested.iter().find(own).map(|(_, metrics)| metrics.clone()),
            cross_tests: cross.map(|(name, test)| CrossTest { name: name.clone(), test: test.clone() }).collect(),
            memory: MemorySummary {
                oom_events: state.oom_events,
                cleanups: state.cleanups.times,
                cleanup_freed_bytes: state.cleanups.freed_bytes,
                cleanup_ms: state.cleanups.ms,
                host_used_peak_bytes: history.host.peak_bytes,
                host_used_mean_bytes: history.host.mean_bytes as u64,
                times_grown: state.times_grown,
                micro_batch_final: state.train_guard.cut.micro_batch,
                chunk_frames_final: state.train_guard.cut.chunk_frames,
                moved_to_cpu: state.train_guard.cut.on_cpu,
                rss_peak_bytes: memory::process_peak_rss_bytes(),
                gpu_peak_bytes: state.gpu_peak_bytes,
                gpu_reserved_peak_bytes: state.gpu_reserved_peak_bytes,
            },
            data: DataSummary {
                videos: self.manifest.videos.len(),
                skipped: self.manifest.skipped.len(),
                skipped_videos: self.manifest.skipped.clone(),
                cache_hits: cache.hits,
                cache_disk_hits: cache.disk_hits,
                cache_misses: cache.misses,
                cache_bypassed: cache.bypassed,
                cache_damaged: cache.damaged,
                cache_write_failures: cache.write_failures,
                cache_refused: cache.refused,
                faces: self.face_summary(clips),
            },
            throughput: Throughput {
                clips_per_sec: (train_secs > 0.0).then(|| learned as f64 / train_secs),
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

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written\n  hint: free some space, or allow writing there", path.display())
}

/// Trains, then looks at each test set once, with the weights of the best epoch.
fn train_and_test(trainer: &mut Trainer, sets: &[NamedSet]) -> Result<Tested> {
    let mut tested = Vec::new();
    if trainer.fit()? == Outcome::Interrupted {
        return Ok((Outcome::Interrupted, tested));
    }
    if !sets.is_empty() {
        let best = Checkpoints::of_run(trainer.folder.path()).path("best");
        Checkpoint::open(&best)?.load_weights(trainer.stepper.detector.parameters())?;
    }
    for (name, videos) in sets {
        match trainer.evaluate(name, videos) {
            Ok(evaluation) => tested.push((name.clone(), evaluation.metrics())),
            Err(TrainError::Evaluate(EvaluateError::Interrupted)) => return Ok((Outcome::Interrupted, tested)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((Outcome::Completed, tested))
}
