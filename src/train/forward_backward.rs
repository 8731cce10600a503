//! Forward and backward of one micro-batch, also in chunks of frames and with recomputed activations.
//!
//! The gradients are added to those in the parameters. This file knows nothing of the guard, of other micro-batches and
//! of the update.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::fault::fault;
use crate::dataset::Label;
use crate::evaluate::{Frames, probabilities};
use crate::loader::HostBatch;
use crate::memory::MicroBatchSize;
use crate::model::{Detector, Mode};
use crate::optim::Loss;
use crate::torch::Result;
use crate::video::ClipSpec;

/// The loss of a micro-batch, or of the effective batch.
#[derive(Debug, Default)]
pub(super) struct BatchLoss {
    /// The sum of the loss over the clips, divided by the number of clips in the effective batch.
    pub loss: f64,
    /// For each clip, its predicted probability of fake and whether it is fake.
    pub scores: Vec<(f64, bool)>,
}

/// What is the same for all micro-batches of a step.
pub(super) struct ForwardBackward<'a> {
    pub detector: &'a Detector,
    pub loss: &'a Loss,
    pub loss_scale: f64,
    /// The number of clips in the effective batch. The loss of a clip is divided by it, so that the size of the
    /// micro-batches does not change the gradients.
    pub effective_clips: usize,
    pub spec: &'a ClipSpec,
    pub pin_memory: bool,
    pub mode: Mode,
}

impl ForwardBackward<'_> {
    /// Forward and backward of the clips `clips` of `batch`.
    pub fn micro_batch(&self, batch: &HostBatch, clips: Range<usize>, size: MicroBatchSize) -> Result<BatchLoss> {
        let frames = Frames { batch, spec: self.spec, pin_memory: self.pin_memory };
        let labels = &batch.labels[clips.clone()];
        fault()?;
        if size.chunk_frames.is_some() || self.detector.recomputes() {
            return self.recomputed(frames, frames.of_clips(&clips), labels, size);
        }
        let images_nchw = frames.images(self.detector, frames.of_clips(&clips), size)?;
        let features_nf = self.detector.features(&images_nchw, self.mode)?;
        self.head(&features_nf, labels)
    }

    /// The same with less memory, because the backbone keeps no activations: first the features of all chunks, then
    /// their gradient from the head, then the backbone once more for each chunk, with backward.
    fn recomputed(
        &self,
        frames: Frames,
        all: Range<usize>,
        labels: &[Label],
        size: MicroBatchSize,
    ) -> Result<BatchLoss> {
        let inputs = |chunk, mode| {
            fault()?;
            self.detector.segment_inputs(frames.images(self.detector, chunk, size)?, mode)
        };
        let chunks: Vec<_> = size.passes(all.clone()).collect();
        let mut features = Vec::with_capacity(chunks.len());
        let mut kept_inputs = None;
        for chunk in &chunks {
            let inputs = inputs(chunk.clone(), self.mode)?;
            features.push(self.detector.features_of(&inputs, self.mode)?);
            // The inputs of several chunks would take the memory that the cut into chunks saves.
            kept_inputs = (chunks.len() == 1).then_some(inputs);
        }
        let features_nf = Tensor::f_cat(&features, 0)?.f_set_requires_grad(true)?;
        drop(features);

        let batch_loss = self.head(&features_nf, labels)?;
        let gradient_nf = features_nf.f_grad()?;
        for chunk in &chunks {
            let inputs = match kept_inputs.take() {
                Some(inputs) => inputs,
                None => inputs(chunk.clone(), self.mode.recompute())?,
            };
            let rows = gradient_nf.f_narrow(0, (chunk.start - all.start) as i64, chunk.len() as i64)?;
            self.detector.backward(inputs, &rows, self.mode)?;
        }
        Ok(batch_loss)
    }

    /// Head, loss and backward, from the features `[N, F]` of the backbone.
    fn head(&self, features_nf: &Tensor, labels: &[Label]) -> Result<BatchLoss> {
        let is_fake: Vec<bool> = labels.iter().map(|label| *label == Label::Fake).collect();
        let features_btf = features_nf.f_view([labels.len() as i64, self.spec.frames as i64, -1])?;
        let logits_b = self.detector.logits(&features_btf, self.mode)?.clips_b.f_to_kind(Kind::Float)?;
        let loss = self.loss.sum(&logits_b, &is_fake)?.f_div_scalar(self.effective_clips as f64)?;
        fault()?;
        loss.f_mul_scalar(self.loss_scale)?.f_backward()?;
        let scores = probabilities(&logits_b)?.into_iter().zip(is_fake).collect();
        Ok(BatchLoss { loss: loss.f_double_value(&[])?, scores })
    }
}
