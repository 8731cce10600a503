//! Files of weights and the place of each tensor in them: PyTorch's zip files, its older format, and safetensors.
//!
//! Opening a file finds its tensors and checks that all of them lie within it; their numbers are read on request.
//! Nothing in a file is executed. This file knows nothing of the network; `load.rs` matches names.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};

use safetensors::tensor::{Dtype, TensorInfo};
use tch::{Kind, Tensor};
use zip::{CompressionMethod, ZipArchive};

use super::error::PretrainedError;
use super::pickle::{self, Pickle};
use super::pickle_object::{Problem, StridedView};
use super::weights_source::{Content, WeightsSource};
use crate::safetensors_header::SafetensorsHeader;

const ZIP: &[u8] = b"PK\x03\x04";
/// The pickled number that PyTorch's files before version 1.6 begin with.
const OLD: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// A tensor in a file: its name, shape and place.
#[derive(Debug)]
pub(super) struct StoredTensor {
    pub name: String,
    pub size: Vec<i64>,
    stride: Vec<i64>,
    offset: i64,
    kind: Kind,
    /// Position of the storage in the file, in bytes.
    start: u64,
    /// Length of the storage in bytes.
    len: u64,
}

/// An open file of weights.
#[derive(Debug)]
pub(super) struct WeightsFile {
    source: WeightsSource,
    content: Content,
    pub tensors: Vec<StoredTensor>,
}

impl WeightsFile {
    /// Opens it and finds its tensors.
    pub fn open(source: &WeightsSource) -> Result<Self, PretrainedError> {
        let content = Content::open(source).map_err(|error| PretrainedError::cannot_read(source, error))?;
        let tensors = find_tensors(&content).map_err(|failure| match failure {
            Failure::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                PretrainedError::cannot_read(source, error)
            }
            Failure::Io(_) => PretrainedError::invalid(source, "the file ends too early".into()),
            Failure::Problem(problem) => PretrainedError::invalid(source, problem),
        })?;
        Ok(Self { source: source.clone(), content, tensors })
    }

    /// Reads the numbers of one of its tensors.
    pub fn read(&self, stored: &StoredTensor) -> Result<Tensor, PretrainedError> {
        let length = usize::try_from(stored.len).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|error| {
            PretrainedError::cannot_read(&self.source, io::Error::new(io::ErrorKind::OutOfMemory, error.to_string()))
        })?;
        bytes.resize(length, 0);
        self.content
            .read_exact_at(&mut bytes, stored.start)
            .map_err(|error| PretrainedError::cannot_read(&self.source, error))?;
        let numbers = stored.len / stored.kind.elt_size_in_bytes() as u64;
        let storage = Tensor::f_from_data_size(&bytes, &[numbers as i64], stored.kind)?;
        Ok(storage.f_as_strided(&stored.size, &stored.stride, stored.offset)?)
    }
}

