//! The errors of loading pretrained weights. The errors of a single download are in `download.rs`.

use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;

/// Why pretrained weights could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// The file cannot be opened or read.
    #[error("{}: the weights cannot be read: {source}\n  hint: model.pretrained takes imagenet, none, or the path of a .pth or .safetensors file", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is damaged, or holds more than tensors.
    #[error("{}: the weights are not read: {problem}\n  hint: take a whole file that holds a plain state dict; in Python, torch.save(model.state_dict(), \"weights.pth\") writes one", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The defect.
        problem: String,
    },
    /// The weights belong to another network.
    #[error("{}: these are not weights of model.backbone: {problem}\n  hint: set model.backbone to the network they are of, or take other weights", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The mismatch.
        problem: String,
    },
    /// The weights are in no cache and could not be fetched.
    #[error("the ImageNet weights cannot be fetched: {problem}\n  at {url}\n  hint: fetch https://download.pytorch.org/models/{} on a machine with a connection and put it at {}; or set model.pretrained to the path of such a file, HF_ENDPOINT to a mirror, or model.pretrained to none", .place.file_name().unwrap_or_default().display(), .place.display())]
    Unreachable {
        /// The address.
        url: String,
        /// Why it could not be fetched.
        problem: String,
        /// Where a file that the user fetches is looked for.
        place: PathBuf,
    },
    /// The user wants to stop.
    #[error("interrupted; what came of the weights is kept")]
    Interrupted,
    /// libtorch could not allocate or copy a tensor.
    #[error("a tensor could not be copied: {0}")]
    Torch(#[from] TchError),
}

impl PretrainedError {
    /// Whether the user's input is at fault (exit code 2), as opposed to a failure at run time (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Unfit { .. } | Self::Invalid { .. } => true,
            Self::Unreachable { .. } | Self::Interrupted | Self::Torch(_) => false,
        }
    }

    pub(super) fn cannot_read(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn invalid(path: &Path, problem: String) -> Self {
        Self::Invalid { path: path.to_owned(), problem }
    }

    pub(super) fn unfit(path: &Path, problem: String) -> Self {
        Self::Unfit { path: path.to_owned(), problem }
    }
}
