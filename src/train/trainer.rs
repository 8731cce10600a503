//! The fit loop: epochs of steps, validation, checkpoints, until done, stalled or interrupted.

use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytesize::ByteSize;

use super::checkpoint::{CheckpointError, Checkpoints};
use super::divergence::MAX_BAD_STEPS;
use super::lines::{StartLine, StepLine};
use super::state::TrainState;
use super::step::{StepError, StepReport, Stepper};
use crate::clip::Draw;
use crate::config::Config;
use crate::dataset::{DataError, Manifest, Sampler};
use crate::evaluate::EvaluateError;
use crate::loader::{HostBatch, Loader, Pass};
use crate::memory::{self, Guard, MemoryManager};
use crate::optim::Schedule;
use crate::progress::Bar;
use crate::report::{LivePage, Provenance, RunFolder, RunLog};
use crate::torch;

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs, or validation stopped rising.
    Completed,
    /// The user pressed Ctrl-C; a checkpoint is written.
    Interrupted,
}

/// Why training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Memory, or libtorch otherwise.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Validation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Batches cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint could not be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A log could not be written.
    #[error(
        "the log of the run cannot be written: {0}\n  hint: free some space; `--resume` goes on from the last checkpoint"
    )]
    Log(#[from] io::Error),
    /// Loss or gradients are not finite any more.
    #[error(
        "loss or gradients were not finite for {MAX_BAD_STEPS} steps in a row, the last one step {step}, {history}\n  \
         hint: start a new run with a smaller training.learning_rate, or with gpu.mixed_precision: off"
    )]
    Diverged {
        /// The last such step.
        step: u64,
        /// What was tried before.
        history: &'static str,
    },
}

impl TrainError {
    /// Whether the run ended because memory ran out and nothing helped.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        match self {
            Self::Step(StepError::Guard(error)) | Self::Evaluate(EvaluateError::Guard(error)) => error.ran_out(),
            _ => false,
        }
    }
}

/// How an epoch's steps ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EpochEnd {
    Finished,
    Interrupted,
    /// Too many steps in a row moved no weight.
    Diverged,
}

/// What a run consists of; `fit` drives it.
pub struct Trainer<'a> {
    /// The configuration of the run.
    pub config: &'a Config,
    /// Its videos.
    pub manifest: &'a Manifest,
    /// The order of the training videos, those that cannot be used among them.
    pub sampler: Sampler,
    /// Those of them that can be used.
    pub usable_videos: HashSet<usize>,
    /// Videos that choose the best epoch.
    pub val_videos: Vec<usize>,
    /// Where clips come from.
    pub loader: &'a Loader,
    /// Watches memory and cleans up.
    pub memory: Rc<MemoryManager>,
    /// Set when the user wants to stop.
    pub stop: &'a AtomicBool,
    /// Network, optimizer and guard.
    pub stepper: Stepper,
    /// Cuts validation batches where memory is short.
    pub evaluate_guard: Guard,
    /// Where the run stands.
    pub state: TrainState,
    /// Where it is saved.
    pub folder: RunFolder,
    /// Its `metrics.jsonl`.
    pub log: RunLog,
    /// Its `report.html`.
    pub page: LivePage,
    /// When it was last saved, or began.
    pub saved: Instant,
}

