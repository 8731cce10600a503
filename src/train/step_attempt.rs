//! Forward and backward of the effective batch of a step, as the guard runs it: in micro-batches, also in chunks of frames
//! and with recomputed activations.
//!
//! A failed attempt leaves no trace. It changes gradients, the random generator and the running statistics of batch norm:
//! every attempt starts by setting the first two, and [`StepAttempt::recover`] restores the third. This file knows nothing of
//! the update.

use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};

use super::fault::fault;
use super::learner::Learner;
use crate::config::Precision;
use crate::evaluate::{Feed, Frames, Uploads, probabilities};
use crate::loader::HostBatch;
use crate::memory::{Attempt, MicroBatchSize};
use crate::model::{Detector, Mode};
use crate::optim::{Loss, LossScaler};
use crate::torch::{self, Format, Result, foreach};
use crate::video::ClipSpec;

/// The results of forward and backward. The gradients are in the parameters, without the loss scale.
#[derive(Debug)]
pub(super) struct Gradients {
    /// Mean loss over the clips.
    pub loss: f64,
    /// For each clip, its predicted probability of fake and whether it is fake.
    pub scores: Vec<(f64, bool)>,
    /// Global L2 norm of the gradients; not finite if one of them is not.
    pub norm: f64,
}

/// Forward and backward of a step.
pub(super) struct StepAttempt<'a> {
    pub learner: &'a mut Learner,
    pub loss: &'a Loss,
    pub scaler: &'a LossScaler,
    pub saved_buffers: &'a [Tensor],
    /// Other tensors of the step, which move to another device with the network.
    pub kept_buffers: &'a [Tensor],
    pub uploads: &'a mut Uploads,
    pub clean_up: &'a mut dyn FnMut(),
    /// The device that training started on, and the number format there.
    pub home: (Device, Format),
    pub batches: &'a [HostBatch],
    /// The first batch of the next step.
    pub next: Option<&'a HostBatch>,
    pub spec: &'a ClipSpec,
    pub pin_memory: bool,
    pub seed: i64,
    /// Decides the number format after a move to another device.
    pub precision: Precision,
    /// `Train`, or `Evaluate` in tests: there batch norm does not depend on the other clips of a micro-batch.
    pub mode: Mode,
}

impl<'a> Attempt for StepAttempt<'a> {
    type Output = Gradients;
    type Error = TchError;

    fn attempt(&mut self, size: MicroBatchSize) -> Result<Gradients> {
        let (home, format) = self.home;
        if !size.on_cpu && self.learner.detector.device() != home {
            // The guard has seen memory of the GPU again.
            self.move_to(home, format)?;
        }
        self.learner.detector.parameters().zero_gradients()?;
        tch::manual_seed(self.seed);
        let micro_batches = self.micro_batches(size)?;
        let pass = ForwardBackward {
            detector: &self.learner.detector,
            loss: self.loss,
            loss_scale: self.scaler.scale(),
            effective_clips: self.batches.iter().map(|batch| batch.labels.len()).sum(),
            spec: self.spec,
            mode: self.mode,
            size,
        };
        let after = self.next.and_then(|next| {
            let frames = self.frames(next);
            Some((frames, size.passes(frames.of_clips(&size.micro_batches(next.labels.len()).next()?)).next()?))
        });
        let passes = pass.parts(&micro_batches).flat_map(|part| pass.passes(part)).chain(after);
        let mut unread = Unread::default();
        {
            let feed = &mut self.uploads.feed(passes);
            pass.parts(&micro_batches).try_for_each(|part| pass.part(part, feed, &mut unread))?;
        }
        fault()?;
        let norm = self.unscaled_norm()?;
        unread.read(norm, &micro_batches)
    }

    fn recover(&mut self, next: MicroBatchSize) -> Result<()> {
        self.uploads.clear();
        self.learner.detector.parameters().restore_buffers(self.saved_buffers)?;
        if next.on_cpu {
            // A part of it may be there already.
            self.move_to(Device::Cpu, Format::resolve(self.precision, None))?;
        }
        (self.clean_up)();
        torch::release_cached_memory()
    }
}

impl<'a> StepAttempt<'a> {
    fn frames(&self, batch: &'a HostBatch) -> Frames<'a> {
        Frames { batch, spec: self.spec, pin_memory: self.pin_memory }
    }

    /// The micro-batches of all batches. The targets of a batch travel to the device as one.
    fn micro_batches(&self, size: MicroBatchSize) -> Result<Vec<MicroBatch<'a>>> {
        let (mut micro_batches, mut first_row) = (Vec::new(), 0);
        for batch in self.batches {
            let frames = self.frames(batch);
            let targets = batch.targets();
            let targets_2b = torch::send(&self.loss.targets(&targets)?, self.learner.detector.device())?;
            for clips in size.micro_batches(batch.labels.len()) {
                let targets_2b = targets_2b.f_narrow(1, clips.start as i64, clips.len() as i64)?;
                let is_fake = targets[clips.clone()].iter().map(|target| *target >= 0.5).collect();
                micro_batches.push(MicroBatch { frames, first_row, clips, targets_2b, is_fake });
            }
            first_row += batch.labels.len() * self.spec.frames;
        }
        Ok(micro_batches)
    }

