//! The errors of reading a run for its page, and of writing the page. Errors of training and evaluation are elsewhere.

use std::io;
use std::path::PathBuf;

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A file of the run exists and cannot be read.
    #[error("{}: {error}\n  hint: allow reading it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A file of the run has unexpected contents.
    #[error("{}: this is not what belongs there: {error}\n  hint: delete it; what it says is then left out", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: serde_json::Error,
    },
    /// The page cannot be written.
    #[error("{}: the page cannot be written: {error}\n  hint: allow writing there, or name another place with --output", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
}
