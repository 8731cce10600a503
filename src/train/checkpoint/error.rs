//! The errors of checkpoints, with hints for the user. Reads and writes nothing; exit codes are in `cli/exit.rs`.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tch::TchError;

const HINT_ARCHITECTURE: &str =
    "leave model.* as the checkpoint was trained with; its own configuration is in RUN/config.yaml";

/// An error of writing or reading a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file or folder cannot be written or read.
    #[error("{}: the checkpoint cannot be {verb}: {source}\n  hint: {hint}", .path.display())]
    Io {
        /// `written` or `read`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
        /// A hint for the user.
        hint: &'static str,
    },
    /// A file is damaged, or is no file of a checkpoint.
    #[error("{}: {problem}\n  hint: {hint}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
        /// A hint for the user.
        hint: &'static str,
    },
    /// The checkpoint belongs to another network than the configuration describes.
    #[error("{}: the checkpoint is of another architecture: {difference}\n  hint: {HINT_ARCHITECTURE}", .path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// A tensor in which the networks differ.
        difference: String,
    },
    /// libtorch could not copy a tensor.
    #[error("a tensor could not be copied: {0}")]
    Torch(#[from] TchError),
}

impl CheckpointError {
    /// Whether the user named a wrong folder or network (exit code 2). Other failures have exit code 1.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Io { verb, source, .. } => {
                *verb == "read" && matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
            }
            Self::Architecture { .. } => true,
            Self::Invalid { .. } | Self::Torch(_) => false,
        }
    }
}

/// The error of a file with this `problem`.
pub(super) fn invalid(path: &Path, problem: impl Into<String>) -> CheckpointError {
    let hint = "take another checkpoint of the run, or train again; only whole folders written by dfdetect are read";
    CheckpointError::Invalid { path: path.to_owned(), problem: problem.into(), hint }
}

/// Makes the error of a file from an error of the system; `verb` is `written` or `read`.
pub(super) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_owned();
    move |source| {
        let hint = match verb {
            "written" => "free some space or allow writing there; the previous checkpoint is untouched",
            _ => "name the folder of a run, or of a checkpoint such as RUN/checkpoints/best",
        };
        CheckpointError::Io { verb, path, source, hint }
    }
}
