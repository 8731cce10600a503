//! A few real steps on made-up clips: what a configuration needs on this machine, measured.
//!
//! The peak of a process never goes down, and memory may run out for good, so each trial belongs in a process of its own.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::Stepper;
use crate::config::Config;
use crate::data::{ClipSpec, HostBatch, Label};
use crate::evaluate::score_batch;
use crate::memory::{self, Guard, GuardError};
use crate::model::{Detector, Placement};
use crate::optim::{AdamW, LossScaler};
use crate::torch::{self, Format};

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
    /// Network, clips, device and format.
    pub config: Config,
    /// Clips in a forward pass.
    pub clips: usize,
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
        /// Most memory taken, above what the program took before: resident on the CPU, reserved by libtorch on CUDA.
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
    /// Makes the trial in this process, which should do nothing else before or after.
    ///
    /// # Errors
    /// Whatever went wrong besides memory running out, in words.
    pub fn run(&self) -> Result<Trialled, String> {
        let placement = Placement::decide(&self.config.gpu).map_err(|error| error.to_string())?;
        let spec = ClipSpec::of(&self.config.data);
        let batch = made_up_batch(&spec, self.clips);
        // Threads and the libraries' own state are there before training, too.
        let square = Tensor::ones([64, 64], (Kind::Float, placement.device));
        square.f_matmul(&square).and_then(|_| torch::release_cached_memory()).map_err(|error| error.to_string())?;

        let base_bytes = memory::process_rss_bytes().ok_or("the system does not tell the resident memory")?;
        memory::forget_process_peak();
        if let Some(bytes) = self.limit_bytes {
            memory::limit_growth(bytes).map_err(|error| format!("memory cannot be limited: {error}"))?;
        }
        match self.steps(&placement, spec, &batch) {
            Ok(step_secs) => {
                let host_peak_bytes = memory::process_peak_rss_bytes().unwrap_or(base_bytes).saturating_sub(base_bytes);
                let peak_bytes = torch::peak_allocated_bytes(placement.device).unwrap_or(host_peak_bytes);
                Ok(Trialled::Done { peak_bytes, step_secs })
            }
            Err(GuardError::Other(error)) if !memory::is_out_of_memory(&error.to_string()) => Err(error.to_string()),
            Err(error) => {
                Ok(Trialled::OutOfMemory { message: error.to_string().lines().next().unwrap_or_default().into() })
            }
        }
    }

    /// Seconds a step.
    fn steps(&self, place: &Placement, spec: ClipSpec, batch: &HostBatch) -> Result<f64, GuardError<tch::TchError>> {
        let Config { model, gpu, .. } = &self.config;
        let detector =
            Detector::new(model, place.device, place.format, gpu.channels_last).map_err(GuardError::Other)?;
        match self.phase {
            Phase::Train => {
                let mut stepper = self.stepper(detector, place.format, spec).map_err(GuardError::Other)?;
                let batches = std::slice::from_ref(batch);
                self.timed(|step| stepper.run(batches, 1e-5, i64::from(step)).map(drop))
            }
            Phase::Evaluate => {
                self.timed(|_| score_batch(&detector, &spec, batch, self.clips).map(drop).map_err(GuardError::Other))
            }
        }
    }

    /// Mean seconds of a step, without the first where there are several.
    fn timed<E>(&self, mut step: impl FnMut(u32) -> Result<(), E>) -> Result<f64, E> {
        let mut secs = Vec::new();
        for number in 0..self.steps.max(1) {
            let started = Instant::now();
            step(number)?;
            secs.push(started.elapsed().as_secs_f64());
        }
        let steady = &secs[usize::from(secs.len() > 1)..];
        Ok(steady.iter().sum::<f64>() / steady.len() as f64)
    }

    fn stepper(&self, detector: Detector, format: Format, spec: ClipSpec) -> torch::Result<Stepper> {
        let Config { training, dataloader, .. } = &self.config;
        let named = detector.parameters().trainable().map(|parameter| (parameter.name.as_str(), &parameter.tensor));
        Ok(Stepper {
            optimizer: AdamW::new(named, training.weight_decay)?,
            scaler: LossScaler::new(format == Format::Fp16),
            guard: Guard::new("train", self.clips, false),
            clip_norm: training.gradient_clip_norm,
            spec,
            pin_memory: dataloader.pin_memory,
            relieve: Box::new(|| {}),
            detector,
        })
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
