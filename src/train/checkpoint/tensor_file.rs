//! Safetensors files: tensors are written and loaded one at a time, after all names and shapes were checked. Knows
//! nothing of runs and folders.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensorError, View};
use tch::{Device, Kind, TchError, Tensor};

use super::error::{CheckpointError, invalid, io_error};
use crate::safetensors_header::SafetensorsHeader;

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

/// An open file of tensors, of which the header was read.
pub(super) struct TensorFile {
    path: PathBuf,
    file: File,
    header: SafetensorsHeader,
}

impl TensorFile {
    /// Opens a file, and checks that it is whole.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let read = || {
            let mut file = File::open(path)?;
            let file_len = file.metadata()?.len();
            let header = SafetensorsHeader::read(&mut file, file_len)?;
            Ok(Self { path: path.to_owned(), file, header })
        };
        read().map_err(|error: io::Error| match error.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                invalid(path, format!("this is not a whole safetensors file ({error})"))
            }
            _ => io_error("read", path)(error),
        })
    }

    /// The text of a key of its metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.header.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Copies the tensors into `targets`, one at a time, so that only one copy exists at a time. Before, all names, types
    /// and shapes are compared.
    pub fn load(&self, targets: &[(String, &Tensor)]) -> Result<(), CheckpointError> {
        let infos = self.header.metadata.tensors();
        for (name, tensor) in targets {
            let info = infos.get(name).ok_or_else(|| self.other_architecture(format!("`{name}` is missing")))?;
            let wanted: Vec<usize> = tensor.size().iter().map(|size| *size as usize).collect();
            if info.dtype != Dtype::F32 || info.shape != wanted {
                let found = format!("`{name}` is {:?} {:?}, not F32 {wanted:?}", info.dtype, info.shape);
                return Err(self.other_architecture(found));
            }
        }
        if infos.len() != targets.len() {
            let extra = infos.keys().find(|name| targets.iter().all(|(known, _)| known != *name));
            let extra = extra.map_or("", String::as_str);
            return Err(self.other_architecture(format!("`{extra}` is not in this network")));
        }
        let _no_grad = tch::no_grad_guard();
        for (name, tensor) in targets {
            let bytes = self.bytes(infos[name].data_offsets).map_err(io_error("read", &self.path))?;
            let values = Tensor::f_from_data_size(&bytes, &tensor.size(), Kind::Float)?;
            tensor.shallow_clone().f_copy_(&values)?;
        }
        Ok(())
    }

    fn bytes(&self, (begin, end): (usize, usize)) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // `vec!` would abort the process when memory runs out.
        bytes.try_reserve_exact(end - begin).map_err(|error| io::Error::new(ErrorKind::OutOfMemory, error))?;
        bytes.resize(end - begin, 0);
        self.file.read_exact_at(&mut bytes, self.header.start + begin as u64)?;
        Ok(bytes)
    }

    fn other_architecture(&self, difference: String) -> CheckpointError {
        CheckpointError::Architecture { path: self.path.clone(), difference }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with `a`, 2 x 3 numbers from 0, and `b`, 4 from 10.
    fn file_in(folder: &Path) -> PathBuf {
        let path = folder.join("tensors.safetensors");
        let range = |start: i64, count: i64| Tensor::arange_start(start, start + count, (Kind::Float, Device::Cpu));
        let tensors = [("a".to_owned(), range(0, 6).view([2, 3])), ("b".to_owned(), range(10, 4))];
        write_tensors(&path, &tensors, Some(("key", "a text".to_owned()))).unwrap();
        path
    }

    fn load(
        file: &TensorFile,
        names: &[&str],
        shapes: &[&[i64]],
    ) -> Result<Vec<Tensor>, (CheckpointError, Vec<Tensor>)> {
        let targets: Vec<_> = shapes.iter().map(|shape| Tensor::ones(*shape, (Kind::Float, Device::Cpu))).collect();
        let named: Vec<_> = names.iter().map(|name| (*name).to_owned()).zip(&targets).collect();
        match file.load(&named) {
            Ok(()) => Ok(targets),
            Err(error) => Err((error, targets)),
        }
    }

    #[test]
    fn numbers_and_texts_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = TensorFile::open(&file_in(folder.path())).unwrap();
        assert_eq!((file.text("key"), file.text("other")), (Some("a text"), None));
        let loaded = load(&file, &["b", "a"], &[&[4], &[2, 3]]).unwrap();
        assert_eq!(loaded[0], Tensor::from_slice(&[10.0_f32, 11.0, 12.0, 13.0]));
        assert_eq!(loaded[1], Tensor::from_slice(&[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0]).view([2, 3]));
    }

    #[test]
    fn tensors_of_another_network_are_refused_before_any_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = TensorFile::open(&file_in(folder.path())).unwrap();
        for (names, shapes, difference) in [
            (&["a", "b"][..], &[&[2, 3][..], &[5]][..], "`b` is F32 [4], not F32 [5]"),
            (&["a", "c"], &[&[2, 3], &[4]], "`c` is missing"),
            (&["a"], &[&[2, 3]], "`b` is not in this network"),
        ] {
            let (error, targets) = load(&file, names, shapes).unwrap_err();
            assert!(error.to_string().contains(difference), "{error}");
            let untouched = |target: &Tensor| target.eq_tensor(&target.ones_like()).all().int64_value(&[]) == 1;
            assert!(targets.iter().all(untouched), "{difference}: {targets:?}");
        }
    }

    #[test]
    fn files_that_are_not_whole_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_in(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for len in [0, 7, 20, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = TensorFile::open(&path).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("this is not a whole safetensors file"), "{len}: {error}");
        }
    }
}
