//! Weights of a published detector as the folder of a run, from which `predict`, `evaluate`, `export` and
//! `model.init_from` take it. Tensors' names are in `model/pretrained/published_detector.rs`.
//!
//! Crops, sizes and constants are those of the authors' code: GenD (github.com/yermandy/GenD: `detector.py`,
//! `modeling_gend.py`), SelfBlendedImages (github.com/mapooon/SelfBlendedImages: `inference/`) and DeepfakeBench
//! (github.com/SCLBD/DeepfakeBench: `preprocessing/`, `training/config/detector/`).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::ValueEnum;
use tch::Device;
use tempfile::TempDir;

use super::error::{RunError, cannot_write};
use crate::config::{Config, Freeze, Pretrained, Temporal};
use crate::files;
use crate::model::{Detector, LoadedWeights, PublishedDetector, PublishedWeights};
use crate::optim::LossScaler;
use crate::report::RunFolder;
use crate::torch::Format;
use crate::train::{Checkpoints, TrainState};

/// Who published a detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Publisher {
    /// GenD with CLIP ViT-L/14: model.safetensors of the hub's yermandy/GenD_CLIP_L_14
    Gend,
    /// SelfBlendedImages' EfficientNet-B4: its .tar files
    Sbi,
    /// DeepfakeBench's Xception, EfficientNet-B4, ResNet-34 or CLIP: its .pth files
    Deepfakebench,
}

impl Publisher {
    fn detectors(self) -> &'static [PublishedDetector] {
        match self {
            Self::Gend => &[PublishedDetector::Gend],
            Self::Sbi => &[PublishedDetector::SelfBlendedImages],
            Self::Deepfakebench => &[
                PublishedDetector::DeepfakebenchXception,
                PublishedDetector::DeepfakebenchEfficientnetB4,
                PublishedDetector::DeepfakebenchResnet34,
                PublishedDetector::DeepfakebenchClip,
            ],
        }
    }
}

/// What was imported.
#[derive(Debug)]
pub struct ImportedDetector {
    /// Which detector it is.
    pub detector: PublishedDetector,
    /// How it takes videos.
    pub config: Config,
    /// Which tensors of the file were used.
    pub weights: LoadedWeights,
}

/// Makes the folder `output`, which must not exist, of a file of published weights.
///
/// # Errors
/// The folder exists or cannot be written, or the file is damaged or not that of such a detector; then there is no folder.
pub fn import(publisher: Publisher, file: &Path, output: &Path) -> Result<ImportedDetector, RunError> {
    if output.symlink_metadata().is_ok() {
        return Err(RunError::OutputExists(output.to_owned()));
    }
    let published = PublishedWeights::open(file.to_owned().into(), publisher.detectors())?;
    let detector = published.detector;
    let config = config_of(detector);
    tch::manual_seed(0);
    let network = Detector::new(&config.model, Device::Cpu, Format::F32, false)
        .map_err(RunError::torch("the network cannot be built"))?;
    let weights = published.load(network.parameters())?;

    let partial = partial_folder(output)?;
    let state = TrainState {
        first_weights: Some(format!("{detector}, imported from {}", file.display())),
        shows_faces: Some(true),
        ..TrainState::new(LossScaler::new(false), config.training.batch_size.clips())
    };
    Checkpoints::of_run(partial.path()).save_network("best", network.parameters(), &state, &config)?;
    write_fine_tuning(&config, partial.path(), output)?;
    fs::rename(partial.path(), output).map_err(cannot_write(output))?;
    // The folder was renamed: there is nothing left to remove.
    let _ = partial.keep();
    Ok(ImportedDetector { detector, config, weights })
}

/// A folder beside `output`, which is renamed to it when it is complete.
fn partial_folder(output: &Path) -> Result<TempDir, RunError> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(cannot_write(parent))?;
    // Temporary folders are private by default; the umask decides who may read this one.
    let mode = Permissions::from_mode(0o777);
    let partial = tempfile::Builder::new().prefix(".partial-").permissions(mode).tempdir_in(parent);
    partial.map_err(cannot_write(parent))
}

/// Writes the configuration with which training goes on from the imported weights.
fn write_fine_tuning(config: &Config, partial: &Path, output: &Path) -> Result<(), RunError> {
    let mut config = config.clone();
    config.model.init_from = Some(std::path::absolute(output).map_err(cannot_write(output))?);
    let path = RunFolder::open(partial).config();
    let yaml =
        serde_yaml::to_string(&config).map_err(RunError::format("the configuration cannot be written as YAML"))?;
    files::write_whole(&path, yaml.as_bytes()).map_err(cannot_write(&path))
}

/// How the detector takes videos, and settings for training it further.
fn config_of(detector: PublishedDetector) -> Config {
    let mut config = Config::default();
    let Config { experiment, data, model, training, .. } = &mut config;
    (model.backbone, model.temporal, model.pretrained) = (detector.backbone(), Temporal::Mean, Pretrained::None);
    // All of them score 32 frames of a video. Training draws some of these anew each epoch.
    (data.max_frames, data.frames_per_epoch) = (32, Some(4));
    // GenD and DeepfakeBench place eyes, nose and mouth by ArcFace's template, reduced by a margin of 1.3.
    (data.faces.margin, data.faces.align) = (1.3, true);
    (training.learning_rate, training.warmup_epochs) = (5e-5, 1.0);
    let deepfakebench_pixels = Some(([0.5; 3], [0.5; 3]));
    let (name, side, pixels) = match detector {
        PublishedDetector::Gend => {
            (model.normalize_features, model.freeze) = (true, Freeze::all_but_norms());
            training.learning_rate = 3e-4;
            ("gend", 224, None)
        }
        PublishedDetector::SelfBlendedImages => {
            // An eighth of the face's box on each side.
            (data.faces.margin, data.faces.align) = (1.25, false);
            ("sbi", 380, Some(([0.0; 3], [1.0; 3])))
        }
        PublishedDetector::DeepfakebenchXception => ("deepfakebench_xception", 256, deepfakebench_pixels),
        PublishedDetector::DeepfakebenchEfficientnetB4 => ("deepfakebench_efficientnet_b4", 256, deepfakebench_pixels),
        PublishedDetector::DeepfakebenchResnet34 => ("deepfakebench_resnet34", 256, deepfakebench_pixels),
        PublishedDetector::DeepfakebenchClip => ("deepfakebench_clip", 224, deepfakebench_pixels),
    };
    (model.pixel_mean, model.pixel_std) = pixels.unzip();
    experiment.name = name.into();
    data.frame_size = [side; 2];
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_stored;

    #[test]
    fn their_configurations_are_valid() {
        for publisher in Publisher::value_variants() {
            for detector in publisher.detectors() {
                let config = config_of(*detector);
                let yaml = serde_yaml::to_string(&config).unwrap();
                assert_eq!(parse_stored("test", &yaml).unwrap(), config, "{detector:?}");
            }
        }
    }
}
