//! Carries out a plan: videos made ready, training, the tests at the end, the report.

use std::fs;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::assess::{Scored, assess, write_evaluation};
use super::pipeline::{Clips, NamedSet, decide_faces, extract, stop_flag, test_sets};
use super::plan::{Plan, check_splits};
use super::relief::{limit_device_memory, memory_manager};
use super::{Interrupted, cannot_write};
use crate::clip::{ClipSource, unusable};
use crate::dataset::{DataError, Label, Sampler, Split, mend_splits};
use crate::evaluate::EvaluateError;
use crate::files;
use crate::loader::Loader;
use crate::memory::{DeviceGauge, Guard, MemoryManager, MicroBatchSizes, Reason};
use crate::optim::{Loss, LossScaler};
use crate::report::{Assessments, EventFile, LivePage, Log, RunFolder, RunLog, loss_line};
use crate::torch::Format;
use crate::train::{
    Checkpoint, Checkpoints, FitEnd, Learner, ModelState, Recorder, Stepper, TrainData, TrainError, TrainState, Trainer,
};

/// How training ended, and what came out of the test sets; nothing where it was interrupted before.
pub(super) type Tested = (FitEnd, Option<Assessments>);

impl Plan {
    pub fn carry_out(mut self) -> Result<()> {
        let stop = stop_flag()?;
        tracing::info!("device: {}", self.placement.reason);
        limit_device_memory(&self.config.gpu, self.placement.device)?;
        // First what takes seconds: a network that cannot be built or loaded should not wait for thousands of videos.
        let learner = self.learner(&stop)?;
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
        let provenance = self.provenance();
        trainer.recorder.start(trainer.model.state.step, &provenance).with_context(|| cannot_write(&folder.log()))?;
        trainer.recorder.page.refresh(&folder, &self.config);
        tracing::info!("run folder: {}", folder.path().display());

        trainer.model.state.shows_faces = self.manifest.shows_faces();
        let result = train_and_test(&mut trainer, &test_sets(&self.manifest), &clips.source);
        let (state, mut page) = (trainer.model.state, trainer.recorder.page);
        self.manifest.mark_unusable(state.skipped.iter().cloned());
        let report = self.report(&folder, &clips, &state, &memory, provenance, &result);
        let saved = report.save(&folder.report());
        let listed = self.manifest.save(&folder.manifest());
        page.refresh(&folder, &self.config);
        // Where training failed, its own error says more than that these could not be written either.
        let (outcome, _) = result?;
        saved.with_context(|| cannot_write(&folder.report()))?;
        listed?;
        // Where the log cannot be read, the page has said so.
        let losses = Log::read(&folder.log()).ok().and_then(|log| loss_line(&log));
        let losses = losses.map_or(String::new(), |line| line + "\n");
        let printed = writeln!(io::stdout(), "{losses}{report}");
        if outcome == FitEnd::Interrupted {
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
            mend_splits(&mut self.manifest, &self.config.data, self.config.seed);
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
        Ok(unusable(&extract(clips, &self.manifest, &videos, threads, stop)?))
    }

    /// A resumed run keeps its list of videos, so that it goes on with the same batches; but some must be left.
    fn check_still_there(&self, unusable: &[(usize, String)]) -> Result<(), DataError> {
        let mut left = self.manifest.clone();
        left.mark_unusable(unusable.iter().cloned());
        check_splits(&left)
    }

    /// Network, average, optimizer and state: new ones, or those of the checkpoint.
    fn learner(&self, stop: &AtomicBool) -> Result<(Learner, TrainState)> {
        let training = &self.config.training;
        let average = training.ema_decay.map(|_| self.detector()).transpose()?;
        let detector = self.detector()?;
        if self.resumed.is_none() {
            self.fill_backbone(&detector, stop)?;
        }
        let mut learner = Learner::new(training, detector, average).context("the optimizer cannot be built")?;
        let state = match &self.resumed {
            Some((_, checkpoint)) => {
                self.check_same_optimizer(&checkpoint.config)?;
                let mut state = checkpoint.load_training(&mut learner)?;
                self.adapt(&mut state, &checkpoint.config)?;
                state
            }
            None => {
                let scaler = LossScaler::new(self.placement.format == Format::Fp16);
                TrainState::new(scaler, training.batch_size.clips())
            }
        };
        Ok((learner, state))
    }

    fn loss(&self, sampler: &Sampler) -> Loss {
        let (mut real, mut fake) = (0, 0);
        for video in sampler.plan(self.config.seed, 0, 1, false).concat() {
            match self.manifest.videos[video].label {
                Label::Real => real += 1,
                Label::Fake => fake += 1,
            }
        }
        Loss::new(&self.config.loss, [real, fake])
    }

    fn open_log(&self, folder: &RunFolder, state: &TrainState) -> Result<RunLog> {
        let log = RunLog::open(&folder.log(), state.log_bytes).with_context(|| cannot_write(&folder.log()))?;
        if !self.config.output.tensorboard {
            return Ok(log);
        }
        let events = EventFile::open(&folder.events(), state.event_bytes);
        Ok(log.with_events(events.with_context(|| cannot_write(&folder.events()))?))
    }

    fn trainer<'a>(
        &'a self,
        (learner, state): (Learner, TrainState),
        folder: &RunFolder,
        loader: &'a Loader,
        memory: &Rc<MemoryManager>,
        stop: &'a AtomicBool,
    ) -> Result<Trainer<'a>> {
        let config = &self.config;
        let sampler = Sampler::new(config.data.sampler, &self.manifest)?;
        tracing::debug!("sampler: {}", sampler.describe());
        let device = learner.detector.device();
        let guard = |phase, ladder| {
            let keys = &config.gpu.memory_management;
            Guard::new(phase, ladder, Box::new(DeviceGauge(device)), keys.oom_retry, keys.grow_after)
        };
        let train_guard =
            guard("train", MicroBatchSizes::training(config, device.is_cuda())).resume(&state.train_guard);
        let evaluate_ladder = MicroBatchSizes::evaluation(config, device.is_cuda());
        let evaluate_guard = guard("evaluate", evaluate_ladder).resume(&state.evaluate_guard);
        let relief = memory.clone();
        let relieve = Box::new(move || {
            relief.clean(Reason::OutOfMemory);
        });
        let stepper = Stepper::new(config, learner, self.loss(&sampler), state.scaler.clone(), train_guard, relieve)
            .context("there is no memory to begin with")?;
        let data = TrainData::new(config, &self.manifest, sampler, loader);
        let log = self.open_log(folder, &state)?;
        let recorder =
            Recorder { config, manifest: &self.manifest, folder: folder.clone(), log, page: LivePage::default() };
        let model = ModelState { stepper, evaluate_guard, state };
        Ok(Trainer::new(config, data, model, recorder, memory.clone(), stop))
    }
}

