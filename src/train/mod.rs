//! Training: the fit loop, one step under the memory guard, where a run stands, and checkpoints of it.

mod checkpoint;
mod lines;
mod state;
mod step;
mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints};
pub use lines::MemoryLine;
pub use state::{Best, EpochRecord, Plateau, Tally, TrainState};
pub use step::{Gradients, StepReport, Stepper};
pub use trainer::{Outcome, TrainError, Trainer};
