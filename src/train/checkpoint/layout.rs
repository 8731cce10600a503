//! The files of a checkpoint: their names, those of the tensors in them, and how the state is read. Parses nothing;
//! that is `load.rs` and `tensor_file.rs`.

use std::fs;
use std::path::Path;

use tch::Tensor;

use super::error::{CheckpointError, invalid, io_error};
use crate::model::Parameters;

pub(super) const MODEL: &str = "model.safetensors";
/// Weights of the exponential moving average (EMA), where one is kept: those that are validated and tested.
pub(super) const EMA: &str = "model_ema.safetensors";
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
pub(super) const STATE: &str = "state.json";
/// The key of the configuration, as YAML, in the metadata of [`MODEL`].
pub(super) const CONFIG_KEY: &str = "dfdetect.config";
/// The size above which a file is no state of a run, which has a line for each epoch.
const MAX_STATE_BYTES: u64 = 1 << 30;

/// The tensors of a network with their names in the file.
pub(super) fn named(parameters: &Parameters) -> Vec<(String, &Tensor)> {
    parameters.iter().map(|parameter| (parameter.name.clone(), &parameter.tensor)).collect()
}

/// Reads the state of a run.
pub(super) fn read_state_file(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let bytes = fs::metadata(path).map_err(io_error("read", path))?.len();
    if bytes > MAX_STATE_BYTES {
        return Err(invalid(path, format!("it has {bytes} bytes, more than any state of a run")));
    }
    fs::read(path).map_err(io_error("read", path))
}
