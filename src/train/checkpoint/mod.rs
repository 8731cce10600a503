//! Checkpoints: folders with weights, optimizer state and the state of the run, written completely or not at all.
//!
//! A checkpoint is a folder `step-N` of safetensors, JSON and YAML; loading one executes no code. The link `last`
//! points to the latest one, `best` to the best. This module knows nothing of the training loop.

mod contents;
mod error;
mod layout;
mod load;
mod retention;
mod save;
mod tensor_file;

pub(super) use contents::{Contents, Tensors};
pub use error::CheckpointError;
pub use load::Checkpoint;
pub use save::Checkpoints;
