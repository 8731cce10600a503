//! The configuration: its schema with the defaults, loading from YAML, and validation. Knows nothing of the other
//! rooms.
//!
//! One file plus `--set a.b=v` overrides becomes one validated [`Config`]; the rest of the program trusts it. Every key
//! of the schema has an effect. Settings of features that do not exist are unknown keys, and so errors.

mod augmentation;
mod data;
mod dotted_keys;
mod error;
mod legacy;
mod load;
mod model;
mod scalars;
mod schema;
mod training;
mod validate;

pub use augmentation::{AugmentationConfig, SelfBlend};
pub use data::{
    CacheConfig, DataConfig, FaceConfig, FaceMode, GroupBy, LayoutChoice, LoaderConfig, OnMiss, SamplerChoice, Sampling,
};
pub use dotted_keys::differences;
pub use error::ConfigError;
pub use load::{Loaded, load, parse, resolve};
pub use model::{BACKBONE_PARTS, Freeze, Pretrained};
pub use scalars::{AutoBytes, BatchSize, DeviceChoice, Methods, Precision, Roots, Switch};
pub use schema::{
    Backbone, Config, Experiment, GpuConfig, LogLevel, LoggingConfig, MemoryManagement, ModelConfig, OutputConfig,
    Temporal,
};
pub use training::{
    ClassWeights, EarlyStopping, LossConfig, LossKind, Monitor, OptimizerChoice, Scheduler, TrainingConfig,
};
