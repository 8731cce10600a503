//! The network of a new run, and its first weights. Layers and files of pretrained weights are in `model`; a resumed
//! run's weights are loaded elsewhere.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::error::RunError;
use super::trained_detector::StoredCheckpoint;
use crate::config::{Config, ConfigError, ModelConfig, Pretrained};
use crate::model::{Detector, Placement, PretrainedError, Sources, load_pretrained};

/// The network with random weights, which follow from the seed alone.
pub(super) fn build_network(config: &Config, placement: &Placement) -> Result<Detector, RunError> {
    tch::manual_seed(config.seed as i64);
    Detector::new(&config.model, placement.device, placement.format, config.gpu.channels_last)
        .map_err(RunError::torch("the network cannot be built"))
}

/// Fills a new run's network as `model.init_from` and `model.pretrained` say. Returns where its weights come from, for
/// the report.
pub(super) fn load_first_weights(config: &Config, network: &Detector, stop: &AtomicBool) -> Result<String, RunError> {
    let first_weights = match &config.model.init_from {
        Some(run) => load_all_weights(run, &config.model, network)?,
        None => load_backbone(&config.model, network, stop)?,
    };
    tracing::info!("first weights: {first_weights}");
    Ok(first_weights)
}

/// Fills the whole network with the weights that a run was tested with.
fn load_all_weights(run: &Path, model: &ModelConfig, network: &Detector) -> Result<String, RunError> {
    let StoredCheckpoint { folder, checkpoint } = StoredCheckpoint::of_run(run)?;
    let (theirs, ours) = (checkpoint.config.model.backbone.name(), model.backbone.name());
    if theirs != ours {
        return Err(RunError::Config(ConfigError {
            place: run.display().to_string(),
            key: "model.init_from".into(),
            problem: format!("its network is a {theirs}, model.backbone is {ours}"),
            hint: Some(format!("set model.backbone to {theirs}, or name another run")),
        }));
    }
    warn_of_other_input(&checkpoint.config.model, model);
    checkpoint.load_eval_model(network.parameters())?;
    Ok(format!("all of {}", folder.display()))
}

/// Says what those weights were trained with, where it is otherwise here.
fn warn_of_other_input(theirs: &ModelConfig, ours: &ModelConfig) {
    let (pixels, here) = (theirs.pixels(), ours.pixels());
    if pixels != here {
        tracing::warn!(
            "model.init_from: its weights expect pixels of mean {:?} and deviation {:?}, here they are {:?} and {:?}: set model.pixel_mean and model.pixel_std",
            pixels.mean,
            pixels.std,
            here.mean,
            here.std
        );
    }
    if theirs.normalize_features != ours.normalize_features {
        let theirs = theirs.normalize_features;
        tracing::warn!("model.init_from: its model.normalize_features is {theirs}, here it is {}", !theirs);
    }
}

/// Fills the backbone.
fn load_backbone(model: &ModelConfig, network: &Detector, stop: &AtomicBool) -> Result<String, RunError> {
    let sources = Sources::from_env();
    let source = match &model.pretrained {
        Pretrained::None => return Ok(random_weights(model, "model.pretrained is none")),
        Pretrained::Auto => match sources.imagenet(model.backbone, stop) {
            Err(absence) if absence.is_absence() => {
                let absence = absence.to_string().replace("\n  hint: ", "; to get them, ");
                tracing::warn!("training starts from random weights, which costs much accuracy: {absence}");
                return Ok(random_weights(model, "model.pretrained: auto found no published ones"));
            }
            found => found,
        },
        Pretrained::Imagenet => sources.imagenet(model.backbone, stop),
        Pretrained::Hub(file) => sources.hub(file, stop),
        Pretrained::File(path) => Ok(path.clone().into()),
    };
    let source = source.map_err(|error| match error {
        PretrainedError::Interrupted => {
            let hint = "what came of the weights is kept; the next run goes on there";
            RunError::Interrupted { hint: Some(hint.into()) }
        }
        error => error.into(),
    })?;
    let loaded = load_pretrained(&source, network.parameters())?;
    Ok(format!("backbone of {source}: {loaded}"))
}

fn random_weights(model: &ModelConfig, why: &str) -> String {
    if model.freeze.is_some() {
        tracing::warn!("model.freeze keeps random weights as they are");
    }
    format!("random ({why})")
}
