//! The mean of the weights of the best epochs (`training.average_best`), validated and saved for the test.
//!
//! It is stochastic weight averaging (Izmailov et al. 2018) over epochs that validation chooses. Batch norm's running
//! statistics are measured anew, as `torch.optim.swa_utils.update_bn` does, because the activations of a mean of
//! weights are those of none of them.

use std::sync::atomic::Ordering;

use tch::{Device, TchError, Tensor};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::error::{StepError, TrainError};
use super::learner::Learner;
use super::state::Average;
use super::trainer::{FitEnd, Trainer, step_seed};
use crate::clip::Draw;
use crate::config::{Config, Precision, TrainingConfig};
use crate::evaluate::{EvaluateError, Frames, scored_videos};
use crate::loader::HostBatch;
use crate::memory::{Attempt, GuardError, MicroBatchSize};
use crate::metrics::fit_temperature;
use crate::model::{Draws, Mode, Parameters};
use crate::torch::{self, Format, Result as TorchResult, foreach};
use crate::video::ClipSpec;

impl Trainer<'_> {
    /// Averages the best epochs, validates the result and saves it as the checkpoint `average`. Afterwards the network
    /// holds the mean and cannot be trained further.
    ///
    /// # Errors
    /// See [`TrainError`]. The checkpoints of the epochs are unchanged.
    pub fn average_best(&mut self) -> Result<FitEnd, TrainError> {
        let best = self.saver.checkpoints()?.best_epochs(self.config)?;
        let parameters = self.model.stepper.learner.eval_model().parameters();
        load_mean(&best, parameters)?;
        if !self.measure_statistics()? {
            return Ok(FitEnd::Interrupted);
        }
        let evaluation = match self.evaluate("validate", &self.data.val_videos.clone()) {
            Err(TrainError::Evaluate(EvaluateError::Interrupted)) => return Ok(FitEnd::Interrupted),
            evaluation => evaluation?,
        };
        let samples = scored_videos(&evaluation.videos);
        let epochs = best.iter().map(|checkpoint| Ok(checkpoint.state()?.epoch));
        let average = Average {
            epochs: epochs.collect::<Result<_, CheckpointError>>()?,
            validation: samples.metrics(),
            temperature: fit_temperature(&samples.scores, &samples.is_fake),
        };
        self.recorder.average(self.model.state.step, &average)?;
        self.model.state.average = Some(average);
        let parameters = self.model.stepper.learner.eval_model().parameters();
        self.saver.checkpoints()?.save_average(parameters, &self.model.state, self.config)?;
        self.recorder.refresh_page();
        Ok(FitEnd::Completed)
    }

    /// Sets the running statistics of batch norm, where there are some, to their mean over the clips of one more epoch.
    /// False if the user wants to stop.
    fn measure_statistics(&mut self) -> Result<bool, TrainError> {
        let Some(momentum) = self.model.stepper.learner.detector.norm_momentum() else { return Ok(true) };
        let events_before = self.model.stepper.guard.events().len();
        let measured = self.training_passes();
        let (stepper, state) = (&self.model.stepper, &mut self.model.state);
        let device = stepper.learner.detector.device();
        let events = &stepper.guard.events()[events_before..];
        let logged = self.recorder.size_changes(state, device, events);
        let logged = logged.and_then(|()| self.recorder.cleanups(state, self.memory.take_cleanups()));
        let Some((sums, frames)) = measured? else { return Ok(false) };
        logged?;
        self.follow_device();
        let model = self.model.stepper.learner.eval_model();
        if frames > 0 {
            let share = 1.0 / (frames as f64 * momentum);
            let means: TorchResult<Vec<_>> = sums.iter().map(|sum| sum.f_mul_scalar(share)).collect();
            let restored = means.and_then(|means| model.parameters().restore_buffers(&means));
            restored.map_err(CheckpointError::from)?;
        }
        Ok(true)
    }

    /// Runs the clips of one more epoch in training mode. Returns what [`Measuring`] sums up, with the number of
    /// frames; `None` if the user wants to stop.
    fn training_passes(&mut self) -> Result<Option<(Vec<Tensor>, usize)>, TrainError> {
        let Config { seed, training: TrainingConfig { epochs, .. }, gpu, data, .. } = self.config;
        let spec = ClipSpec::of_training(data);
        let (stepper, state) = (&mut self.model.stepper, &mut self.model.state);
        let loader = self.data.loader;
        let mut pass = loader.pass(self.data.plan(*epochs), Some(Draw::new(*seed, *epochs)));
        let (mut sums, mut frames, mut step) = (Vec::new(), 0, state.step);
        while let Some(batch) = pass.next_batch() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut measuring = Measuring {
                learner: &mut stepper.learner,
                batch: &batch,
                spec: &spec,
                draws: Draws::new(step_seed(*seed, step)),
                precision: gpu.mixed_precision,
                clean_up: &mut *stepper.clean_up,
            };
            if !batch.labels.is_empty() {
                let measured = match stepper.guard.run(batch.labels.len(), &mut measuring) {
                    Err(GuardError::Interrupted) => return Ok(None),
                    measured => measured.map_err(StepError::from)?,
                };
                add(&mut sums, measured).map_err(CheckpointError::from)?;
            }
            frames += batch.labels.len() * spec.frames;
            step += 1;
            self.recorder.skipped_videos(state, &batch.skipped);
        }
        Ok(Some((sums, frames)))
    }
}

