//! Training from a prepared run to the report: videos made ready, the fit loop, the tests at the end. Only puts the
//! parts together in this order; epochs and steps are in `train`.

use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use super::batch_size::BatchSizeCheck;
use super::clips::Clips;
use super::error::{RunError, cannot_write};
use super::face_decision::decide_faces;
use super::learner::build_learner;
use super::memory_hooks::{limit_device_memory, memory_manager};
use super::oom_snapshots::{record_allocator, save_snapshot};
use super::prepare::PreparedRun;
use super::run_folder::open_folder;
use super::run_report::{EndedRun, TrainingResult, provenance};
use super::scored_set::{ScoredSet, evaluation_report, write_evaluation};
use super::test_sets::{VideoSet, test_sets};
use crate::clip::ClipSource;
use crate::dataset::{Label, Sampler, Split};
use crate::evaluate::EvaluateError;
use crate::loader::Loader;
use crate::memory::{DeviceGauge, Guard, MemoryManager, MicroBatchSizes, Reason};
use crate::optim::Loss;
use crate::parallel;
use crate::report::{EventFile, LivePage, Report, RunFolder, RunLog};
use crate::torch;
use crate::train::{
    Checkpoint, Checkpoints, FitEnd, Learner, ModelState, Recorder, Stepper, TrainData, TrainError, TrainState, Trainer,
};

/// A run whose training ended without a failure.
#[derive(Debug)]
pub struct FinishedRun {
    /// Whether it was interrupted; then a checkpoint is written, and nothing was tested.
    pub outcome: FitEnd,
    /// Where everything is.
    pub folder: RunFolder,
    /// What its `report.json` says.
    pub report: Report,
}

/// Trains a prepared run, tests it, and leaves its report in its folder. Where `stop` is set, it ends after the current
/// step with a checkpoint. A batch size that is still `auto` is the predicted one.
///
/// # Errors
/// Whatever keeps the run from its end; what the folder has by then, a report among it, stays.
pub fn train(mut run: PreparedRun, stop: &AtomicBool) -> Result<FinishedRun, RunError> {
    run.choose_batch_size(BatchSizeCheck::Prediction)?;
    tracing::info!("device: {}", run.placement.reason);
    limit_device_memory(&run.config.gpu, run.placement.device)?;
    record_allocator(&run.config.gpu.memory_management, run.placement.device);
    // First what takes seconds: a network that cannot be built or loaded should not wait for thousands of videos.
    let learner = build_learner(&run, stop)?;
    if run.resumed.is_none() {
        decide_faces(&run.config, &mut run.manifest, stop)?;
    }
    let all: Vec<_> = (0..run.manifest.videos.len()).collect();
    let clips = Clips::new(&run.config, &run.manifest, &all, false, stop)?;
    let folder = open_folder(&mut run, &clips, stop)?;
    let loader = Rc::new(clips.loader());
    let memory = memory_manager(&run.config.gpu, run.placement.device, &clips.source, &loader);
    let mut trainer = build_trainer(&run, learner, &folder, &loader, &memory, stop)?;
    let provenance = provenance(&run, &trainer.model.state);
    trainer.recorder.start(trainer.model.state.step, &provenance).map_err(cannot_write(&folder.log()))?;
    trainer.recorder.page.refresh(&folder, &run.config);
    tracing::info!("run folder: {}", folder.path().display());

    trainer.model.state.shows_faces = run.manifest.shows_faces();
    trainer.model.state.trained_methods = run.manifest.methods(Split::Train);
    let result = train_and_test(&mut trainer, &test_sets(&run.manifest), &clips.source);
    let (state, mut page) = into_state_and_page(trainer);
    run.manifest.mark_unusable(state.skipped.iter().cloned());
    let ended = EndedRun {
        run: &run,
        folder: &folder,
        clips: &clips,
        state: &state,
        memory: &memory,
        provenance,
        result: &result,
    };
    let report = ended.report();
    let saved = report.save(&folder.report());
    let listed = run.manifest.save(&folder.manifest());
    page.refresh(&folder, &run.config);
    // Where training failed, its own error says more than that these could not be written either.
    let (outcome, _) = result?;
    saved.map_err(cannot_write(&folder.report()))?;
    listed?;
    Ok(FinishedRun { outcome, folder, report })
}

/// What the report needs of a trainer; the rest is dropped, with what it borrows of the run.
fn into_state_and_page(trainer: Trainer) -> (TrainState, LivePage) {
    (trainer.model.state, trainer.recorder.page)
}

