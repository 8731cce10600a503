//! The number behind `training.batch_size: auto`: predicted, and checked by real trial steps if the caller asks for it.
//! Starts no process; that is `trial_steps.rs`. Predictions and budgets are in `memory`.

use serde::Serialize;

use super::byte_text::size;
use super::device_facts::{detected_device, host_facts};
use super::error::{RunError, error_chain};
use super::trial_steps::{STEP_LIMIT, run_in_child};
use crate::config::{BatchSize, Config, ConfigError};
use crate::memory::{
    Advice, ChosenBatchSize, DeviceFacts, DeviceKind, HostFacts, Snapshot, advise_measured, batch_sizes,
    choose_batch_size, largest_that_holds, step_budget_bytes,
};
use crate::torch;
use crate::train::{Phase, Trial, TrialOutcome};

/// Steps of a trial during the search. Memory that stays between steps is there from the second step on.
const SEARCH_STEPS: u32 = 2;
/// Steps in a row in which the chosen size must fit.
const VERIFY_STEPS: u32 = 5;
/// `auto` leaves at least this many optimizer steps in an epoch.
const LEAST_STEPS_AN_EPOCH: usize = 8;

/// How a predicted batch size is checked before it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSizeCheck {
    /// Not at all.
    Prediction,
    /// By real steps, each trial in a process of its own. That process is the running program again, with the
    /// subcommand `trial-steps`; so this is for the program `dfdetect` alone.
    TrialSteps,
}

/// One batch size that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriedBatchSize {
    /// Clips in a batch.
    pub batch_size: usize,
    /// Steps one after the other.
    pub steps: u32,
    /// Absent where memory ran out.
    pub peak_bytes: Option<u64>,
    /// Whether all steps stayed within the budget.
    pub holds: bool,
}

/// What trial steps showed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MeasuredBatchSize {
    /// The largest size that holds; absent where none does.
    pub batch_size: Option<usize>,
    /// Peak of a training step of that size.
    pub peak_bytes: Option<u64>,
    /// Speed of training with that size.
    pub clips_per_sec: Option<f64>,
    /// Peak of an evaluation pass of that size.
    pub evaluation_peak_bytes: Option<u64>,
    /// In the order in which they were tried.
    pub tried: Vec<TriedBatchSize>,
    /// Steps at the size that was chosen, one after the other.
    pub steps: u32,
}

/// Tries batch sizes on this machine.
struct BatchSizeSearch<'a> {
    device: &'a DeviceFacts,
    host: HostFacts,
    measured: MeasuredBatchSize,
}

impl<'a> BatchSizeSearch<'a> {
    fn new(device: &'a DeviceFacts, host: HostFacts) -> Self {
        Self { device, host, measured: MeasuredBatchSize::default() }
    }

    /// The largest of `sizes` (ascending) that fits in several steps in a row; the search starts at index `first`.
    fn largest(&mut self, sizes: &[Config], first: usize) -> Result<Option<Config>, RunError> {
        tracing::info!("real trial steps follow, each at most {} minutes", STEP_LIMIT.as_secs() / 60);
        let mut found = largest_that_holds(sizes, first, |config| self.holds(config, SEARCH_STEPS))?;
        while let Some(index) = found {
            if self.holds(&sizes[index], VERIFY_STEPS)? {
                self.evaluate(&sizes[index])?;
                return Ok(Some(sizes[index].clone()));
            }
            found = index.checked_sub(1);
        }
        Ok(None)
    }

    fn holds(&mut self, config: &Config, steps: u32) -> Result<bool, RunError> {
        let budget_bytes = step_budget_bytes(config, self.device, self.host);
        let clips = config.training.batch_size.clips();
        let trialled = self.trial(config, Phase::Train, steps, budget_bytes)?;
        let (peak_bytes, outcome) = match &trialled {
            TrialOutcome::Done { peak_bytes, step_secs } => {
                (Some(*peak_bytes), format!("peak {}, {step_secs:.2} s a step", size(*peak_bytes)))
            }
            TrialOutcome::OutOfMemory { message } => (None, format!("out of memory ({message})")),
        };
        let holds = peak_bytes.is_some_and(|peak| peak <= budget_bytes);
        let verdict = if holds { "fits" } else { "does not fit" };
        tracing::info!("trial: {steps} steps of {clips} clips: {outcome}; {verdict} {}", size(budget_bytes));
        if let (true, TrialOutcome::Done { step_secs, .. }) = (holds && steps == VERIFY_STEPS, &trialled) {
            let measured = &mut self.measured;
            (measured.batch_size, measured.peak_bytes, measured.steps) = (Some(clips), peak_bytes, steps);
            measured.clips_per_sec = Some(clips as f64 / step_secs);
        }
        self.measured.tried.push(TriedBatchSize { batch_size: clips, steps, peak_bytes, holds });
        Ok(holds)
    }

