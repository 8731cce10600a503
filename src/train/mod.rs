//! Training: the fit loop, one step under the memory guard, where a run stands, and checkpoints of it.

mod average;
mod checkpoint;
mod divergence;
mod lines;
mod state;
mod step;
mod trainer;

pub use average::Average;
pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints, Learned};
pub use state::{Best, EpochRecord, Patience, Tally, TrainState};
pub use step::{Gradients, StepReport, Stepper};
pub use trainer::{Outcome, TrainError, Trainer};
