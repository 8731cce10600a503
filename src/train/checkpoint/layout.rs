//! The files of a checkpoint: their names, those of the tensors in them, and how a file is read. Parses nothing; that
//! is `load.rs` and `tensor_file.rs`.

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
/// The size above which a file is no checkpoint of these networks; the largest network writes less than 1 GB.
const MAX_FILE_BYTES: u64 = 8 << 30;

/// The tensors of a network with their names in the file.
pub(super) fn named(parameters: &Parameters) -> Vec<(String, &Tensor)> {
    parameters.iter().map(|parameter| (parameter.name.clone(), &parameter.tensor)).collect()
}

/// Reads a file of a checkpoint.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let bytes = fs::metadata(path).map_err(io_error("read", path))?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(invalid(path, format!("it has {bytes} bytes, more than any checkpoint")));
    }
    fs::read(path).map_err(io_error("read", path))
}
