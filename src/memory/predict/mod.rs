//! Predictions from the configuration alone: peak memory of a step, host memory of the loader, expected speed. Measures
//! nothing; whether a run fits is judged in `advice`.

mod estimate;
mod layers;
mod loader;
mod speed;
mod step;

pub use estimate::{Breakdown, DeviceKind, Estimate};
pub use layers::{learning_parameter_count, parameter_count};
pub use loader::{cache_budget_bytes, decode_window_bytes};
pub use speed::expected_speed;
pub use step::{checkpoint_copy_bytes, copies_for_checkpoints, evaluation_step, training_step};
