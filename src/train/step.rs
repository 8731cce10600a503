//! One optimizer step: the effective batch cut into micro-batches, their gradients added up, one update.
//!
//! Forward and backward run inside the guard and leave no trace when they fail; the update is outside of it.

use tch::Kind;

use super::average::Average;
use super::checkpoint::Learned;
use crate::data::{ClipSpec, HostBatch, Label};
use crate::evaluate::{clips_to_device, probabilities};
use crate::memory::{Guard, GuardError};
use crate::model::Detector;
use crate::optim::{Loss, LossScaler, Optimizer};
use crate::torch::{self, Result as TorchResult, foreach};

/// What one forward and backward over the effective batch gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gradients {
    /// Mean loss over the clips.
    pub loss: f64,
    /// Probability of fake and the truth, of every clip.
    pub scores: Vec<(f64, bool)>,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Loss and scores of the clips.
    pub gradients: Gradients,
    /// Global L2 norm of the gradients before clipping.
    pub grad_norm: f64,
    /// False where loss or gradients were not finite: then no weight moved.
    pub updated: bool,
}

/// Everything that a step changes, and what it needs for that.
pub struct Stepper {
    /// The network.
    pub detector: Detector,
    /// Its optimizer.
    pub optimizer: Box<dyn Optimizer>,
    /// What is minimised.
    pub loss: Loss,
    /// The running average of the weights, where one is kept.
    pub average: Option<Average>,
    /// The factor on the loss.
    pub scaler: LossScaler,
    /// Cuts batches where memory is short.
    pub guard: Guard,
    /// Gradients are scaled down to this norm; 0 = never.
    pub clip_norm: f64,
    /// Shape of the clips.
    pub spec: ClipSpec,
    /// Copy clips through page-locked memory.
    pub pin_memory: bool,
    /// Frees what the rest of the program can spare, when memory ran out.
    pub relieve: Box<dyn FnMut()>,
}

impl Stepper {
    /// Learns from all clips of `batches` together, with one update at `learning_rate`.
    ///
    /// `seed` decides dropout, so that running the step again (in other micro-batches, or after a resume) needs no
    /// saved generator states.
    ///
    /// # Errors
    /// Memory does not even suffice for one clip, or libtorch failed otherwise.
    pub fn run(
        &mut self,
        batches: &[HostBatch],
        learning_rate: f64,
        seed: i64,
    ) -> Result<StepReport, GuardError<tch::TchError>> {
        let Self { detector, optimizer, loss, average, scaler, guard, clip_norm, spec, pin_memory, relieve } = self;
        let parameters = detector.parameters();
        let statistics = parameters.copy_buffers().map_err(GuardError::Other)?;
        let largest = batches.iter().map(|batch| batch.labels.len()).max().unwrap_or(0);
        let work = Work { detector, loss, batches, spec: *spec, scale: scaler.scale(), seed, pin_memory: *pin_memory };
        let recover = || {
            parameters.restore_buffers(&statistics)?;
            relieve();
            torch::release_cached_memory()
        };
        let gradients = guard.run(largest, |micro_batch| work.forward_backward(micro_batch), recover)?;

        let grads = parameters.gradients().map_err(GuardError::Other)?;
        let grads: Vec<_> = grads.iter().collect();
        let finite = scaler.unscale(&grads).map_err(GuardError::Other)?;
        let grad_norm = foreach::global_norm(&grads).map_err(GuardError::Other)?;
        let updated = finite && grad_norm.is_finite() && gradients.loss.is_finite();
        if updated {
            if *clip_norm > 0.0 && grad_norm + 1e-6 > *clip_norm {
                foreach::scale(&grads, *clip_norm / (grad_norm + 1e-6)).map_err(GuardError::Other)?;
            }
            optimizer.step(learning_rate).map_err(GuardError::Other)?;
            if let Some(average) = average {
                average.ema.update(optimizer.step_count()).map_err(GuardError::Other)?;
            }
        } else {
            // What a batch with infinities did to the running statistics would outlive it.
            parameters.restore_buffers(&statistics).map_err(GuardError::Other)?;
        }
        scaler.update(updated).map_err(GuardError::Other)?;
        Ok(StepReport { gradients, grad_norm, updated })
    }
}

