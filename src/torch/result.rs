//! The result type of every call into libtorch. Only the type: `memory/guard/classify.rs` tells which errors mean out
//! of memory.

use tch::TchError;

/// The result of a call into libtorch; out of memory is an `Err` like every other error.
pub type Result<T> = std::result::Result<T, TchError>;
