//! The loader: batches of clips in the order of a plan, decoded in advance by threads, within a budget of host memory.
//!
//! This room knows nothing of tensors, nor of the contents of videos.

mod batches;
mod budget;
mod host_batch;
mod mixing;
mod queue;

pub use batches::{Loader, LoaderSize, Pass};
pub use budget::{DECODER_BYTES, LoaderNeeds, LoaderPlan, plan_loader};
pub use host_batch::HostBatch;