/// Why tensors cannot be found.
enum Failure {
    Io(io::Error),
    Problem(Problem),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<&str> for Failure {
    fn from(problem: &str) -> Self {
        Self::Problem(problem.to_owned())
    }
}

fn find_tensors(file: &Content) -> Result<Vec<StoredTensor>, Failure> {
    let file_len = file.len()?;
    let mut head = Vec::new();
    file.reader(0).take(OLD.len() as u64).read_to_end(&mut head)?;
    if head.starts_with(ZIP) {
        find_in_zip(file, file_len)
    } else if head == OLD {
        find_in_old_format(file, file_len)
    } else {
        find_in_safetensors(file, file_len, &head)
    }
}

/// `NAME/data.pkl` describes the tensors, `NAME/data/KEY` are the storages, none of them compressed.
fn find_in_zip(file: &Content, file_len: u64) -> Result<Vec<StoredTensor>, Failure> {
    let broken = |error: zip::result::ZipError| Failure::Problem(format!("this is no whole zip file ({error})"));
    let mut archive = ZipArchive::new(BufReader::new(file.reader(0))).map_err(broken)?;
    let name = archive.file_names().find(|name| name.ends_with("/data.pkl")).map(str::to_owned);
    let name = name.ok_or("this is a zip file, but none that PyTorch wrote: there is no data.pkl in it")?;
    let home = name.trim_end_matches("data.pkl");

    let mut bytes = Vec::new();
    let entry = archive.by_name(&name).map_err(broken)?;
    entry.take(pickle::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    let pickle = Pickle::read(within_limit(&bytes)?)?;
    if let Ok(mut order) = archive.by_name(&format!("{home}byteorder")) {
        let mut text = String::new();
        order.by_ref().take(10).read_to_string(&mut text)?;
        if text != "little" {
            return Err(format!("its numbers are stored {text:?}-endian").into());
        }
    }
    let mut places = HashMap::new();
    for (_, view) in pickle.tensors()? {
        if !places.contains_key(&view.storage) {
            let name = format!("{home}data/{}", view.storage);
            let entry = archive.by_name(&name).map_err(|_| format!("{name:?} is missing in it"))?;
            if entry.compression() != CompressionMethod::Stored {
                return Err(format!("{name:?} is compressed, which PyTorch does not do").into());
            }
            places.insert(view.storage.clone(), (entry.data_start(), entry.size()));
        }
    }
    stored_tensors(&pickle, &places, file_len)
}

/// Pickles one after the other: a number, a version, facts about the machine, the tensors, the order of the storages.
/// Then each storage: eight bytes with its length in numbers, and the numbers.
fn find_in_old_format(file: &Content, file_len: u64) -> Result<Vec<StoredTensor>, Failure> {
    let mut bytes = Vec::new();
    file.reader(0).take(pickle::MAX_BYTES as u64).read_to_end(&mut bytes)?;
    let mut at = OLD.len();
    let mut next = || -> Result<Pickle, Problem> {
        let pickle = Pickle::read(&bytes[at..])?;
        at += pickle.len;
        Ok(pickle)
    };
    let (_version, _machine, pickle, order) = (next()?, next()?, next()?, next()?);
    let kinds: HashMap<&str, Kind> = pickle.storages().collect();
    let mut places = HashMap::new();
    let mut start = at as u64;
    for key in order.texts()? {
        let kind = kinds.get(key).ok_or_else(|| format!("storage {key:?} is nowhere described"))?;
        let mut length = [0; 8];
        file.read_exact_at(&mut length, start)?;
        let bytes = u64::from_le_bytes(length).checked_mul(kind.elt_size_in_bytes() as u64);
        let (begin, end) = (start + 8, bytes.and_then(|bytes| (start + 8).checked_add(bytes)));
        let end = end.filter(|end| *end <= file_len).ok_or("the file ends too early")?;
        places.insert(key.to_owned(), (begin, end - begin));
        start = end;
    }
    stored_tensors(&pickle, &places, file_len)
}

fn within_limit(bytes: &[u8]) -> Result<&[u8], Problem> {
    if bytes.len() > pickle::MAX_BYTES {
        return Err(format!("its data.pkl is larger than {} MiB, so these are no weights", pickle::MAX_BYTES >> 20));
    }
    Ok(bytes)
}

/// Combines the views with their storages; `places` has the start and the length in bytes of each storage.
fn stored_tensors(
    pickle: &Pickle,
    places: &HashMap<String, (u64, u64)>,
    file_len: u64,
) -> Result<Vec<StoredTensor>, Failure> {
    let one = |(name, view): (String, &StridedView)| {
        let (start, len) = *places.get(&view.storage).ok_or_else(|| format!("the storage of {name:?} is missing"))?;
        let wanted = view.storage_len.checked_mul(view.kind.elt_size_in_bytes() as u64);
        if wanted != Some(len) || start.checked_add(len).is_none_or(|end| end > file_len) {
            let numbers = view.storage_len;
            return Err(format!("the storage of {name:?} has {len} bytes, not those of {numbers} {:?}", view.kind));
        }
        let StridedView { kind, offset, size, stride, .. } = view.clone();
        Ok(StoredTensor { name, size, stride, offset, kind, start, len })
    };
    Ok(pickle.tensors()?.into_iter().map(one).collect::<Result<_, _>>()?)
}

fn find_in_safetensors(file: &Content, file_len: u64, head: &[u8]) -> Result<Vec<StoredTensor>, Failure> {
    if head.get(8) != Some(&b'{') {
        return Err("this is neither a file of PyTorch nor safetensors".into());
    }
    let header = SafetensorsHeader::read(&mut file.reader(0), file_len);
    let SafetensorsHeader { metadata, start } = header.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Failure::Problem(error.to_string()),
        _ => Failure::Io(error),
    })?;
    let one = |(name, info): (String, &TensorInfo)| {
        let kind = kind_of(info.dtype).ok_or_else(|| format!("{name:?} is of type {:?}", info.dtype))?;
        let size: Vec<i64> = info.shape.iter().map(|side| *side as i64).collect();
        let mut stride = vec![1; size.len()];
        for side in (1..size.len()).rev() {
            stride[side - 1] = stride[side] * size[side].max(1);
        }
        let (begin, end) = info.data_offsets;
        Ok(StoredTensor { name, size, stride, offset: 0, kind, start: start + begin as u64, len: (end - begin) as u64 })
    };
    Ok(metadata.tensors().into_iter().map(one).collect::<Result<_, Problem>>()?)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}
