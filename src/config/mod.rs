//! Every knob of the program: the schema with its defaults, reading it from YAML, and the checks.
//!
//! One file plus `--set a.b=v` overrides becomes one validated [`Config`]; the rest of the program trusts it.
//! A key that is here is used: settings of features that do not exist yet are unknown keys, and so errors.

mod augmentation;
mod data;
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
pub use load::{ConfigError, Loaded, differences, load, parse, resolve};
pub use model::{BACKBONE_PARTS, Freeze, Pretrained};
pub use scalars::{AutoBytes, BatchSize, DeviceChoice, Methods, Precision, Roots, Switch};
pub use schema::{
    Backbone, Config, Experiment, GpuConfig, LogLevel, LoggingConfig, MemoryManagement, ModelConfig, OutputConfig,
    Temporal,
};
pub use training::{
    ClassWeights, EarlyStopping, LossConfig, LossKind, Monitor, OptimizerChoice, Scheduler, TrainingConfig,
};
