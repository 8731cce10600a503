//! The tensors that training changes: those of the network, of the exponential moving average (EMA) of its weights, and
//! of the optimizer. Knows nothing of batches and files.

use tch::{Device, Tensor};

use crate::config::{OptimizerChoice, TrainingConfig};
use crate::model::{Detector, Parameters};
use crate::optim::{Ema, Optimizer, ParameterGroups, Sam, optimizer};
use crate::torch::{self, Format, Result};

/// A network, its optimizer and the EMA of its weights.
#[derive(Debug)]
pub struct Learner {
    /// The network that is trained.
    pub detector: Detector,
    /// The optimizer of its weights.
    pub optimizer: Box<dyn Optimizer>,
    /// Where a step takes its gradient, if not at the weights themselves.
    pub sam: Option<Sam>,
    ema_model: Option<EmaModel>,
}

/// A network whose weights and running statistics are the moving average of those of another network.
#[derive(Debug)]
struct EmaModel {
    detector: Detector,
    ema: Ema,
}

impl Learner {
    /// Trains `detector`. `ema_detector` has the same architecture and holds the EMA if `training.ema_decay` is set.
    ///
    /// # Errors
    /// There is no memory for the state of the optimizer.
    pub fn new(training: &TrainingConfig, detector: Detector, ema_detector: Option<Detector>) -> Result<Self> {
        let parameters = detector.parameters();
        let parts = detector.backbone_parts();
        let named = parameters.trainable().map(|parameter| {
            let scale = learning_rate_scale(training, parameter.part, parts);
            (parameter.name.as_str(), &parameter.tensor, scale)
        });
        let groups = ParameterGroups::new(named, training.weight_decay);
        let optimizer = optimizer(training.optimizer, groups)?;
        let weights = || parameters.trainable().map(|parameter| parameter.tensor.shallow_clone()).collect();
        let climbs = training.optimizer == OptimizerChoice::Sam;
        let sam = climbs.then(|| Sam::new(weights(), training.sam_rho)).transpose()?;
        let ema_model = match (ema_detector, training.ema_decay) {
            (Some(detector), Some(decay)) => {
                let ema = Ema::new(tensors(detector.parameters()), tensors(parameters), decay)?;
                Some(EmaModel { detector, ema })
            }
            _ => None,
        };
        Ok(Self { detector, optimizer, sam, ema_model })
    }

    /// The network for validation and tests: that of the EMA, where one is kept.
    #[must_use]
    pub fn eval_model(&self) -> &Detector {
        self.ema_model.as_ref().map_or(&self.detector, |ema_model| &ema_model.detector)
    }

    /// The weights of the EMA, where one is kept.
    #[must_use]
    pub fn ema_parameters(&self) -> Option<&Parameters> {
        self.ema_model.as_ref().map(|ema_model| ema_model.detector.parameters())
    }

    /// Updates the weights by their gradients, then the EMA.
    ///
    /// # Errors
    /// There is no memory for lists of pointers. The update of the optimizer is done as a whole or not at all.
    pub fn update(&mut self, learning_rate: f64) -> Result<()> {
        self.optimizer.step(learning_rate)?;
        match &self.ema_model {
            Some(ema_model) => ema_model.ema.update(self.optimizer.step_count()),
            None => Ok(()),
        }
    }

    /// Moves all tensors to a device, in this number format.
    ///
    /// # Errors
    /// The device has no memory for them. Some may have moved; another call moves the rest, or all of them elsewhere.
    pub fn move_to(&mut self, device: Device, format: Format) -> Result<()> {
        self.detector.move_to(device, format)?;
        if let Some(ema_model) = &mut self.ema_model {
            ema_model.detector.move_to(device, format)?;
        }
        let state = self.optimizer.state().into_iter().map(|(_, tensor)| tensor);
        let before = self.sam.iter().flat_map(Sam::tensors);
        state.chain(before).try_for_each(|tensor| torch::move_to(tensor, device))
    }
}

/// The factor on the learning rate of a part of the backbone, or of the head: each part's is `layer_decay` times that
/// of the part behind it (Clark et al. 2020, as BEiT and timm use it).
fn learning_rate_scale(training: &TrainingConfig, part: Option<usize>, parts: usize) -> f64 {
    match part {
        Some(part) => training.backbone_lr_scale * training.layer_decay.powi((parts - part) as i32),
        None => 1.0,
    }
}

fn tensors(parameters: &Parameters) -> Vec<Tensor> {
    parameters.iter().map(|parameter| parameter.tensor.shallow_clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_parts_learn_slower_and_the_head_at_the_full_rate() {
        let training = TrainingConfig { backbone_lr_scale: 0.5, layer_decay: 0.8, ..TrainingConfig::default() };
        let scales: Vec<_> = (0..3).map(|part| learning_rate_scale(&training, Some(part), 3)).collect();
        for (found, expected) in scales.iter().zip([0.256, 0.32, 0.4]) {
            assert!((found - expected).abs() < 1e-12, "{scales:?}");
        }
        assert_eq!(learning_rate_scale(&training, None, 3), 1.0);
        assert_eq!(learning_rate_scale(&TrainingConfig::default(), Some(0), 3), 1.0);
    }
}
