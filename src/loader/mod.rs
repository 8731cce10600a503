//! Batches of clips in the order of a plan, decoded ahead by threads, within a budget of host memory.
//!
//! Knows nothing of tensors, nor of what is in a video.

mod batches;
mod budget;
mod host_batch;
mod queue;

pub use batches::{Loader, LoaderSize, Pass};
pub use budget::{DECODER_BYTES, LoaderNeeds, LoaderPlan, plan_loader};
pub use host_batch::HostBatch;
