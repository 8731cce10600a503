//! The sections and keys of the configuration file, with their defaults. Sections with many keys have files of their
//! own; values are read in `load.rs` and checked in `validate.rs`.
//!
//! Section and key names are those that users of this kind of tool already have in their files. The defaults are the
//! `default` preset; a test keeps `configs/default.yaml` equal to them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::augmentation::AugmentationConfig;
use super::data::{CacheConfig, DataConfig, LoaderConfig};
use super::freeze::Freeze;
use super::pretrained::Pretrained;
use super::scalars::{DeviceChoice, Precision, Switch};
use super::training::{LossConfig, TrainingConfig};
use crate::backbone::{Backbone, Pixels};

/// The whole configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Decides the split, the order of the data, the first weights and dropout.
    pub seed: u64,
    /// Free text, recorded with the run.
    pub experiment: Experiment,
    /// Where the videos are and how clips are taken from them.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// The training loop.
    pub training: TrainingConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// Threads that decode ahead of training.
    pub dataloader: LoaderConfig,
    /// Decoded clips kept in host memory and on disk.
    pub cache: CacheConfig,
    /// Device, number format, and what happens when memory runs out.
    pub gpu: GpuConfig,
    /// Random changes to training clips, drawn once a clip and the same for all its frames.
    pub augmentation: AugmentationConfig,
    /// Where runs are written.
    pub output: OutputConfig,
    /// What is said while a run goes on.
    pub logging: LoggingConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 42,
            experiment: Experiment::default(),
            data: DataConfig::default(),
            model: ModelConfig::default(),
            training: TrainingConfig::default(),
            loss: LossConfig::default(),
            dataloader: LoaderConfig::default(),
            cache: CacheConfig::default(),
            gpu: GpuConfig::default(),
            augmentation: AugmentationConfig::default(),
            output: OutputConfig::default(),
            logging: LoggingConfig::default(),
        }
    }
}

/// Free text about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Experiment {
    /// First part of the run folder's name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What the run is for.
    pub description: String,
    /// Words to find the run by.
    pub tags: Vec<String>,
}

impl Default for Experiment {
    fn default() -> Self {
        Self { name: "default".into(), description: String::new(), tags: Vec::new() }
    }
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The network that sees one frame.
    pub backbone: Backbone,
    /// The backbone's first weights: `auto` (published ones, else random ones with a warning), `imagenet` (published ones), `none` (random ones), `hf:OWNER/NAME[/FILE]`, or a `.pth` or `.safetensors` file.
    pub pretrained: Pretrained,
    /// Start from all weights of another run, its head included, instead: the folder of a run of the same network.
    pub init_from: Option<PathBuf>,
    /// What of the backbone does not learn: `none`, `backbone`, `batch_norm`, `all_but_norms`, how many of its first parts (stem, layer1 ... layer4 of a ResNet; stem, stage1 ... stage7, head of an EfficientNet; stem, stage1 ... stage4 of a ConvNeXt; stem, block1 ... block12, head of Xception; stem, block1 ... block12 or block24 of a Vision Transformer), or a list.
    pub freeze: Freeze,
    /// Mean of red, green and blue that is subtracted from pixels in 0 to 1; null = that of the backbone's published weights.
    pub pixel_mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue that pixels are then divided by; null = that of the backbone's published weights.
    pub pixel_std: Option<[f32; 3]>,
    /// Scale the features of each frame to length 1 before the head.
    pub normalize_features: bool,
    /// What makes one score of the T frames of a clip.
    pub temporal: Temporal,
    /// Width of the LSTM, each direction (`lstm_attention` only).
    pub hidden_dim: usize,
    /// Layers of the LSTM (`lstm_attention` only).
    pub num_layers: usize,
    /// Dropout between LSTM layers, in attention and in the classifier, 0 to 1 (`lstm_attention` only).
    pub dropout: f64,
    /// Widths of the classifier's layers, the last of them 1 (`lstm_attention` only); null = `[hidden_dim, 1]`.
    pub classifier_layers: Option<Vec<usize>>,
    /// Dropout behind each layer of the classifier but the last, 0 to 1 (`lstm_attention` only); null = `dropout`.
    pub classifier_dropout: Option<f64>,
    /// Self-attention over the frames after the LSTM (`lstm_attention` only).
    pub use_attention: bool,
    /// Heads of that attention; must divide 2 x `hidden_dim`.
    pub attention_heads: usize,
    /// Validate, test and predict with the mean of the logits of each clip and of its mirror image: twice the time.
    pub mirror_at_test: bool,
    /// Keep only what enters each part of the backbone, and compute the rest again in backward: less memory, a third more time.
    pub activation_checkpointing: bool,
}

impl ModelConfig {
    /// Widths of the classifier's layers behind an LSTM; the last is 1.
    #[must_use]
    pub fn classifier_widths(&self) -> Vec<usize> {
        self.classifier_layers.clone().unwrap_or_else(|| vec![self.hidden_dim, 1])
    }

