//! Losses, loss scaling for fp16, optimizers, learning-rate schedules, and the exponential moving average of the
//! weights.
//!
//! This room knows nothing of the network: its inputs are logits and named tensors.

mod adam;
mod build;
mod ema;
mod groups;
mod loss;
mod optimizer;
mod pair_loss;
mod sam;
mod scaler;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use build::optimizer;
pub use ema::Ema;
pub use groups::ParameterGroups;
pub use loss::Loss;
pub use optimizer::Optimizer;
pub use pair_loss::pair_loss;
pub use sam::Sam;
pub use scaler::LossScaler;
pub use schedule::{PlateauState, Schedule};
pub use sgd::Sgd;
