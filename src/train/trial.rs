//! A few real steps on made-up clips: what a configuration needs on this machine, measured.
//!
//! The peak of a process never goes down, and memory may run out for good, so each trial belongs in a process of its own.

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

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Forward, backward and update.
    Train,
    /// Forward without gradients.
    Evaluate,
}

/// A trial that is to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Network, clips, device and format; its batch is one forward pass.
    pub config: Config,
    /// Training or evaluation.
    pub phase: Phase,
    /// Steps one after the other; the second already finds everything that stays from step to step.
    pub steps: u32,
    /// Host memory that the process may take on top of what it has; `None` = no limit.
    pub limit_bytes: Option<u64>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trialled {
    /// All steps were done.
    Done {
        /// Most memory taken, above what the program took before: resident on the CPU; on CUDA, reserved by libtorch,
        /// and CUDA's own.
        peak_bytes: u64,
        /// Mean time of a step, the first one left out where there are several.
        step_secs: f64,
    },
    /// Memory ran out.
    OutOfMemory {
        /// The allocator's first line.
        message: String,
    },
}

impl Trial {
    /// Makes the trial in this process, where `placement` says; it should do nothing else before or after.
    ///
    /// # Errors
    /// Whatever went wrong besides memory running out, in words.
    pub fn run(&self, placement: &Placement) -> Result<Trialled, String> {
        let spec = match self.phase {
            Phase::Train => ClipSpec::of_training(&self.config.data),
            Phase::Evaluate => ClipSpec::of(&self.config.data),
        };
        let batch = made_up_batch(&spec, self.config.training.batch_size.clips());
        // Threads and the libraries' own state are there before training, too.
        let square = Tensor::ones([64, 64], (Kind::Float, placement.device));
        square.f_matmul(&square).and_then(|_| torch::release_cached_memory()).map_err(|error| error.to_string())?;

        let base_bytes = memory::process_rss_bytes().ok_or("the system does not tell the resident memory")?;
        memory::reset_process_peak();
        if let Some(bytes) = self.limit_bytes {
            memory::limit_growth(bytes).map_err(|error| format!("memory cannot be limited: {error}"))?;
        }
        match self.steps(placement, &spec, &batch) {
            Ok(step_secs) => {
                let host_peak_bytes = memory::process_peak_rss_bytes().unwrap_or(base_bytes).saturating_sub(base_bytes);
                let peak_bytes = torch::allocator_stats(placement.device)
                    .map_or(host_peak_bytes, |stats| stats.reserved_peak_bytes + self.context_bytes());
                Ok(Trialled::Done { peak_bytes, step_secs })
            }
            Err(StepError::Guard(GuardError::Forbidden { message, .. })) => Ok(Trialled::OutOfMemory { message }),
            // What is not under the guard: the network itself, the update, a forward pass.
            Err(error) => match classify(&error.to_string()) {
                Failure::OutOfMemory => Ok(Trialled::OutOfMemory { message: error.to_string() }),
                _ => Err(error.to_string()),
            },
        }
    }

    /// CUDA's own state is outside of the allocator and counted as predicted.
    fn context_bytes(&self) -> u64 {
        training_step(&self.config, 1, DeviceKind::Cuda, Format::F32).breakdown.context
    }

    /// Mean seconds of a step.
    fn steps(&self, place: &Placement, spec: &ClipSpec, batch: &HostBatch) -> Result<f64, StepError> {
        let Config { model, gpu, training, .. } = &self.config;
        let detector =
            Detector::new(model, place.device, place.format, gpu.channels_last).map_err(StepError::PartialUpdate)?;
        if self.phase == Phase::Evaluate {
            let frames = Frames { batch, spec, pin_memory: false };
            return self.timed(|_| score_batch(&detector, frames).map(drop).map_err(StepError::PartialUpdate));
        }
        // The average is a second network, and stays as long.
        let average = training.ema_decay.map(|_| Detector::new(model, place.device, place.format, gpu.channels_last));
        let average = average.transpose().map_err(StepError::PartialUpdate)?;
        let learner = Learner::new(training, detector, average).map_err(StepError::PartialUpdate)?;
        let loss = Loss::new(&self.config.loss, [1, 1]);
        let scaler = LossScaler::new(place.format == Format::Fp16);
        let ladder = MicroBatchSizes::training(&self.config, place.device.is_cuda());
        let guard = Guard::new("train", ladder, Box::new(DeviceGauge(place.device)), false, 0);
        let mut stepper = Stepper::new(&self.config, learner, loss, scaler, guard, Box::new(|| {}))
            .map_err(StepError::PartialUpdate)?;
        self.timed(|step| stepper.step(std::slice::from_ref(batch), 1e-5, i64::from(step)).map(drop))
    }

    /// Mean seconds of a step, without the first where there are several.
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

/// Noise, half of it called fake.
fn made_up_batch(spec: &ClipSpec, clips: usize) -> HostBatch {
    let pixel = |i: usize| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    HostBatch {
        index: 0,
        frames_bthwc: (0..clips * spec.clip_bytes()).map(pixel).collect(),
        labels: (0..clips).map(|clip| if clip % 2 == 0 { Label::Real } else { Label::Fake }).collect(),
        videos: (0..clips).collect(),
        skipped: Vec::new(),
    }
}
