//! The errors of an export. Those of writing the file belong to the caller.

use tch::TchError;

/// Why a network cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// libtorch failed, or there is no memory.
    #[error("the network cannot be exported: {0}")]
    Torch(#[from] TchError),
    /// The writer of a format does not support the network, which is a bug of this program.
    #[error("the network cannot be exported: {0}\n  hint: export another format, and report this")]
    Unknown(String),
}
