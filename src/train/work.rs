//! The part of an optimizer step that is run again when memory runs out: forward and backward over the effective batch,
//! cut into micro-batches, and below one clip into chunks of its frames.
//!
//! Leaves no trace when it fails. Knows nothing of the update.

use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};

use super::learner::Learner;
use crate::config::Precision;
use crate::dataset::Label;
use crate::evaluate::{Frames, probabilities};
use crate::loader::HostBatch;
use crate::memory::{Attempt, Cut};
use crate::model::Mode;
use crate::optim::{Loss, LossScaler};
use crate::torch::{self, Format, Result, foreach};
use crate::video::ClipSpec;

/// What one forward and backward over the effective batch gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gradients {
    /// Mean loss over the clips.
    pub loss: f64,
    /// Probability of fake and the truth, of every clip.
    pub scores: Vec<(f64, bool)>,
    /// Global L2 norm of the gradients; infinite or no number where one of them is.
    pub norm: f64,
}

/// Forward and backward of one step, and what a failed one changes.
pub(super) struct Work<'a> {
    pub learner: &'a mut Learner,
    pub loss: &'a Loss,
    pub scaler: &'a LossScaler,
    /// Running statistics as they were before the step.
    pub statistics: &'a [Tensor],
    pub relieve: &'a mut dyn FnMut(),
    pub batches: &'a [HostBatch],
    pub spec: &'a ClipSpec,
    pub pin_memory: bool,
    pub seed: i64,
    /// What a move to the CPU makes the format of.
    pub precision: Precision,
    /// Training; tests freeze batch norm, which ties the clips of a forward pass together otherwise.
    pub mode: Mode,
}

impl Attempt for Work<'_> {
    type Output = Gradients;
    type Error = TchError;

    /// Leaves the sum of the micro-batches' gradients in the parameters.
    fn attempt(&mut self, cut: Cut) -> Result<Gradients> {
        self.learner.detector.parameters().zero_gradients()?;
        tch::manual_seed(self.seed);
        let mut sum = Gradients::default();
        for batch in self.batches {
            for clips in cut.micro_batches(batch.labels.len()) {
                let part = self.micro_step(batch, clips, cut)?;
                sum.loss += part.loss;
                sum.scores.extend(part.scores);
            }
        }
        fault()?;
        sum.norm = self.unscaled_norm()?;
        Ok(sum)
    }

    fn recover(&mut self, next: Cut) -> Result<()> {
        self.learner.detector.parameters().restore_buffers(self.statistics)?;
        if next.on_cpu && self.learner.detector.device() != Device::Cpu {
            self.move_to_cpu()?;
        }
        (self.relieve)();
        torch::release_cached_memory()
    }
}

impl Work<'_> {
    fn micro_step(&self, batch: &HostBatch, clips: Range<usize>, cut: Cut) -> Result<Gradients> {
        let frames = Frames { batch, spec: self.spec, pin_memory: self.pin_memory };
        let labels = &batch.labels[clips.clone()];
        fault()?;
        if cut.chunk_frames.is_some() || self.learner.detector.recomputes() {
            return self.recomputed(frames, frames.of_clips(&clips), labels, cut);
        }
        let images_nchw = frames.images(&self.learner.detector, frames.of_clips(&clips), cut)?;
        let features_nf = self.learner.detector.features(&images_nchw, self.mode)?;
        self.head_step(&features_nf, labels)
    }

    /// As a plain forward and backward, but the backbone keeps nothing: its features first, then from the head their
    /// gradient, then the backbone once more, pass by pass, with that gradient pushed through it.
    fn recomputed(&self, frames: Frames, all: Range<usize>, labels: &[Label], cut: Cut) -> Result<Gradients> {
        let inputs = |pass, mode| {
            fault()?;
            self.learner.detector.segment_inputs(frames.images(&self.learner.detector, pass, cut)?, mode)
        };
        let passes: Vec<_> = cut.passes(all.clone()).collect();
        let mut features = Vec::with_capacity(passes.len());
        let mut kept = None;
        for pass in &passes {
            let inputs = inputs(pass.clone(), self.mode)?;
            features.push(self.learner.detector.features_of(&inputs, self.mode)?);
            // With several passes, keeping what enters each segment would be what the cut is to spare.
            kept = (passes.len() == 1).then_some(inputs);
        }
        let features_nf = Tensor::f_cat(&features, 0)?.f_set_requires_grad(true)?;
        drop(features);

        let gradients = self.head_step(&features_nf, labels)?;
        let gradient_nf = features_nf.f_grad()?;
        for pass in &passes {
            let inputs = match kept.take() {
                Some(inputs) => inputs,
                None => inputs(pass.clone(), self.mode.recompute())?,
            };
            let rows = gradient_nf.f_narrow(0, (pass.start - all.start) as i64, pass.len() as i64)?;
            self.learner.detector.backward(inputs, &rows, self.mode)?;
        }
        Ok(gradients)
    }

    /// Head, loss and backward from features `[N, F]`. The loss is weighted by clips, so that cutting a batch (or a short
    /// last one) changes nothing.
    fn head_step(&self, features_nf: &Tensor, labels: &[Label]) -> Result<Gradients> {
        let clips: usize = self.batches.iter().map(|batch| batch.labels.len()).sum();
        let is_fake: Vec<bool> = labels.iter().map(|label| *label == Label::Fake).collect();
        let features_btf = features_nf.f_view([labels.len() as i64, self.spec.frames as i64, -1])?;
        let logits_b = self.learner.detector.logits(&features_btf, self.mode)?.clips_b.f_to_kind(Kind::Float)?;
        let loss = self.loss.sum(&logits_b, &is_fake)?.f_div_scalar(clips as f64)?;
        fault()?;
        loss.f_mul_scalar(self.scaler.scale())?.f_backward()?;
        let scores = probabilities(&logits_b)?.into_iter().zip(is_fake).collect();
        Ok(Gradients { loss: loss.f_double_value(&[])?, scores, norm: 0.0 })
    }

    /// Takes the loss scale out of the gradients; their global L2 norm.
    fn unscaled_norm(&self) -> Result<f64> {
        let _no_grad = tch::no_grad_guard();
        let gradients = self.learner.detector.parameters().gradients()?;
        let gradients: Vec<_> = gradients.iter().collect();
        match self.scaler.unscale(&gradients)? {
            true => foreach::global_norm(&gradients),
            false => Ok(f64::INFINITY),
        }
    }

    /// The same step goes on there: weights, running statistics, moments.
    fn move_to_cpu(&mut self) -> Result<()> {
        tracing::warn!("training goes on on the CPU, which is much slower");
        self.learner.move_to_cpu(Format::resolve(self.precision, false))?;
        self.statistics.iter().try_for_each(torch::move_to_cpu)
    }
}

/// A place where tests make memory run out.
#[cfg(not(test))]
fn fault() -> Result<()> {
    Ok(())
}
#[cfg(test)]
use super::tests::fault;
