//! What turns gradients into new weights: AdamW, the learning rate over time, loss scaling for fp16.

mod adamw;
mod scaler;
mod schedule;

pub use adamw::{AdamW, Moments};
pub use scaler::LossScaler;
pub use schedule::CosineSchedule;