    /// Divides the gradients by the loss scale, and returns their global L2 norm on the device; `None` without gradients.
    fn unscaled_norm(&self) -> Result<Option<Tensor>> {
        let _no_grad = tch::no_grad_guard();
        let gradients = self.learner.detector.parameters().gradients()?;
        if gradients.is_empty() {
            return Ok(None);
        }
        let gradients: Vec<_> = gradients.iter().collect();
        self.scaler.unscale(&gradients)?;
        foreach::global_norm(&gradients).map(Some)
    }

    /// Moves weights, moments and running statistics to the CPU, where the same step runs again, or back to the GPU.
    fn move_to(&mut self, device: Device, format: Format) -> Result<()> {
        if device == Device::Cpu && self.learner.detector.device() != device {
            tracing::warn!("training goes on on the CPU, which is much slower");
        }
        self.learner.move_to(device, format)?;
        self.saved_buffers.iter().chain(self.kept_buffers).try_for_each(|buffer| torch::move_to(buffer, device))
    }
}

/// Some clips of one of the batches of a step.
struct MicroBatch<'b> {
    frames: Frames<'b>,
    /// The number of frames of the effective batch before its batch.
    first_row: usize,
    clips: Range<usize>,
    /// What the loss needs to know of its clips, on the device.
    targets_2b: Tensor,
    /// Whether each of its clips is fake. A mixed clip counts as what most of it is.
    is_fake: Vec<bool>,
}

impl MicroBatch<'_> {
    /// The range of its frames in its batch.
    fn rows(&self) -> Range<usize> {
        self.frames.of_clips(&self.clips)
    }

    /// The mode of a pass over these frames of its batch.
    fn mode(&self, mode: Mode, rows: &Range<usize>) -> Mode {
        mode.from_row(self.first_row + rows.start)
    }
}

/// Results that are still on the device.
#[derive(Default)]
struct Unread {
    /// Parts of the loss, which is their sum.
    losses: Vec<Tensor>,
    /// The probabilities of fake, `[B]` of each micro-batch.
    probabilities: Vec<Tensor>,
}

impl Unread {
    /// Reads everything at once: the only time in a step that the host waits for the device.
    fn read(mut self, norm: Option<Tensor>, micro_batches: &[MicroBatch]) -> Result<Gradients> {
        let losses = self.losses.len();
        let has_norm = norm.is_some();
        self.losses.extend(norm);
        self.losses.append(&mut self.probabilities);
        let numbers = torch::read(&self.losses)?;
        let (loss, rest) = numbers.split_at(losses);
        let (norm, scores) = rest.split_at(usize::from(has_norm));
        let is_fake = micro_batches.iter().flat_map(|micro_batch| micro_batch.is_fake.iter().copied());
        Ok(Gradients {
            loss: loss.iter().fold(0.0, |sum, part| sum + part),
            norm: norm.first().copied().unwrap_or(0.0),
            scores: scores.iter().copied().zip(is_fake).collect(),
        })
    }
}

/// What is the same for all micro-batches of a step.
struct ForwardBackward<'a> {
    detector: &'a Detector,
    loss: &'a Loss,
    loss_scale: f64,
    /// The number of clips in the effective batch. The loss of a clip is divided by it, so that the size of the
    /// micro-batches does not change the gradients.
    effective_clips: usize,
    spec: &'a ClipSpec,
    mode: Mode,
    size: MicroBatchSize,
}

