//! Checkpoints: whole folders with weights, optimizer state and the state of the run.
//!
//! A checkpoint is a folder `step-N` of safetensors, JSON and YAML; nothing in it is code. The links `last` and `best`
//! name two of them. This folder knows nothing of the training loop.

mod error;
mod layout;
mod load;
mod retention;
mod save;
mod tensor_file;

pub use error::CheckpointError;
pub use load::Checkpoint;
pub use save::Checkpoints;
