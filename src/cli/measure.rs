//! Real trial steps that check a prediction: for `suggest --measure`, and for `training.batch_size: auto`.

use anyhow::Result;
use serde::Serialize;

use super::device::{detected_device, host_facts};
use super::meminfo::size;
use super::trial::{STEP_LIMIT, in_a_child};
use crate::config::{BatchSize, Config};
use crate::memory::{
    ChosenBatchSize, DeviceFacts, DeviceKind, HostFacts, Snapshot, batch_sizes, choose_batch_size, largest_that_holds,
    step_budget_bytes,
};
use crate::torch;
use crate::train::{Phase, Trial, Trialled};

/// Steps that look for a size: what stays from step to step is there in the second.
const SEARCH_STEPS: u32 = 2;
/// Steps in a row that the size which is chosen must hold.
const VERIFY_STEPS: u32 = 5;
/// `auto` leaves at least this many optimizer steps in an epoch.
const LEAST_STEPS_AN_EPOCH: usize = 8;

/// One batch size that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tried {
    pub batch_size: usize,
    pub steps: u32,
    /// Absent where memory ran out.
    pub peak_bytes: Option<u64>,
    pub holds: bool,
}

/// What trial steps showed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Measured {
    /// Of the largest size that holds; absent where none does.
    pub batch_size: Option<usize>,
    pub peak_bytes: Option<u64>,
    pub clips_per_sec: Option<f64>,
    /// Peak of an evaluation pass of that size.
    pub evaluation_peak_bytes: Option<u64>,
    /// In the order in which they were tried.
    pub tried: Vec<Tried>,
    /// Steps at the size that was chosen, one after the other.
    pub steps: u32,
}

/// Tries batch sizes on this machine.
pub(super) struct Bench<'a> {
    pub device: &'a DeviceFacts,
    pub host: HostFacts,
    pub measured: Measured,
}

impl<'a> Bench<'a> {
    pub fn new(device: &'a DeviceFacts, host: HostFacts) -> Self {
        Self { device, host, measured: Measured::default() }
    }

    /// The largest of `sizes` (from small to large) that holds in several steps in a row, looked for from `first`.
    pub fn largest(&mut self, sizes: &[Config], first: usize) -> Result<Option<Config>> {
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

    fn holds(&mut self, config: &Config, steps: u32) -> Result<bool> {
        let budget_bytes = step_budget_bytes(config, self.device, self.host);
        let clips = config.training.batch_size.clips();
        let trialled = self.trial(config, Phase::Train, steps, budget_bytes)?;
        let (peak_bytes, outcome) = match &trialled {
            Trialled::Done { peak_bytes, step_secs } => {
                (Some(*peak_bytes), format!("peak {}, {step_secs:.2} s a step", size(*peak_bytes)))
            }
            Trialled::OutOfMemory { message } => (None, format!("out of memory ({message})")),
        };
        let holds = peak_bytes.is_some_and(|peak| peak <= budget_bytes);
        let verdict = if holds { "fits" } else { "does not fit" };
        tracing::info!("trial: {steps} steps of {clips} clips: {outcome}; {verdict} {}", size(budget_bytes));
        if let (true, Trialled::Done { step_secs, .. }) = (holds && steps == VERIFY_STEPS, &trialled) {
            let measured = &mut self.measured;
            (measured.batch_size, measured.peak_bytes, measured.steps) = (Some(clips), peak_bytes, steps);
            measured.clips_per_sec = Some(clips as f64 / step_secs);
        }
        self.measured.tried.push(Tried { batch_size: clips, steps, peak_bytes, holds });
        Ok(holds)
    }

    fn evaluate(&mut self, config: &Config) -> Result<()> {
        let budget_bytes = step_budget_bytes(config, self.device, self.host);
        if let Trialled::Done { peak_bytes, .. } = self.trial(config, Phase::Evaluate, SEARCH_STEPS, budget_bytes)? {
            self.measured.evaluation_peak_bytes = Some(peak_bytes);
        }
        Ok(())
    }

    /// On the CPU, memory runs out for the trial where the budget ends, not where the machine does.
    fn trial(&self, config: &Config, phase: Phase, steps: u32, budget_bytes: u64) -> Result<Trialled> {
        let limit_bytes = (self.device.kind() == DeviceKind::Cpu).then_some(budget_bytes);
        in_a_child(&Trial { config: config.clone(), phase, steps, limit_bytes })
    }
}

/// A number in place of `training.batch_size: auto`: predicted and, if `verify`, checked by trial steps.
pub(super) fn settle(config: &Config, train_videos: usize, verify: bool) -> Result<Config> {
    let memory = Snapshot::take();
    let (device, host) = (detected_device(config, &memory, torch::cuda_available())?, host_facts(&memory));
    let most_clips = train_videos / LEAST_STEPS_AN_EPOCH / config.training.gradient_accumulation;
    let ChosenBatchSize { config: predicted, estimate, .. } =
        choose_batch_size(config, &device, host, most_clips.max(1));
    let clips = predicted.training.batch_size.clips();
    let why = format!(
        "at most 32, {LEAST_STEPS_AN_EPOCH} steps an epoch, and {} for a step on {}",
        size(step_budget_bytes(&predicted, &device, host)),
        device.name
    );
    if !verify {
        tracing::info!("training.batch_size: auto is {clips} ({why}); predicted peak {}", size(estimate.peak_bytes));
        return Ok(predicted);
    }
    let mut sizes = batch_sizes(config);
    sizes.retain(|sized| sized.training.batch_size.clips() <= most_clips.max(1));
    let first = sizes.iter().position(|sized| sized.training.batch_size == BatchSize::Clips(clips)).unwrap_or(0);
    let mut bench = Bench::new(&device, host);
    match bench.largest(&sizes, first) {
        Ok(Some(chosen)) => {
            let peak_bytes = bench.measured.peak_bytes.unwrap_or_default();
            let clips = chosen.training.batch_size.clips();
            tracing::info!("training.batch_size: auto is {clips} ({why}); measured peak {}", size(peak_bytes));
            Ok(chosen)
        }
        Ok(None) => {
            tracing::warn!("training.batch_size: auto is 1 ({why}); even that did not hold in trial steps");
            Ok(sizes.first().unwrap_or(&predicted).clone())
        }
        Err(error) => {
            tracing::warn!("training.batch_size: auto is {clips} ({why}) by prediction alone: {error:#}");
            Ok(predicted)
        }
    }
}
