//! Safetensors files: tensors are written one at a time, and all are checked before one is loaded. Knows nothing of
//! runs and folders.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View};
use tch::{Device, Kind, TchError, Tensor};

use super::error::{CheckpointError, invalid, io_error};

/// A tensor that is being written. It is copied to the host only when its turn comes, so that only one copy exists at a
/// time.
struct TensorView<'t> {
    tensor: &'t Tensor,
    shape: Vec<usize>,
    /// The first failure. It is kept here because [`View::data`] returns no error.
    failure: &'t RefCell<Option<TchError>>,
}

impl TensorView<'_> {
    fn bytes(&self) -> Result<Vec<u8>, TchError> {
        let values = self.tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut bytes = Vec::new();
        // `vec!` would abort the process when memory runs out.
        bytes.try_reserve_exact(self.data_len()).map_err(|error| TchError::Torch(error.to_string()))?;
        bytes.resize(self.data_len(), 0);
        values.f_copy_data_u8(&mut bytes, values.numel())?;
        Ok(bytes)
    }
}

impl View for TensorView<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.bytes() {
            Ok(bytes) => Cow::Owned(bytes),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Cow::Borrowed(&[])
            }
        }
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * 4
    }
}

/// Writes a file of tensors and flushes it to the disk; `metadata` is a key with its text.
pub(super) fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: Option<(&str, String)>,
) -> Result<(), CheckpointError> {
    let failure = RefCell::new(None);
    let views = tensors.iter().map(|(name, tensor)| {
        let shape = tensor.size().iter().map(|size| *size as usize).collect();
        (name.as_str(), TensorView { tensor, shape, failure: &failure })
    });
    // There is only one entry because the order of several would be random, and equal runs would write unequal files.
    let metadata = metadata.map(|(key, text)| HashMap::from([(key.to_owned(), text)]));
    let written = safetensors::serialize_to_file(views.collect::<Vec<_>>(), metadata, path);
    if let Some(error) = failure.take() {
        return Err(error.into());
    }
    written.map_err(|error| match error {
        SafeTensorError::IoError(source) => io_error("written", path)(source),
        other => invalid(path, other.to_string()),
    })?;
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("written", path))
}

/// Copies the tensors of a file into `targets` if all names, types and shapes are equal.
pub(super) fn load_tensors(path: &Path, bytes: &[u8], targets: &[(String, &Tensor)]) -> Result<(), CheckpointError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| invalid(path, format!("this is not a whole safetensors file ({error})")))?;
    let mut views = Vec::with_capacity(targets.len());
    for (name, tensor) in targets {
        let view = file.tensor(name).map_err(|_| other_architecture(path, format!("`{name}` is missing")))?;
        let wanted: Vec<usize> = tensor.size().iter().map(|size| *size as usize).collect();
        if view.dtype() != Dtype::F32 || view.shape() != wanted {
            let found = format!("`{name}` is {:?} {:?}, not F32 {wanted:?}", view.dtype(), view.shape());
            return Err(other_architecture(path, found));
        }
        views.push(view);
    }
    if file.len() != targets.len() {
        let extra = file.names().into_iter().find(|name| targets.iter().all(|(known, _)| known != name));
        return Err(other_architecture(path, format!("`{}` is not in this network", extra.unwrap_or_default())));
    }
    let _no_grad = tch::no_grad_guard();
    for ((_, tensor), view) in targets.iter().zip(views) {
        let values = Tensor::f_from_data_size(view.data(), &tensor.size(), Kind::Float)?;
        tensor.shallow_clone().f_copy_(&values)?;
    }
    Ok(())
}

fn other_architecture(path: &Path, difference: String) -> CheckpointError {
    CheckpointError::Architecture { path: path.to_owned(), difference }
}