/// Puts a trainer together.
fn build_trainer<'a>(
    run: &'a PreparedRun,
    (learner, state): (Learner, TrainState),
    folder: &RunFolder,
    loader: &'a Loader,
    memory: &Rc<MemoryManager>,
    stop: &'a AtomicBool,
) -> Result<Trainer<'a>, RunError> {
    let config = &run.config;
    let sampler = Sampler::new(config.data.sampler, &run.manifest)?.repeated(config.data.clips_per_video);
    tracing::debug!("sampler: {}", sampler.describe());
    let device = learner.detector.device();
    torch::detect_anomaly(config.training.detect_anomaly).map_err(RunError::torch("training.detect_anomaly"))?;
    let guard = |phase, micro_batch_sizes| {
        let keys = &config.gpu.memory_management;
        let gauge = Box::new(DeviceGauge::new(device));
        let guard = Guard::new(phase, micro_batch_sizes, gauge, keys.oom_retry, keys.grow_after)
            .with_pause(|pause| parallel::wait(pause, stop));
        if !keys.snapshot {
            return guard;
        }
        let folder = folder.clone();
        guard.on_gpu_failure(move || save_snapshot(&folder, torch::allocator_snapshot))
    };
    let train_guard = guard("train", MicroBatchSizes::training(config, device.is_cuda())).resume(&state.train_guard);
    let evaluate_sizes = MicroBatchSizes::evaluation(config, device.is_cuda());
    let evaluate_guard = guard("evaluate", evaluate_sizes).resume(&state.evaluate_guard);
    let manager = memory.clone();
    let clean_up = Box::new(move || {
        manager.clean(Reason::OutOfMemory);
    });
    let stepper = Stepper::new(config, learner, loss(run, &sampler), state.scaler.clone(), train_guard, clean_up)
        .map_err(RunError::torch("there is no memory to begin with"))?;
    let data = TrainData::new(config, &run.manifest, sampler, loader);
    let log = open_log(run, folder, &state)?;
    let recorder = Recorder { config, manifest: &run.manifest, folder: folder.clone(), log, page: LivePage::default() };
    let model = ModelState { stepper, evaluate_guard, state };
    Ok(Trainer::new(config, data, model, recorder, memory.clone(), stop))
}

/// The loss, with the classes weighted as the sampler shows them.
fn loss(run: &PreparedRun, sampler: &Sampler) -> Loss {
    let (mut real, mut fake) = (0, 0);
    for video in sampler.plan(run.config.seed, 0, 1, false).concat() {
        match run.manifest.videos[video].label {
            Label::Real => real += 1,
            Label::Fake => fake += 1,
        }
    }
    Loss::new(&run.config.loss, [real, fake])
}

fn open_log(run: &PreparedRun, folder: &RunFolder, state: &TrainState) -> Result<RunLog, RunError> {
    let log = RunLog::open(&folder.log(), state.log_bytes).map_err(cannot_write(&folder.log()))?;
    if !run.config.output.tensorboard {
        return Ok(log);
    }
    let events = EventFile::open(&folder.events(), state.event_bytes);
    Ok(log.with_events(events.map_err(cannot_write(&folder.events()))?))
}

/// Trains, then evaluates each test set once, with the weights of the best epoch or, if so configured, of the last or
/// the mean of several.
fn train_and_test(trainer: &mut Trainer, sets: &[VideoSet], source: &ClipSource) -> TrainingResult {
    if trainer.fit()? == FitEnd::Interrupted {
        return Ok((FitEnd::Interrupted, None));
    }
    if trainer.config.training.average_best > 0 && trainer.average_best()? == FitEnd::Interrupted {
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
    for VideoSet { name, videos, .. } in sets {
        match trainer.evaluate(name, videos) {
            Ok(evaluation) => evaluations.push(evaluation),
            Err(TrainError::Evaluate(EvaluateError::Interrupted)) => return Ok((FitEnd::Interrupted, None)),
            Err(error) => return Err(error.into()),
        }
    }
    let manifest = trainer.recorder.manifest;
    let each = sets.iter().zip(&evaluations);
    let trained_methods = trainer.model.state.trained_methods.as_slice();
    let scored: Vec<_> =
        each.map(|(set, evaluation)| ScoredSet { set, manifest, evaluation, temperature, trained_methods }).collect();
    let folder = trainer.recorder.folder.path();
    let report = evaluation_report(&tested, &scored, Some(source), Some(folder))?;
    write_evaluation(folder, &report)?;
    Ok((FitEnd::Completed, Some(report)))
}