impl Stepper {
    /// What validation and tests look at: the average of the weights where one is kept.
    #[must_use]
    pub fn tested(&self) -> &Detector {
        self.average.as_ref().map_or(&self.detector, |average| &average.detector)
    }

    /// What a checkpoint keeps.
    #[must_use]
    pub fn learned(&self) -> Learned<'_> {
        Learned {
            parameters: self.detector.parameters(),
            average: self.average.as_ref().map(|average| average.detector.parameters()),
            optimizer: &*self.optimizer,
        }
    }
}

/// The part of a step that is run again when memory runs out.
struct Work<'a> {
    detector: &'a Detector,
    loss: &'a Loss,
    batches: &'a [HostBatch],
    spec: ClipSpec,
    scale: f64,
    seed: i64,
    pin_memory: bool,
}

impl Work<'_> {
    /// Leaves the sum of the micro-batches' gradients, times the scale, in the parameters.
    fn forward_backward(&self, micro_batch: usize) -> TorchResult<Gradients> {
        self.detector.parameters().zero_gradients()?;
        tch::manual_seed(self.seed);
        let clips: usize = self.batches.iter().map(|batch| batch.labels.len()).sum();
        let mut sum = Gradients::default();
        for batch in self.batches {
            for start in (0..batch.labels.len()).step_by(micro_batch) {
                let range = start..(start + micro_batch).min(batch.labels.len());
                let part = self.micro_step(batch, range, clips)?;
                sum.loss += part.loss;
                sum.scores.extend(part.scores);
            }
        }
        Ok(sum)
    }

    /// The loss is weighted by clips, so that cutting a batch (or a short last one) changes nothing.
    fn micro_step(&self, batch: &HostBatch, range: std::ops::Range<usize>, clips: usize) -> TorchResult<Gradients> {
        let device = self.detector.device();
        fault()?;
        let frames_bthwc = clips_to_device(batch, &self.spec, range.clone(), device, self.pin_memory)?;
        let is_fake: Vec<bool> = batch.labels[range].iter().map(|label| *label == Label::Fake).collect();
        let logits_b = self.detector.forward(&frames_bthwc, true)?.clips_b.f_to_kind(Kind::Float)?;
        let loss = self.loss.sum(&logits_b, &is_fake)?.f_div_scalar(clips as f64)?;
        fault()?;
        loss.f_mul_scalar(self.scale)?.f_backward()?;
        let scores = probabilities(&logits_b)?.into_iter().zip(is_fake).collect();
        Ok(Gradients { loss: loss.f_double_value(&[])?, scores })
    }
}

