//! Forward and backward of the effective batch in micro-batches, also in chunks of frames and with recomputed
//! activations.
//!
//! The gradients are added to those in the parameters. This file knows nothing of the guard and of the update.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::fault::fault;
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

impl BatchLoss {
    fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.scores.extend(other.scores);
    }
}

/// Some clips of one of the batches of a step.
struct MicroBatch<'b> {
    frames: Frames<'b>,
    /// The number of frames of the effective batch before its batch.
    first_row: usize,
    clips: Range<usize>,
}

impl MicroBatch<'_> {
    /// The range of its frames in its batch.
    fn rows(&self) -> Range<usize> {
        self.frames.of_clips(&self.clips)
    }

    /// The targets of its clips.
    fn targets(&self) -> Vec<f64> {
        self.frames.batch.targets()[self.clips.clone()].to_vec()
    }

    /// The mode of a pass over these frames of its batch.
    fn mode(&self, mode: Mode, rows: &Range<usize>) -> Mode {
        mode.from_row(self.first_row + rows.start)
    }
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
    /// Forward and backward of all clips of `batches`, the effective batch.
    pub fn effective_batch(&self, batches: &[HostBatch], size: MicroBatchSize) -> Result<BatchLoss> {
        let mut micro_batches = Vec::new();
        let mut first_row = 0;
        for batch in batches {
            let frames = Frames { batch, spec: self.spec, pin_memory: self.pin_memory };
            let clips = size.micro_batches(batch.labels.len());
            micro_batches.extend(clips.map(|clips| MicroBatch { frames, first_row, clips }));
            first_row += batch.labels.len() * self.spec.frames;
        }
        if self.loss.sees_pairs() {
            return self.recomputed(&micro_batches, size);
        }
        let mut sum = BatchLoss::default();
        for micro_batch in &micro_batches {
            sum.add(self.micro_batch(micro_batch, size)?);
        }
        Ok(sum)
    }

    fn micro_batch(&self, micro_batch: &MicroBatch, size: MicroBatchSize) -> Result<BatchLoss> {
        fault()?;
        if size.chunk_frames.is_some() || self.detector.recomputes() {
            return self.recomputed(std::slice::from_ref(micro_batch), size);
        }
        let MicroBatch { frames, .. } = micro_batch;
        let rows = micro_batch.rows();
        let mode = micro_batch.mode(self.mode, &rows);
        let features_nf = self.detector.features(&frames.images(self.detector, rows, size)?, mode)?;
        self.head(&features_nf, &micro_batch.targets())
    }

    /// The same with less memory, because the backbone keeps no activations: first the features of all chunks, then
    /// their gradient from the head and from losses of pairs of clips, then the backbone once more for each chunk, with
    /// backward.
    fn recomputed(&self, micro_batches: &[MicroBatch], size: MicroBatchSize) -> Result<BatchLoss> {
        let inputs = |micro_batch: &MicroBatch, chunk: Range<usize>, mode| {
            fault()?;
            self.detector.segment_inputs(micro_batch.frames.images(self.detector, chunk, size)?, mode)
        };
        let chunks_of = |micro_batch| size.passes(MicroBatch::rows(micro_batch)).map(move |chunk| (micro_batch, chunk));
        let chunks: Vec<_> = micro_batches.iter().flat_map(chunks_of).collect();
        let mut features = Vec::with_capacity(chunks.len());
        let mut kept_inputs = None;
        for (micro_batch, chunk) in &chunks {
            let mode = micro_batch.mode(self.mode, chunk);
            let inputs = inputs(micro_batch, chunk.clone(), mode)?;
            features.push(self.detector.features_of(&inputs, mode)?);
            // The inputs of several chunks would take the memory that the cut into chunks saves.
            kept_inputs = (chunks.len() == 1).then_some(inputs);
        }
        let features_nf = Tensor::f_cat(&features, 0)?.f_set_requires_grad(true)?;
        drop(features);

        let batch_loss = self.heads(&features_nf, micro_batches)?;
        let gradient_nf = features_nf.f_grad()?;
        let mut row = 0;
        for (micro_batch, chunk) in &chunks {
            let mode = micro_batch.mode(self.mode, chunk);
            let inputs = match kept_inputs.take() {
                Some(inputs) => inputs,
                None => inputs(micro_batch, chunk.clone(), mode.recompute())?,
            };
            let gradient_nf = gradient_nf.f_narrow(0, row, chunk.len() as i64)?;
            self.detector.backward(inputs, &gradient_nf, mode)?;
            row += chunk.len() as i64;
        }
        Ok(batch_loss)
    }

    /// Heads, losses and backward of micro-batches, from the features `[N, F]` of all of them.
    fn heads(&self, features_nf: &Tensor, micro_batches: &[MicroBatch]) -> Result<BatchLoss> {
        let mut sum = BatchLoss::default();
        let mut row = 0;
        for micro_batch in micro_batches {
            let rows = micro_batch.rows().len() as i64;
            sum.add(self.head(&features_nf.f_narrow(0, row, rows)?, &micro_batch.targets())?);
            row += rows;
        }
        if !self.loss.sees_pairs() {
            return Ok(sum);
        }
        let is_fake: Vec<_> = sum.scores.iter().map(|(_, is_fake)| *is_fake).collect();
        let features_btf = features_nf.f_view([is_fake.len() as i64, self.spec.frames as i64, -1])?;
        let features_bf = features_btf.f_mean_dim([1_i64].as_slice(), false, None)?;
        if let Some(loss) = self.loss.of_pairs(&features_bf, &is_fake)? {
            loss.f_mul_scalar(self.loss_scale)?.f_backward()?;
            sum.loss += loss.f_double_value(&[])?;
        }
        Ok(sum)
    }

    /// Head, loss and backward, from the features `[N, F]` of the backbone.
    fn head(&self, features_nf: &Tensor, targets: &[f64]) -> Result<BatchLoss> {
        let features_btf = features_nf.f_view([targets.len() as i64, self.spec.frames as i64, -1])?;
        let logits_b = self.detector.logits(&features_btf, self.mode)?.clips_b.f_to_kind(Kind::Float)?;
        let loss = self.loss.sum(&logits_b, targets)?.f_div_scalar(self.effective_clips as f64)?;
        fault()?;
        loss.f_mul_scalar(self.loss_scale)?.f_backward()?;
        // A mixed clip counts as what most of it is.
        let is_fake = targets.iter().map(|target| *target >= 0.5);
        let scores = probabilities(&logits_b)?.into_iter().zip(is_fake).collect();
        Ok(BatchLoss { loss: loss.f_double_value(&[])?, scores })
    }
}
