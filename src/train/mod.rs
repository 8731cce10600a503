//! Training: the fit loop, the training step under the out-of-memory guard, the state of a run, and its checkpoints.
//!
//! Read `train_step.rs` and `step_attempt.rs` for one step, and `trainer.rs` for the loop around it. This room opens no video and makes no
//! HTML. It knows nothing of the command line.

mod average;
mod checkpoint;
mod clip_sheet;
mod data;
mod epoch;
mod error;
mod fault;
mod learner;
mod log_lines;
mod model_state;
mod recorder;
mod roll_back;
mod saver;
mod state;
mod step_attempt;
mod train_step;
mod trainer;
mod trial;

pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints};
pub use data::TrainData;
pub use epoch::{Best, EpochRecord, Patience, Tally};
pub use error::{StepError, TrainError};
#[cfg(test)]
pub(crate) use fault::FAULTS;
pub use learner::Learner;
pub use log_lines::MemoryLine;
pub use model_state::ModelState;
pub use recorder::Recorder;
pub use state::{Average, TrainState};
pub use train_step::{StepReport, Stepper};
pub use trainer::{FitEnd, Trainer};
pub use trial::{Phase, Trial, TrialOutcome};
