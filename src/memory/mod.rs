//! Readings of host and GPU memory, the out-of-memory guard, the predicted peak of a step, and advice.
//!
//! Knows neither data nor models: callers hand in what to run and what to put back.

mod classify;
mod guard;

pub use classify::is_out_of_memory;
pub use guard::{Guard, GuardError, OomEvent};

