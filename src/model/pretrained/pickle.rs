//! What a pickle in one of PyTorch's files describes: dictionaries of tensors.

use tch::Kind;

use super::machine::Machine;

/// Larger pickles are no weights' (ResNet-101's has 100 KB), nor are deeper dictionaries, more entries or longer names.
pub(super) const MAX_BYTES: usize = 4 << 20;
pub(super) const MAX_NAME_BYTES: usize = 500;
const MAX_DEPTH: usize = 8;
const MAX_ENTRIES: usize = 100_000;

/// Why a pickle is not read, in words.
pub(super) type Problem = String;

/// Which of a pickle's objects. They name each other by it, so that sharing and cycles are harmless.
pub(super) type Handle = usize;

/// A tensor as a pickle describes it: a window into a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Which storage.
    pub storage: String,
    /// Of the storage's numbers.
    pub kind: Kind,
    /// How many numbers the storage holds.
    pub storage_len: u64,
    /// Number of the storage that the tensor begins with.
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// What the instructions of a pickle make.
#[derive(Debug)]
pub(super) enum Object {
    /// What no tensor needs: `None`, floats, bytes.
    Nothing,
    Int(i64),
    Text(String),
    Tuple(Vec<Handle>),
    List(Vec<Handle>),
    Dict(Vec<(Handle, Handle)>),
    Function(Function),
    Storage {
        key: String,
        kind: Kind,
        len: u64,
    },
    Tensor(Box<Window>),
}

/// The functions that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    root: Handle,
    /// How many bytes it took.
    pub len: usize,
}

impl Pickle {
    /// Reads the pickle that `bytes` begin with.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let (objects, root, len) = Machine::run(bytes)?;
        Ok(Self { objects, root, len })
    }

    /// All tensors in nested dictionaries, their keys joined by dots. Of other things only the dictionaries are looked
    /// into.
    pub fn tensors(&self) -> Result<Vec<(String, &Window)>, Problem> {
        let mut found = Vec::new();
        let mut left = MAX_ENTRIES;
        self.collect(self.root, "", 0, &mut left, &mut found)?;
        Ok(found)
    }

    fn collect<'p>(
        &'p self,
        handle: Handle,
        path: &str,
        depth: usize,
        left: &mut usize,
        found: &mut Vec<(String, &'p Window)>,
    ) -> Result<(), Problem> {
        match &self.objects[handle] {
            Object::Tensor(window) => found.push((path.to_owned(), &**window)),
            Object::Dict(_) if depth == MAX_DEPTH => {
                return Err(format!("dictionaries more than {MAX_DEPTH} deep"));
            }
            Object::Dict(entries) => {
                for (key, value) in entries {
                    *left = left.checked_sub(1).ok_or_else(|| format!("more than {MAX_ENTRIES} entries"))?;
                    if let Object::Text(key) = &self.objects[*key] {
                        if path.len() + key.len() >= MAX_NAME_BYTES {
                            return Err(format!("a name of more than {MAX_NAME_BYTES} bytes"));
                        }
                        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                        self.collect(*value, &path, depth + 1, left, found)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The storages that were named, and of what their numbers are.
    pub fn storages(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage { key, kind, .. } => Some((key.as_str(), *kind)),
            _ => None,
        })
    }

    /// The list of texts that the old file format ends its pickles with.
    pub fn texts(&self) -> Result<Vec<&str>, Problem> {
        let Object::List(items) = &self.objects[self.root] else { return Err("a list was expected".into()) };
        let text = |item: &Handle| match &self.objects[*item] {
            Object::Text(text) => Ok(text.as_str()),
            _ => Err("a list of texts was expected".to_owned()),
        };
        items.iter().map(text).collect()
    }
}

impl Window {
    /// One past the last number of the storage that it shows; none where that is no number, or a side is negative.
    pub fn end(&self) -> Option<u64> {
        if self.size.len() != self.stride.len() || self.size.iter().chain(&self.stride).any(|n| *n < 0) {
            return None;
        }
        let offset = u64::try_from(self.offset).ok()?;
        // Also where strides are 0 and one number is shown many times.
        self.size.iter().try_fold(1_i64, |all, side| all.checked_mul(*side))?;
        if self.size.contains(&0) {
            return Some(offset);
        }
        let last = self.size.iter().zip(&self.stride).try_fold(offset, |at, (size, stride)| {
            at.checked_add(u64::try_from(size - 1).ok()?.checked_mul(u64::try_from(*stride).ok()?)?)
        })?;
        last.checked_add(1)
    }
}
