//! The objects that a pickle of tensors consists of. Only data: `unpickler.rs` creates them, and `pickle.rs` finds the
//! tensors among them.

use tch::Kind;

/// Longer names, and longer keys of storages, are refused.
pub(super) const MAX_NAME_BYTES: usize = 500;

/// Why a pickle is refused, as text.
pub(super) type Problem = String;

/// Index of one of a pickle's objects. Objects refer to each other by index, so that sharing and cycles are harmless.
pub(super) type Handle = usize;

/// A tensor as a pickle describes it: a strided view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StridedView {
    /// Key of the storage.
    pub storage: String,
    /// Element type of the storage.
    pub kind: Kind,
    /// Number of elements in the storage.
    pub storage_len: u64,
    /// Element of the storage that the tensor begins with.
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// An object that the instructions of a pickle create.
#[derive(Debug)]
pub(super) enum Object {
    /// An object that no tensor needs: `None`, floats, bytes.
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
    Tensor(Box<StridedView>),
}

/// The functions and classes that a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

impl StridedView {
    /// One past the last element of the storage that the view covers; `None` where that overflows, or a size, a stride
    /// or the offset is negative.
    pub fn end(&self) -> Option<u64> {
        if self.size.len() != self.stride.len() || self.size.iter().chain(&self.stride).any(|n| *n < 0) {
            return None;
        }
        let offset = u64::try_from(self.offset).ok()?;
        // The element count must not overflow either: with stride 0 it can exceed the storage.
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
