//! A trial: a few real steps on synthetic clips, which measure the memory and time of a configuration on this machine.
//!
//! The peak memory of a process never decreases, and a process may not recover when memory runs out, so each trial
//! needs a process of its own. This file knows nothing of processes and of the search for a configuration.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{Learner, StepError, Stepper};
use crate::config::Config;
use crate::dataset::Label;
use crate::evaluate::{Frames, score_batch};
use crate::loader::HostBatch;
use crate::memory::{
    self, DeviceGauge, DeviceKind, Failure, Guard, GuardError, MicroBatchSizes, classify, training_step,
};
use crate::model::{Detector, Placement};
use crate::optim::{Loss, LossScaler};
use crate::torch::{self, Format};
use crate::video::ClipSpec;

const NO_READING: &str = "the system does not tell the resident memory of this process";

/// The kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Forward, backward and update.
    Train,
    /// Forward without gradients.
    Evaluate,
}

/// The configuration of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Network, clips, device and format. One batch is one forward pass.
    pub config: Config,
    /// The kind of step.
    pub phase: Phase,
    /// The number of steps. From the second one on, everything that stays in memory between steps is there.
    pub steps: u32,
    /// Host memory that the process may take in addition; `None` = no limit.
    pub limit_bytes: Option<u64>,
}

/// The result of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    /// All steps succeeded.
    Done {
        /// Peak memory, minus that of the process before the trial: resident memory without the code of libraries on
        /// the CPU; on CUDA, the memory that libtorch reserved, and that of CUDA itself.
        peak_bytes: u64,
        /// Mean time of a step, without the first one if there are several.
        step_secs: f64,
    },
    /// Memory ran out.
    OutOfMemory {
        /// The first line of the allocator's message.
        message: String,
    },
}

impl Trial {
    /// Runs the trial in this process, on the device of `placement`. The process should do nothing else before and
    /// after.
    ///
    /// # Errors
    /// An error other than out of memory, as text.
    pub fn run(&self, placement: &Placement) -> Result<TrialOutcome, String> {
        let spec = match self.phase {
            Phase::Train => ClipSpec::of_training(&self.config.data),
            Phase::Evaluate => ClipSpec::of(&self.config.data),
        };
        let batch = made_up_batch(&spec, self.config.training.batch_size.clips());
        // Threads and the state of libraries exist before training too, so they are created first.
        let square = Tensor::ones([64, 64], (Kind::Float, placement.device));
        square.f_matmul(&square).and_then(|_| torch::release_cached_memory()).map_err(|error| error.to_string())?;

        memory::reset_process_peak();
        let base = HostMemory::now().ok_or(NO_READING)?;
        if let Some(bytes) = self.limit_bytes {
            memory::limit_growth(bytes).map_err(|error| format!("memory cannot be limited: {error}"))?;
        }
        match self.steps(placement, &spec, &batch) {
            Ok(step_secs) => {
                let host_peak_bytes = base.growth_to_peak().ok_or(NO_READING)?;
                let peak_bytes = torch::allocator_stats(placement.device)
                    .map_or(host_peak_bytes, |stats| stats.reserved_peak_bytes + self.context_bytes());
                Ok(TrialOutcome::Done { peak_bytes, step_secs })
            }
            Err(StepError::Guard(GuardError::Forbidden { message, .. })) => Ok(TrialOutcome::OutOfMemory { message }),
            // These errors come from outside the guard: building the network, the update, a forward pass.
            Err(error) => match classify(&error.to_string()) {
                Failure::OutOfMemory => Ok(TrialOutcome::OutOfMemory { message: error.to_string() }),
                _ => Err(error.to_string()),
            },
        }
    }

    /// The memory of CUDA itself, which the allocator does not count, as predicted.
    fn context_bytes(&self) -> u64 {
        training_step(&self.config, 1, DeviceKind::Cuda, Format::F32).breakdown.context
    }

    /// Runs the steps, and returns their mean time in seconds.
    fn steps(&self, place: &Placement, spec: &ClipSpec, batch: &HostBatch) -> Result<f64, StepError> {
        let Config { model, gpu, training, .. } = &self.config;
        let detector =
            Detector::new(model, place.device, place.format, gpu.channels_last).map_err(StepError::PartialUpdate)?;
        if self.phase == Phase::Evaluate {
            let frames = Frames { batch, spec, pin_memory: false };
            return self.timed(|_| score_batch(&detector, frames).map(drop).map_err(StepError::PartialUpdate));
        }
        // The EMA is a second network in memory.
        let average = training.ema_decay.map(|_| Detector::new(model, place.device, place.format, gpu.channels_last));
        let average = average.transpose().map_err(StepError::PartialUpdate)?;
        let learner = Learner::new(training, detector, average).map_err(StepError::PartialUpdate)?;
        let loss = Loss::new(&self.config.loss, [1, 1]);
        let scaler = LossScaler::new(place.format == Format::Fp16);
        let sizes = MicroBatchSizes::training(&self.config, place.device.is_cuda());
        let guard = Guard::new("train", sizes, Box::new(DeviceGauge::new(place.device)), false, 0);
        let mut stepper = Stepper::new(&self.config, learner, loss, scaler, guard, Box::new(|| {}))
            .map_err(StepError::PartialUpdate)?;
        self.timed(|step| stepper.step(std::slice::from_ref(batch), None, 1e-5, i64::from(step)).map(drop))
    }

    /// Runs `step`, and returns its mean time in seconds, without the first one if there are several.
    fn timed(&self, mut step: impl FnMut(u32) -> Result<(), StepError>) -> Result<f64, StepError> {
        let mut secs = Vec::new();
        for number in 0..self.steps.max(1) {
            let started = Instant::now();
            step(number)?;
            secs.push(started.elapsed().as_secs_f64());
        }
        let steady = &secs[usize::from(secs.len() > 1)..];
        Ok(steady.iter().sum::<f64>() / steady.len() as f64)
    }
}

/// Memory of this process on the host, before the trial.
#[derive(Clone, Copy)]
struct HostMemory {
    rss_bytes: u64,
    file_bytes: u64,
}

impl HostMemory {
    /// The resident memory, and the part of it that are mapped files.
    fn now() -> Option<Self> {
        let (rss_bytes, file_bytes) = (memory::process_rss_bytes()?, memory::process_file_bytes()?);
        Some(Self { rss_bytes, file_bytes })
    }

    /// Growth up to the peak, without the code that libraries load in the first step. Code is not counted, because the
    /// system can drop it and read it again, and how much of it is resident depends on the kernel and the file system.
    fn growth_to_peak(self) -> Option<u64> {
        let code_bytes = memory::process_file_bytes()?.saturating_sub(self.file_bytes);
        Some(memory::process_recent_peak_bytes()?.saturating_sub(self.rss_bytes + code_bytes))
    }
}

/// A batch of noise; half of its clips have the label fake.
fn made_up_batch(spec: &ClipSpec, clips: usize) -> HostBatch {
    let pixel = |i: usize| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    let bytes: Vec<_> = (0..clips * spec.clip_bytes()).map(pixel).collect();
    let label = |clip: usize| if clip.is_multiple_of(2) { Label::Real } else { Label::Fake };
    HostBatch::of_bytes(&bytes, (0..clips).map(label).collect())
}
