//! The network of a new run, and the first weights of its backbone. Layers and files of pretrained weights are in
//! `model`; weights of checkpoints are loaded elsewhere.

use std::sync::atomic::AtomicBool;

use super::error::RunError;
use crate::config::{Config, Pretrained};
use crate::model::{Detector, Placement, PretrainedError, Sources, load_pretrained};

/// The network with random weights, which follow from the seed alone.
pub(super) fn build_network(config: &Config, placement: &Placement) -> Result<Detector, RunError> {
    tch::manual_seed(config.seed as i64);
    Detector::new(&config.model, placement.device, placement.format, config.gpu.channels_last)
        .map_err(RunError::torch("the network cannot be built"))
}

/// Fills the backbone of a new run's network as `model.pretrained` says.
pub(super) fn load_backbone(config: &Config, network: &Detector, stop: &AtomicBool) -> Result<(), RunError> {
    let path = match &config.model.pretrained {
        Pretrained::None => {
            if config.model.freeze.is_some() {
                tracing::warn!("model.freeze keeps random weights as they are, because model.pretrained is none");
            }
            return Ok(());
        }
        Pretrained::Imagenet => match Sources::from_env().imagenet(config.model.backbone, stop) {
            Err(PretrainedError::Interrupted) => {
                let hint = "what came of the weights is kept; the next run goes on there";
                return Err(RunError::Interrupted { hint: Some(hint.into()) });
            }
            found => found?,
        },
        Pretrained::File(path) => path.clone(),
    };
    let loaded = load_pretrained(&path, network.parameters())?;
    tracing::info!("backbone: {loaded} ({})", path.display());
    Ok(())
}
