//! The tensors that a pickle in one of PyTorch's files describes: those in its dictionaries. Executes no instruction of
//! a pickle; that is `unpickler.rs`. Reads no numbers of tensors; that is `weights_file.rs`.

use tch::Kind;

use super::pickle_object::{Handle, MAX_NAME_BYTES, Object, Problem, StridedView};
use super::unpickler::Unpickler;

/// Larger pickles are refused; that of a ResNet-101 has 100 KB.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Dictionaries that are nested deeper are refused.
const MAX_DEPTH: usize = 8;
/// More dictionary entries are refused.
const MAX_ENTRIES: usize = 100_000;

/// The objects of a pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    root: Handle,
    /// Length of the pickle in bytes.
    pub len: usize,
}

impl Pickle {
    /// Reads the pickle that `bytes` begin with.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let (objects, root, len) = Unpickler::run(bytes)?;
        Ok(Self { objects, root, len })
    }

    /// All tensors in nested dictionaries, with their keys joined by dots. Tensors in lists and tuples are ignored.
    pub fn tensors(&self) -> Result<Vec<(String, &StridedView)>, Problem> {
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
        found: &mut Vec<(String, &'p StridedView)>,
    ) -> Result<(), Problem> {
        match &self.objects[handle] {
            Object::Tensor(view) => found.push((path.to_owned(), &**view)),
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

    /// Keys and element types of all storages.
    pub fn storages(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage { key, kind, .. } => Some((key.as_str(), *kind)),
            _ => None,
        })
    }

    /// The pickle as a list of texts, which is the last pickle of the old file format.
    pub fn texts(&self) -> Result<Vec<&str>, Problem> {
        let Object::List(items) = &self.objects[self.root] else { return Err("a list was expected".into()) };
        let text = |item: &Handle| match &self.objects[*item] {
            Object::Text(text) => Ok(text.as_str()),
            _ => Err("a list of texts was expected".to_owned()),
        };
        items.iter().map(text).collect()
    }
}