/// A place where tests make memory run out.
#[cfg(not(test))]
fn fault() -> TorchResult<()> {
    Ok(())
}
#[cfg(test)]
use tests::fault;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tch::{Device, TchError, Tensor};

    use super::*;
    use crate::config::{Backbone, Config, LossConfig, OptimizerChoice, Temporal};
    use crate::optim::{self, ParameterGroups};
    use crate::torch::{Format, generator_lock};

    thread_local! {
        /// Places to pass until memory runs out, one entry a failure.
        static FAULTS: RefCell<Vec<(usize, &'static str)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn fault() -> TorchResult<()> {
        FAULTS.with_borrow_mut(|faults| match faults.last_mut() {
            Some((0, message)) => {
                let error = TchError::Torch((*message).to_owned());
                faults.pop();
                Err(error)
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        })
    }

    fn spec() -> ClipSpec {
        ClipSpec::uniform(2, 32, 32, 1)
    }
    const OOM: &str = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes";

    fn stepper(temporal: Temporal, dropout: f64, micro_batch: usize) -> Stepper {
        let mut config = Config::default().model;
        (config.backbone, config.temporal, config.hidden_dim) = (Backbone::Resnet18, temporal, 16);
        config.dropout = dropout;
        tch::manual_seed(3);
        let detector = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
        let named = detector.parameters().trainable().map(|p| (p.name.as_str(), &p.tensor));
        Stepper {
            optimizer: optim::optimizer(OptimizerChoice::Adamw, ParameterGroups::new(named, 1e-4, 1.0)).unwrap(),
            loss: Loss::new(&LossConfig::default(), [1, 1]),
            average: None,
            scaler: LossScaler::new(false),
            guard: Guard::new("train", micro_batch, true),
            clip_norm: 1.0,
            spec: spec(),
            pin_memory: false,
            relieve: Box::new(|| {}),
            detector,
        }
    }

    fn batch(index: usize, clips: usize) -> HostBatch {
        let pixel = |i: usize| (i * 7919 % 251) as u8 ^ (i / 6144 * 31 + index) as u8;
        HostBatch {
            index,
            frames_bthwc: (0..clips * 2 * 32 * 32 * 3).map(pixel).collect(),
            labels: (0..clips).map(|clip| if clip % 2 == 0 { Label::Real } else { Label::Fake }).collect(),
            videos: (0..clips).collect(),
            skipped: Vec::new(),
        }
    }

    fn weights(stepper: &Stepper) -> Vec<Tensor> {
        stepper.detector.parameters().iter().map(|parameter| parameter.tensor.detach().copy()).collect()
    }

    fn assert_same(a: &[Tensor], b: &[Tensor]) {
        assert!(a.iter().zip(b).all(|(a, b)| a.equal(b)), "weights or statistics differ");
    }

    /// The promise of the guard: a run with failures ends with the same bits as one that was never disturbed.
    #[test]
    fn failures_leave_no_trace() {
        let _alone = generator_lock();
        let run = |micro_batch: usize, faults: Vec<(usize, &'static str)>| {
            let mut stepper = stepper(Temporal::LstmAttention, 0.3, micro_batch);
            FAULTS.set(faults);
            let reports: Vec<_> =
                (0..3).map(|step| stepper.run(&[batch(step, 4)], 1e-3, step as i64).unwrap()).collect();
            (weights(&stepper), reports, stepper.guard.events().len())
        };
        let (calm_weights, calm_reports, _) = run(1, vec![]);
        // In the first step: forward of the first micro-batch, then backward of the second.
        let (weights, reports, failures) = run(4, vec![(3, OOM), (0, OOM)]);
        assert_eq!(failures, 2);
        assert_eq!(reports, calm_reports);
        assert_same(&weights, &calm_weights);
    }

    #[test]
    fn micro_batches_give_the_gradients_of_the_whole() {
        let _alone = generator_lock();
        // Running statistics instead of the batch's own: batch norm couples the clips of a forward pass otherwise.
        let gradients = |batches: &[HostBatch], micro_batch: usize| {
            let stepper = stepper(Temporal::Mean, 0.0, 8);
            let work = Work {
                detector: &stepper.detector,
                loss: &stepper.loss,
                batches,
                spec: spec(),
                scale: 1.0,
                seed: 0,
                pin_memory: false,
            };
            stepper.detector.parameters().zero_gradients().unwrap();
            let clips: usize = batches.iter().map(|b| b.labels.len()).sum();
            let mut loss = 0.0;
            for batch in batches {
                for start in (0..batch.labels.len()).step_by(micro_batch) {
                    let range = start..(start + micro_batch).min(batch.labels.len());
                    let frames = clips_to_device(batch, &spec(), range.clone(), Device::Cpu, false).unwrap();
                    let targets: Vec<f32> =
                        batch.labels[range].iter().map(|l| f32::from(u8::from(*l == Label::Fake))).collect();
                    let logits = work.detector.forward(&frames, false).unwrap().clips_b;
                    let part = logits.binary_cross_entropy_with_logits::<Tensor>(
                        &Tensor::from_slice(&targets),
                        None,
                        None,
                        tch::Reduction::Sum,
                    ) / clips as f64;
                    part.backward();
                    loss += part.double_value(&[]);
                }
            }
            let gradients = stepper.detector.parameters().gradients().unwrap();
            let norm = foreach::global_norm(&gradients.iter().collect::<Vec<_>>()).unwrap();
            (loss, norm)
        };
        let (whole_loss, whole_norm) = gradients(&[batch(0, 5)], 5);
        let (cut_loss, cut_norm) = gradients(&[batch(0, 5)], 2);
        assert!((whole_loss - cut_loss).abs() < 1e-5 * whole_loss, "{whole_loss} {cut_loss}");
        assert!((whole_norm - cut_norm).abs() < 1e-5 * whole_norm, "{whole_norm} {cut_norm}");
    }

    #[test]
    fn accumulated_batches_are_one_effective_batch() {
        let _alone = generator_lock();
        let loss = |batches: &[HostBatch]| {
            let mut stepper = stepper(Temporal::Mean, 0.0, 1);
            let report = stepper.run(batches, 1e-3, 0).unwrap();
            (report, weights(&stepper))
        };
        // Clip by clip the forward passes are the same, whichever batch a clip came in.
        let whole = batch(0, 3);
        let clip_bytes = whole.frames_bthwc.len() / 3;
        let part = |from: usize, to: usize| HostBatch {
            frames_bthwc: whole.frames_bthwc[from * clip_bytes..to * clip_bytes].to_vec(),
            labels: whole.labels[from..to].to_vec(),
            videos: whole.videos[from..to].to_vec(),
            ..batch(0, 0)
        };
        let (one, one_weights) = loss(std::slice::from_ref(&whole));
        let (two, two_weights) = loss(&[part(0, 2), part(2, 3)]);
        assert_eq!(one, two);
        assert_same(&one_weights, &two_weights);
    }

    #[test]
    fn a_plain_bug_is_not_retried_and_moves_nothing() {
        let _alone = generator_lock();
        let mut stepper = stepper(Temporal::Mean, 0.0, 4);
        let before = weights(&stepper);
        FAULTS.set(vec![(0, "CUDA error: an illegal memory access was encountered")]);
        assert!(matches!(stepper.run(&[batch(0, 4)], 1e-3, 0), Err(GuardError::Other(_))));
        assert_same(&weights(&stepper), &before);
    }

    #[test]
    fn gradients_that_are_not_finite_move_nothing() {
        let _alone = generator_lock();
        let mut stepper = stepper(Temporal::Mean, 0.0, 4);
        stepper.scaler = LossScaler::new(true);
        {
            let _no_grad = tch::no_grad_guard();
            let bias = stepper.detector.parameters().iter().find(|p| p.name == "head.fc.bias").unwrap();
            let _ = bias.tensor.shallow_clone().fill_(f64::INFINITY);
        }
        let before = weights(&stepper);
        let report = stepper.run(&[batch(0, 4)], 1e-3, 0).unwrap();
        assert!(!report.updated);
        assert_same(&weights(&stepper), &before);
        assert_eq!((stepper.scaler.scale(), stepper.optimizer.step_count()), (32768.0, 0));
    }

    #[test]
    fn the_scale_of_the_loss_changes_only_rounding() {
        let _alone = generator_lock();
        let norm = |enabled| {
            let mut stepper = stepper(Temporal::Mean, 0.0, 4);
            stepper.scaler = LossScaler::new(enabled);
            stepper.run(&[batch(0, 4)], 1e-3, 0).unwrap().grad_norm
        };
        assert!((norm(true) - norm(false)).abs() < 1e-5 * norm(false));
    }
}
