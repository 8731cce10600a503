//! Training: the fit loop, one step under the memory guard, where a run stands, and checkpoints of it.

mod checkpoint;
mod divergence;
mod epoch;
mod keep;
mod learner;
mod lines;
mod memory;
mod pictures;
mod saving;
mod state;
mod step;
mod tensors;
mod trainer;
mod trial;
mod work;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints};
pub use learner::Learner;
pub use lines::MemoryLine;
pub use state::{Best, EpochRecord, Patience, Tally, TrainState};
pub use step::{StepError, StepReport, Stepper};
pub use trainer::{Outcome, TrainError, Trainer};
pub use trial::{Phase, Trial, Trialled};
pub use work::Gradients;