impl ForwardBackward<'_> {
    /// The micro-batches that go to backward together: each by itself, or all for a loss that sees pairs of their clips.
    fn parts<'m, 'b>(&self, micro_batches: &'m [MicroBatch<'b>]) -> impl Iterator<Item = &'m [MicroBatch<'b>]> {
        micro_batches.chunks(if self.loss.sees_pairs() { micro_batches.len().max(1) } else { 1 })
    }

    /// Whether the backbone keeps no activations, and runs a second time.
    fn recomputes(&self) -> bool {
        self.loss.sees_pairs() || self.size.chunk_frames.is_some() || self.detector.recomputes()
    }

    /// The chunks of frames of a part, each for one pass of the backbone.
    fn chunks<'m, 'b>(&self, part: &'m [MicroBatch<'b>]) -> Vec<(&'m MicroBatch<'b>, Range<usize>)> {
        let of =
            |micro_batch: &'m MicroBatch<'b>| self.size.passes(micro_batch.rows()).map(move |rows| (micro_batch, rows));
        part.iter().flat_map(of).collect()
    }

    /// The frames of all passes of a part, in their order.
    fn passes<'b>(&self, part: &[MicroBatch<'b>]) -> Vec<(Frames<'b>, Range<usize>)> {
        let chunks = self.chunks(part);
        let times = if self.recomputes() && chunks.len() > 1 { 2 } else { 1 };
        let passes = std::iter::repeat_n(&chunks, times).flatten();
        passes.map(|(micro_batch, rows)| (micro_batch.frames, rows.clone())).collect()
    }

    /// Forward and backward of a part.
    fn part(&self, part: &[MicroBatch], feed: &mut Feed, unread: &mut Unread) -> Result<()> {
        fault()?;
        if self.recomputes() {
            return self.recomputed(part, feed, unread);
        }
        for micro_batch in part {
            let mode = micro_batch.mode(self.mode, &micro_batch.rows());
            let features_nf = self.detector.features(&feed.images(self.detector, self.size)?, mode)?;
            self.head(&features_nf, micro_batch, unread)?;
            feed.send_next(self.detector, self.size)?;
        }
        Ok(())
    }

    /// The same with less memory, because the backbone keeps no activations: first the features of all chunks, then
    /// their gradient from the head and from losses of pairs of clips, then the backbone once more for each chunk, with
    /// backward.
    fn recomputed(&self, part: &[MicroBatch], feed: &mut Feed, unread: &mut Unread) -> Result<()> {
        let inputs = |feed: &mut Feed, mode| {
            fault()?;
            self.detector.segment_inputs(feed.images(self.detector, self.size)?, mode)
        };
        let chunks = self.chunks(part);
        let mut features = Vec::with_capacity(chunks.len());
        let mut kept_inputs = None;
        for (micro_batch, rows) in &chunks {
            let mode = micro_batch.mode(self.mode, rows);
            let inputs = inputs(feed, mode)?;
            features.push(self.detector.features_of(&inputs, mode)?);
            // The inputs of several chunks would take the memory that the cut into chunks saves.
            kept_inputs = (chunks.len() == 1).then_some(inputs);
            feed.send_next(self.detector, self.size)?;
        }
        let features_nf = Tensor::f_cat(&features, 0)?.f_set_requires_grad(true)?;
        drop(features);

        self.heads(&features_nf, part, unread)?;
        let gradient_nf = features_nf.f_grad()?;
        let mut row = 0;
        for (micro_batch, rows) in &chunks {
            let mode = micro_batch.mode(self.mode, rows);
            let inputs = match kept_inputs.take() {
                Some(inputs) => inputs,
                None => inputs(feed, mode.recompute())?,
            };
            let gradient_nf = gradient_nf.f_narrow(0, row, rows.len() as i64)?;
            self.detector.backward(inputs, &gradient_nf, mode)?;
            row += rows.len() as i64;
            feed.send_next(self.detector, self.size)?;
        }
        Ok(())
    }

    /// Heads, losses and backward of micro-batches, from the features `[N, F]` of all of them.
    fn heads(&self, features_nf: &Tensor, part: &[MicroBatch], unread: &mut Unread) -> Result<()> {
        let mut row = 0;
        for micro_batch in part {
            let rows = micro_batch.rows().len() as i64;
            self.head(&features_nf.f_narrow(0, row, rows)?, micro_batch, unread)?;
            row += rows;
        }
        if !self.loss.sees_pairs() {
            return Ok(());
        }
        let is_fake: Vec<_> = part.iter().flat_map(|micro_batch| micro_batch.is_fake.iter().copied()).collect();
        let features_btf = features_nf.f_view([is_fake.len() as i64, self.spec.frames as i64, -1])?;
        let features_bf = features_btf.f_mean_dim([1_i64].as_slice(), false, None)?;
        if let Some(loss) = self.loss.of_pairs(&features_bf, &is_fake)? {
            loss.f_mul_scalar(self.loss_scale)?.f_backward()?;
            unread.losses.push(loss.f_detach()?);
        }
        Ok(())
    }

    /// Head, loss and backward, from the features `[N, F]` of the backbone.
    fn head(&self, features_nf: &Tensor, micro_batch: &MicroBatch, unread: &mut Unread) -> Result<()> {
        let features_btf = features_nf.f_view([micro_batch.clips.len() as i64, self.spec.frames as i64, -1])?;
        let logits_b = self.detector.logits(&features_btf, self.mode)?.clips_b.f_to_kind(Kind::Float)?;
        let loss = self.loss.sum(&logits_b, &micro_batch.targets_2b)?.f_div_scalar(self.effective_clips as f64)?;
        fault()?;
        loss.f_mul_scalar(self.loss_scale)?.f_backward()?;
        unread.losses.push(loss.f_detach()?);
        unread.probabilities.push(probabilities(&logits_b)?);
        Ok(())
    }
}
