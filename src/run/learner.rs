//! Network, optimizer and state of a run when it begins: new ones, or those of a checkpoint. Takes no training step.
//! Which settings may change on resumption is decided in `resume.rs`.

use std::sync::atomic::AtomicBool;

use super::error::RunError;
use super::network::{build_network, load_first_weights};
use super::prepare::PreparedRun;
use super::resume::{adapt_state, check_same_optimizer};
use crate::optim::LossScaler;
use crate::torch::Format;
use crate::train::{Learner, TrainState};

/// Network, average, optimizer and state: new ones, or those of the checkpoint.
pub(super) fn build_learner(run: &PreparedRun, stop: &AtomicBool) -> Result<(Learner, TrainState), RunError> {
    let training = &run.config.training;
    let build = || build_network(&run.config, &run.placement);
    let average = training.ema_decay.map(|_| build()).transpose()?;
    let network = build()?;
    let first_weights = match run.resumed {
        None => Some(load_first_weights(&run.config, &network, stop)?),
        Some(_) => None,
    };
    let mut learner =
        Learner::new(training, network, average).map_err(RunError::torch("the optimizer cannot be built"))?;
    let state = match &run.resumed {
        Some(resumed) => {
            let before = &resumed.checkpoint.config;
            check_same_optimizer(before, &run.config)?;
            let mut state = resumed.checkpoint.load_training(&mut learner)?;
            adapt_state(&mut state, before, run)?;
            state
        }
        None => {
            let scaler = LossScaler::new(run.placement.format == Format::Fp16);
            TrainState { first_weights, ..TrainState::new(scaler, training.batch_size.clips()) }
        }
    };
    Ok((learner, state))
}
