//! What training changes, and a checkpoint keeps: the network, the running average of its weights, the optimizer.

use tch::Tensor;

use crate::config::TrainingConfig;
use crate::model::{Detector, Parameters};
use crate::optim::{Ema, Optimizer, ParameterGroups, optimizer};
use crate::torch::{self, Format, Result};

/// The network that learns and what goes with it.
#[derive(Debug)]
pub struct Learner {
    /// The network.
    pub detector: Detector,
    /// What moves its weights.
    pub optimizer: Box<dyn Optimizer>,
    average: Option<Average>,
}

/// A network whose weights and running statistics follow those of another.
#[derive(Debug)]
struct Average {
    detector: Detector,
    ema: Ema,
}

impl Learner {
    /// `detector` learns; `average`, of the same architecture, follows it where `training.ema_decay` is set.
    ///
    /// # Errors
    /// No memory for what the optimizer remembers.
    pub fn new(training: &TrainingConfig, detector: Detector, average: Option<Detector>) -> Result<Self> {
        let parameters = detector.parameters();
        let named = parameters.trainable().map(|parameter| (parameter.name.as_str(), &parameter.tensor));
        let groups = ParameterGroups::new(named, training.weight_decay, training.backbone_lr_scale);
        let optimizer = optimizer(training.optimizer, groups)?;
        let average = match (average, training.ema_decay) {
            (Some(average), Some(decay)) => {
                let ema = Ema::new(tensors(average.parameters()), tensors(parameters), decay)?;
                Some(Average { detector: average, ema })
            }
            _ => None,
        };
        Ok(Self { detector, optimizer, average })
    }

    /// What validation and tests look at: the average where one is kept.
    #[must_use]
    pub fn tested(&self) -> &Detector {
        self.average.as_ref().map_or(&self.detector, |average| &average.detector)
    }

    /// Weights of the running average, where one is kept.
    #[must_use]
    pub fn average(&self) -> Option<&Parameters> {
        self.average.as_ref().map(|average| average.detector.parameters())
    }

    /// One update of the weights by their gradients, and of the average.
    ///
    /// # Errors
    /// No memory for lists of pointers. The optimizer's update is done as a whole or not at all.
    pub fn update(&mut self, learning_rate: f64) -> Result<()> {
        self.optimizer.step(learning_rate)?;
        match &self.average {
            Some(average) => average.ema.update(self.optimizer.step_count()),
            None => Ok(()),
        }
    }

    /// Goes on there, in this number format.
    ///
    /// # Errors
    /// The host has no memory for it.
    pub fn move_to_cpu(&mut self, format: Format) -> Result<()> {
        self.detector.move_to_cpu(format)?;
        if let Some(average) = &mut self.average {
            average.detector.move_to_cpu(format)?;
        }
        self.optimizer.state().into_iter().try_for_each(|(_, tensor)| torch::move_to_cpu(tensor))
    }
}

fn tensors(parameters: &Parameters) -> Vec<Tensor> {
    parameters.iter().map(|parameter| parameter.tensor.shallow_clone()).collect()
}