/// Trains, then looks at each test set once, with the weights of the best epoch or, where those are not wanted back, of
/// the last.
fn train_and_test(trainer: &mut Trainer, sets: &[NamedSet], source: &ClipSource) -> Result<Tested> {
    if trainer.fit()? == FitEnd::Interrupted {
        return Ok((FitEnd::Interrupted, None));
    }
    if sets.is_empty() {
        return Ok((FitEnd::Completed, None));
    }
    let tested = Checkpoints::of_run(trainer.recorder.folder.path()).for_testing(trainer.config);
    let checkpoint = Checkpoint::open(&tested)?;
    checkpoint.load_eval_model(trainer.model.stepper.learner.eval_model().parameters())?;
    let temperature = checkpoint.state()?.temperature();
    let mut evaluations = Vec::new();
    for NamedSet { name, videos, .. } in sets {
        match trainer.evaluate(name, videos) {
            Ok(evaluation) => evaluations.push(evaluation),
            Err(TrainError::Evaluate(EvaluateError::Interrupted)) => return Ok((FitEnd::Interrupted, None)),
            Err(error) => return Err(error.into()),
        }
    }
    let manifest = trainer.recorder.manifest;
    let each = sets.iter().zip(&evaluations);
    let scored: Vec<_> = each.map(|(set, evaluation)| Scored { set, manifest, evaluation, temperature }).collect();
    let folder = trainer.recorder.folder.path();
    let assessments = assess(&tested, &scored, source, Some(folder))?;
    write_evaluation(folder, &assessments)?;
    Ok((FitEnd::Completed, Some(assessments)))
}