/// Sets `parameters` to the mean of the weights of these checkpoints that are validated and tested.
fn load_mean(checkpoints: &[Checkpoint], parameters: &Parameters) -> Result<(), CheckpointError> {
    let _no_grad = tch::no_grad_guard();
    let mut sums = Vec::new();
    for checkpoint in checkpoints {
        checkpoint.load_eval_model(parameters)?;
        // On the host, where there is room for the sums.
        let values = parameters.iter().map(|parameter| parameter.tensor.f_to_device(Device::Cpu)?.f_detach_copy());
        add(&mut sums, values.collect::<TorchResult<_>>()?)?;
    }
    for (parameter, sum) in parameters.iter().zip(&sums) {
        parameter.tensor.shallow_clone().f_copy_(&sum.f_div_scalar(checkpoints.len() as f64)?)?;
    }
    Ok(())
}

/// Adds `values` to `sums`, which may still be empty.
fn add(sums: &mut Vec<Tensor>, values: Vec<Tensor>) -> TorchResult<()> {
    let _no_grad = tch::no_grad_guard();
    if sums.is_empty() {
        *sums = values;
        return Ok(());
    }
    foreach::add(&sums.iter().collect::<Vec<_>>(), &values.iter().collect::<Vec<_>>())
}

/// Training passes over one batch for the statistics of batch norm alone.
struct Measuring<'a> {
    learner: &'a mut Learner,
    batch: &'a HostBatch,
    spec: &'a ClipSpec,
    draws: Draws,
    /// Decides the number format after a move to the CPU.
    precision: Precision,
    clean_up: &'a mut dyn FnMut(),
}

impl Attempt for Measuring<'_> {
    /// For each running statistic, the sum over frames of `momentum` times the statistic of their pass.
    type Output = Vec<Tensor>;
    type Error = TchError;

    fn attempt(&mut self, size: MicroBatchSize) -> TorchResult<Vec<Tensor>> {
        let _no_grad = tch::no_grad_guard();
        let detector = self.learner.eval_model();
        let frames = Frames { batch: self.batch, spec: self.spec, pin_memory: false };
        let zeros: Vec<_> = detector.parameters().copy_buffers()?;
        foreach::zero(&zeros.iter().collect::<Vec<_>>())?;
        let mut sums = Vec::new();
        for clips in size.micro_batches(frames.clips()) {
            for rows in size.passes(frames.of_clips(&clips)) {
                // From 0, one pass leaves `momentum` times its own statistic.
                detector.parameters().restore_buffers(&zeros)?;
                let images_nchw = frames.images(detector, rows.clone(), size)?;
                let _ = detector.features(&images_nchw, Mode::Train(self.draws.from_row(rows.start)))?;
                let of_pass = detector.parameters().copy_buffers()?;
                let weighted = of_pass.iter().map(|statistic| statistic.f_mul_scalar(rows.len() as f64));
                add(&mut sums, weighted.collect::<TorchResult<_>>()?)?;
            }
        }
        Ok(sums)
    }

    fn recover(&mut self, next: MicroBatchSize) -> TorchResult<()> {
        if next.on_cpu && self.learner.detector.device() != Device::Cpu {
            self.learner.move_to(Device::Cpu, Format::resolve(self.precision, None))?;
        }
        (self.clean_up)();
        torch::release_cached_memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Backbone;
    use crate::dataset::Label;
    use crate::model::Detector;
    use crate::torch::generator_lock;

    /// Three clips in micro-batches of two: the statistics of the first batch norm are those of the first convolution.
    #[test]
    fn statistics_are_the_mean_over_passes_of_those_of_each() {
        let _alone = generator_lock();
        let mut config = Config::default();
        (config.model.backbone, config.model.hidden_dim) = (Backbone::Resnet18, 16);
        (config.data.max_frames, config.data.frame_size) = (2, [40, 40]);
        tch::manual_seed(5);
        let detector = Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap();
        let mut learner = Learner::new(&config.training, detector, None).unwrap();
        let spec = ClipSpec::of(&config.data);
        let bytes: Vec<_> = (0..3 * spec.clip_bytes()).map(|i| (i * 7919 % 251) as u8 ^ (i >> 10) as u8).collect();
        let batch = HostBatch::of_bytes(&bytes, vec![Label::Real; 3]);
        let mut measuring = Measuring {
            learner: &mut learner,
            batch: &batch,
            spec: &spec,
            draws: Draws::default(),
            precision: Precision::Off,
            clean_up: &mut || {},
        };
        let sums = measuring.attempt(MicroBatchSize::whole(2)).unwrap();

        let parameters = learner.detector.parameters();
        let conv1 = &parameters.iter().find(|p| p.name == "backbone.conv1.weight").unwrap().tensor;
        let frames = Frames { batch: &batch, spec: &spec, pin_memory: false };
        let passes = [0..4, 4..6].map(|rows| {
            let images_nchw = frames.images(&learner.detector, rows, MicroBatchSize::whole(2)).unwrap();
            let maps_nchw = images_nchw.conv2d(conv1, None::<Tensor>, [2, 2], [3, 3], [1, 1], 1).detach();
            let maps_c = maps_nchw.permute([1, 0, 2, 3]).reshape([64, -1]);
            [maps_c.mean_dim([1_i64].as_slice(), false, None), maps_c.var_dim([1_i64].as_slice(), true, false)]
        });
        for (statistic, sum) in sums.iter().take(2).enumerate() {
            let measured = sum / (6.0 * learner.detector.norm_momentum().unwrap());
            let expected = (&passes[0][statistic] * 4.0 + &passes[1][statistic] * 2.0) / 6.0;
            let difference = (&measured - &expected).norm().double_value(&[]);
            assert!(difference < 1e-4 * expected.norm().double_value(&[]), "{statistic}: {difference}");
        }
    }
}
