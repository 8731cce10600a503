//! The errors of an evaluation. A single video that cannot be read is no error; it is in `scores.rs`.

use crate::memory::GuardError;

/// Why a set of videos could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The network could not run.
    #[error(transparent)]
    Guard(#[from] GuardError<tch::TchError>),
}