impl Trainer<'_> {
    /// Writes down what this part of the run is made of.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write_start(&mut self, provenance: &Provenance) -> io::Result<()> {
        let time = chrono::Local::now().to_rfc3339();
        self.log.write("start", &StartLine { step: self.state.step, time, provenance })
    }

    /// Trains until the last epoch, until validation stops rising, or until interrupted. The best epoch and the last
    /// state are on the disk when it returns.
    ///
    /// # Errors
    /// See [`TrainError`]; where memory is exhausted, a checkpoint is written first.
    pub fn fit(&mut self) -> Result<Outcome, TrainError> {
        let stopping = &self.config.training.early_stopping;
        if self.state.step == 0 {
            // To go back to from the first epoch, and to go on from where that is cut short.
            self.save(false)?;
        } else {
            // A kill may have come before what the last checkpoint replaced was deleted.
            Checkpoints::of_run(self.folder.path()).tidy(self.config);
        }
        while self.state.epoch < self.config.training.epochs {
            if self.state.patience.is_exhausted(stopping.patience) {
                tracing::info!("validation has not got better for {} epochs: stopping early", stopping.patience);
                break;
            }
            match self.train_epoch()? {
                EpochEnd::Finished => {}
                EpochEnd::Diverged => {
                    self.take_back()?;
                    continue;
                }
                EpochEnd::Interrupted => {
                    self.save(false)?;
                    return Ok(Outcome::Interrupted);
                }
            }
            match self.evaluate("validate", &self.val_videos.clone()) {
                Ok(evaluation) => self.finish_epoch(&evaluation)?,
                Err(TrainError::Evaluate(EvaluateError::Interrupted)) => {
                    self.save(false)?;
                    return Ok(Outcome::Interrupted);
                }
                Err(error) => {
                    if matches!(error, TrainError::Evaluate(_)) {
                        // The epoch is learned; only its validation is missing.
                        self.save(false)?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(Outcome::Completed)
    }

    /// The batches of an epoch follow from seed, epoch and the data set alone: an unusable video leaves a hole where it
    /// would have been, whenever it was found to be unusable.
    fn plan(&self, epoch: u32) -> Vec<Vec<usize>> {
        let (training, loader) = (&self.config.training, &self.config.dataloader);
        let batch_size = training.batch_size.clips();
        let mut plan = self.sampler.plan(self.config.seed, epoch, batch_size, loader.drop_last);
        plan.truncate(training.limit_batches.unwrap_or(usize::MAX));
        plan.iter_mut().for_each(|batch| batch.retain(|video| self.usable_videos.contains(video)));
        plan
    }

    pub(super) fn schedule(&self) -> Schedule {
        let training = &self.config.training;
        let steps_an_epoch = self.plan(0).len().div_ceil(training.gradient_accumulation) as u64;
        Schedule {
            kind: training.scheduler,
            peak: training.learning_rate,
            minimum: training.min_lr,
            warmup_steps: (training.warmup_epochs * steps_an_epoch as f64).round() as u64,
            total_steps: steps_an_epoch * u64::from(training.epochs),
        }
    }

    /// Of step `step`, counted from 0.
    pub(super) fn learning_rate(&self, schedule: &Schedule, step: u64) -> f64 {
        self.state.lr_factor * schedule.at(step, self.state.plateau.factor)
    }

    fn train_epoch(&mut self) -> Result<EpochEnd, TrainError> {
        let plan = self.plan(self.state.epoch);
        let batches = plan.len() as u64;
        let schedule = self.schedule();
        let accumulation = self.config.training.gradient_accumulation;
        let every = self.config.logging.log_interval * accumulation as u64;
        let bar = Bar::new("train", batches, every);
        bar.advance(self.state.batches_done as u64, String::new);
        let draw = Draw { seed: self.config.seed, epoch: self.state.epoch };
        let mut pass = self.loader.pass_from(plan, self.state.batches_done, Some(draw));
        loop {
            let started = Instant::now();
            let group = next_group(&mut pass, accumulation)?;
            if group.is_empty() {
                return Ok(EpochEnd::Finished);
            }
            let wait_secs = started.elapsed().as_secs_f64();
            let lr = self.learning_rate(&schedule, self.state.step);
            self.learn(&group, lr, started, wait_secs)?;
            self.look_at_memory()?;
            self.save_when_due()?;
            bar.advance(group.len() as u64, || self.progress_line());
            if self.state.bad_steps >= MAX_BAD_STEPS {
                return Ok(EpochEnd::Diverged);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(EpochEnd::Interrupted);
            }
        }
    }

    /// One optimizer step on a group of batches, and what there is to write about it.
    fn learn(&mut self, group: &[HostBatch], lr: f64, started: Instant, wait_secs: f64) -> Result<(), TrainError> {
        for batch in group {
            self.note_skipped(&batch.skipped);
        }
        let clips: usize = group.iter().map(|batch| batch.labels.len()).sum();
        if clips > 0 {
            let known = self.stepper.guard.events().len();
            let seed = step_seed(self.config.seed, self.state.step);
            let result = self.stepper.run(group, lr, seed);
            self.log_sizes(known, true)?;
            self.log_cleanups()?;
            let report = match result {
                Ok(report) => report,
                Err(error) => {
                    self.save_what_can_be_saved(&error);
                    return Err(error.into());
                }
            };
            self.note_step(group, &report, lr, started, wait_secs)?;
            if self.state.batches_done == 0 {
                self.show_clips(&group[0])?;
            }
        }
        self.state.batches_done += group.len();
        Ok(())
    }

    fn note_step(
        &mut self,
        group: &[HostBatch],
        report: &StepReport,
        lr: f64,
        started: Instant,
        wait_secs: f64,
    ) -> Result<(), TrainError> {
        let clips = report.gradients.scores.len();
        let seconds = started.elapsed().as_secs_f64();
        self.state.step += 1;
        self.state.seconds += seconds;
        let tally = &mut self.state.tally;
        tally.seconds += seconds;
        tally.wait_secs += wait_secs;
        if report.updated {
            self.state.bad_steps = 0;
            tally.loss_sum += report.gradients.loss * clips as f64;
            tally.scores.extend_from_slice(&report.gradients.scores);
        } else {
            self.note_bad_step(group, report.gradients.loss)?;
        }
        let held = torch::allocator_stats(self.stepper.learner.detector.device());
        self.state.gpu_peak_bytes = self.state.gpu_peak_bytes.max(held.map(|held| held.allocated_peak_bytes));
        self.state.gpu_reserved_peak_bytes =
            self.state.gpu_reserved_peak_bytes.max(held.map(|held| held.reserved_peak_bytes));
        let backbone_lr_scale = self.config.training.backbone_lr_scale;
        let line = StepLine {
            step: self.state.step,
            epoch: self.state.epoch + 1,
            loss: report.gradients.loss,
            lr,
            backbone_lr: (backbone_lr_scale != 1.0).then_some(lr * backbone_lr_scale),
            grad_norm: report.gradients.norm,
            scale: self.stepper.scaler.scale(),
            clips,
            cut: report.cut,
            clips_per_sec: (seconds > 0.0).then(|| clips as f64 / seconds),
            data_wait_ms: (wait_secs * 1000.0) as u64,
            gpu_peak_bytes: self.state.gpu_peak_bytes,
            rss_bytes: memory::process_rss_bytes(),
        };
        Ok(self.log.write("step", &line)?)
    }

    pub(super) fn note_skipped(&mut self, skipped: &[(usize, String)]) {
        for (video, reason) in skipped {
            if self.state.skipped.iter().all(|(known, _)| known != video) {
                tracing::warn!("{} is skipped: {reason}", self.manifest.video_name(*video));
                self.state.skipped.push((*video, reason.clone()));
            }
        }
    }

    fn progress_line(&self) -> String {
        let tally = &self.state.tally;
        let number = |value: Option<f64>, digits: usize| value.map_or("-".into(), |v| format!("{v:.digits$}"));
        let memory = match torch::peak_allocated_bytes(self.stepper.learner.detector.device()) {
            Some(bytes) => format!("GPU {}", ByteSize(bytes)),
            None => memory::process_rss_bytes().map_or(String::new(), |bytes| format!("RSS {}", ByteSize(bytes))),
        };
        format!(
            "epoch {}/{} loss {} auc {} {} clips/s {memory} {}",
            self.state.epoch + 1,
            self.config.training.epochs,
            number(tally.loss(), 4),
            number(tally.auc(), 3),
            number(tally.clips_per_sec(), 1),
            self.stepper.guard.cut(),
        )
    }
}

/// Up to `accumulation` batches: those of one optimizer step.
fn next_group(pass: &mut Pass, accumulation: usize) -> Result<Vec<HostBatch>, DataError> {
    std::iter::from_fn(|| pass.next_batch().transpose()).take(accumulation).collect()
}

/// A seed of its own for each step (splitmix64 of both numbers), so that dropout needs no saved generator.
fn step_seed(seed: u64, step: u64) -> i64 {
    let mut z = seed.wrapping_add((step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    // libtorch takes a signed seed; the top bit is dropped.
    ((z ^ (z >> 31)) >> 1) as i64
}
