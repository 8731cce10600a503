//! The result type of every call into libtorch.

use tch::TchError;

/// What libtorch calls give back; an out-of-memory error comes as `Err` like everything else.
pub type Result<T> = std::result::Result<T, TchError>;
