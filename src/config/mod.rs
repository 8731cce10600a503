//! The configuration: its schema with the defaults, loading from YAML, and validation. Of other rooms it
//! knows the names of backbones and of their parts.
//!
//! One file plus `--set a.b=v` overrides becomes one validated [`Config`]; the rest of the program trusts it. Every key
//! of the schema has an effect. Settings of features that do not exist are unknown keys, and so errors.

mod augmentation;
mod data;
mod dotted_keys;
mod error;
mod freeze;
mod load;
mod older;
mod pretrained;
mod scalars;
mod schema;
mod training;
mod validate;

pub use augmentation::{AugmentationConfig, SelfBlend};
pub use data::{
    CacheConfig, ColumnNames, DataConfig, FaceConfig, FaceMode, FaceTrack, GroupBy, LayoutChoice, LoaderConfig, OnMiss,
    SamplerChoice, Sampling, WhichFaces,
};
pub use dotted_keys::differences;
pub use error::ConfigError;
pub use freeze::{Freeze, FrozenParts};
pub use load::{Loaded, load, parse, parse_stored, resolve};
pub use pretrained::{HubFile, Pretrained};
pub use scalars::{AutoBytes, BatchSize, DeviceChoice, Methods, Precision, Roots, Switch};
pub use schema::{
    Config, Experiment, GpuConfig, LogLevel, LoggingConfig, MemoryManagement, ModelConfig, OutputConfig, Temporal,
};
pub use training::{
    ClassWeights, EarlyStopping, LossConfig, LossKind, Monitor, OptimizerChoice, Scheduler, TrainingConfig,
};