    fn evaluate(&mut self, config: &Config) -> Result<(), RunError> {
        let budget_bytes = step_budget_bytes(config, self.device, self.host);
        if let TrialOutcome::Done { peak_bytes, .. } =
            self.trial(config, Phase::Evaluate, SEARCH_STEPS, budget_bytes)?
        {
            self.measured.evaluation_peak_bytes = Some(peak_bytes);
        }
        Ok(())
    }

    /// On the CPU, the trial may take no more than the budget, however much memory the machine has.
    fn trial(&self, config: &Config, phase: Phase, steps: u32, budget_bytes: u64) -> Result<TrialOutcome, RunError> {
        let limit_bytes = (self.device.kind() == DeviceKind::Cpu).then_some(budget_bytes);
        run_in_child(&Trial { config: config.clone(), phase, steps, limit_bytes })
    }
}

/// The configuration with a number in place of `training.batch_size: auto`.
pub(super) fn choose(config: &Config, train_videos: usize, check: BatchSizeCheck) -> Result<Config, ConfigError> {
    let memory = Snapshot::take();
    let (device, host) = (detected_device(config, &memory, &torch::compute_capabilities())?, host_facts(&memory));
    let most_clips = train_videos / LEAST_STEPS_AN_EPOCH / config.training.gradient_accumulation;
    let ChosenBatchSize { config: predicted, estimate, .. } =
        choose_batch_size(config, &device, host, most_clips.max(1));
    let clips = predicted.training.batch_size.clips();
    let why = format!(
        "at most 32, {LEAST_STEPS_AN_EPOCH} steps an epoch, and {} for a step on {}",
        size(step_budget_bytes(&predicted, &device, host)),
        device.name
    );
    if check == BatchSizeCheck::Prediction {
        tracing::info!("training.batch_size: auto is {clips} ({why}); predicted peak {}", size(estimate.peak_bytes));
        return Ok(predicted);
    }
    let mut sizes = batch_sizes(config);
    sizes.retain(|sized| sized.training.batch_size.clips() <= most_clips.max(1));
    let first = sizes.iter().position(|sized| sized.training.batch_size == BatchSize::Clips(clips)).unwrap_or(0);
    let mut search = BatchSizeSearch::new(&device, host);
    match search.largest(&sizes, first) {
        Ok(Some(chosen)) => {
            let peak_bytes = search.measured.peak_bytes.unwrap_or_default();
            let clips = chosen.training.batch_size.clips();
            tracing::info!("training.batch_size: auto is {clips} ({why}); measured peak {}", size(peak_bytes));
            Ok(chosen)
        }
        Ok(None) => {
            tracing::warn!("training.batch_size: auto is 1 ({why}); even that did not hold in trial steps");
            Ok(sizes.first().unwrap_or(&predicted).clone())
        }
        Err(error) => {
            let error = error_chain(&error);
            tracing::warn!("training.batch_size: auto is {clips} ({why}) by prediction alone: {error}");
            Ok(predicted)
        }
    }
}

/// Runs real steps with the settings that `advice` recommends, and updates the advice by their result. Like
/// [`BatchSizeCheck::TrialSteps`], this starts the running program again.
///
/// # Errors
/// A trial could not be made, or failed in another way than that memory ran out.
pub fn measure_advice(
    config: &Config,
    device: &DeviceFacts,
    host: HostFacts,
    advice: &mut Advice,
) -> Result<MeasuredBatchSize, RunError> {
    let mut sizes = batch_sizes(&advice.best);
    if config.training.batch_size == BatchSize::Auto {
        let mut open = advice.best.clone();
        open.training.batch_size = BatchSize::Auto;
        sizes = batch_sizes(&open);
    }
    let first = sizes.iter().position(|sized| *sized == advice.best).unwrap_or(0);
    let mut search = BatchSizeSearch::new(device, host);
    match search.largest(&sizes, first)? {
        Some(best) if best != advice.best => *advice = advise_measured(config, device, host, best),
        Some(_) => {}
        None => {
            advice.recommended_fits = false;
            advice.recommended.clear();
        }
    }
    Ok(search.measured)
}