    /// How pixels are normalised.
    #[must_use]
    pub fn pixels(&self) -> Pixels {
        let Pixels { mean, std } = self.backbone.description().pixels;
        Pixels { mean: self.pixel_mean.unwrap_or(mean), std: self.pixel_std.unwrap_or(std) }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            backbone: Backbone::Resnet50,
            pretrained: Pretrained::Auto,
            init_from: None,
            freeze: Freeze::default(),
            pixel_mean: None,
            pixel_std: None,
            normalize_features: false,
            temporal: Temporal::LstmAttention,
            hidden_dim: 512,
            num_layers: 2,
            dropout: 0.3,
            classifier_layers: None,
            classifier_dropout: None,
            use_attention: true,
            attention_heads: 8,
            mirror_at_test: false,
            activation_checkpointing: false,
        }
    }
}

/// What makes one score of the T frames of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Temporal {
    /// A linear classifier on every frame; the clip's logit is their mean.
    Mean,
    /// Bidirectional LSTM, self-attention over frames, mean, classifier.
    LstmAttention,
}

/// Device, number format, and what happens when memory runs out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GpuConfig {
    /// `auto` is the first CUDA device that works, else the CPU.
    pub device: DeviceChoice,
    /// `auto` is bf16 on GPUs from Ampere on and fp16 on Turing, which is slow in bf16; bf16 on a CPU with bf16
    /// instructions, else off.
    pub mixed_precision: Precision,
    /// Keep images and filters in NHWC order, which convolutions prefer.
    pub channels_last: bool,
    /// Let cuDNN time its algorithms, in training, from the second step in a row on that has the same number of frames.
    pub cudnn_benchmark: bool,
    /// On CUDA, round the inputs of float32 convolutions and matrix products to TF32, which tensor cores multiply faster.
    /// Null is libtorch's default: convolutions are rounded, matrix products are not.
    pub allow_tf32: Option<bool>,
    /// On CUDA, only kernels that give the same numbers each time; slower, and cuDNN does not time its algorithms then.
    pub deterministic: bool,
    /// Share of a CUDA device's memory that this process may take, above 0 to 1; beyond it memory counts as run out.
    pub memory_fraction: Option<f64>,
    /// Make floats of pixels on the GPU; `auto` moves that to the host where not even one frame fits.
    pub gpu_preprocessing: Switch,
    /// Go on with training on the CPU where the GPU's memory holds not even one frame, also after about two minutes of
    /// waiting for other programs.
    pub fallback_cpu: bool,
    /// What happens when memory gets short, and when it runs out.
    pub memory_management: MemoryManagement,
}

impl Default for GpuConfig {
    fn default() -> Self {
        Self {
            device: DeviceChoice::Auto,
            mixed_precision: Precision::Auto,
            channels_last: true,
            cudnn_benchmark: true,
            allow_tf32: None,
            deterministic: false,
            memory_fraction: None,
            gpu_preprocessing: Switch::Auto,
            fallback_cpu: false,
            memory_management: MemoryManagement::default(),
        }
    }
}

/// What happens when memory gets short, and when it runs out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryManagement {
    /// Share of the GPU's memory in use from which on it is cleaned up, 0.001 to 1.
    pub gpu_threshold: f64,
    /// Share of host memory (or of the container's limit) in use from which on caches and queues shrink, 0.001 to 1.
    pub cpu_threshold: f64,
    /// Seconds between two looks at memory.
    pub auto_cleanup_interval: f64,
    /// Look at memory while a run goes on.
    pub enable_monitoring: bool,
    /// Clean up after every so many steps, however much memory is free; 0 = never.
    pub force_cleanup_every: u64,
    /// Run the same samples again in smaller pieces instead of stopping.
    pub oom_retry: bool,
    /// Good steps after which a larger size is tried, where the measured peak leaves room; 0 = never.
    pub grow_after: u64,
    /// On CUDA, record what libtorch allocates, and write it to `oom-N.pickle` in the run's folder the first three
    /// times that memory runs out; pytorch.org/memory_viz shows such files.
    pub snapshot: bool,
}

impl Default for MemoryManagement {
    fn default() -> Self {
        Self {
            gpu_threshold: 0.85,
            cpu_threshold: 0.80,
            auto_cleanup_interval: 30.0,
            enable_monitoring: true,
            force_cleanup_every: 0,
            oom_retry: true,
            grow_after: 200,
            snapshot: false,
        }
    }
}

/// Where runs are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputConfig {
    /// Each run gets a folder of its own below this one.
    pub directory: PathBuf,
    /// Save in the middle of an epoch where the last checkpoint is older than this many seconds; 0 = only at epochs' ends.
    pub save_every_secs: f64,
    /// Checkpoints of this many last epochs are kept.
    pub keep_last: usize,
    /// Checkpoints of this many best epochs are kept.
    pub keep_best: usize,
    /// Write the numbers of `metrics.jsonl`, and a few augmented clips, for TensorBoard.
    pub tensorboard: bool,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { directory: "runs".into(), save_every_secs: 600.0, keep_last: 1, keep_best: 1, tensorboard: true }
    }
}

/// What is said while a run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingConfig {
    /// Least important messages shown on stderr; `-v` and `-q` win over it.
    pub level: LogLevel,
    /// Steps between two progress lines when stderr is not a terminal.
    pub log_interval: u64,
    /// Steps between two `memory` lines in `metrics.jsonl`; 0 = none.
    pub memory_log_interval: u64,
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self { level: LogLevel::Info, log_interval: 20, memory_log_interval: 10 }
    }
}

/// Least important messages shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Only what ends a run.
    Error,
    /// What a user should know about.
    Warn,
    /// What the program decided.
    Info,
    /// Every step of the way.
    Debug,
}
