//! Advice on settings that fit the memory of a device and its host. Measures nothing and runs no training: callers pass
//! facts, and trials as closures.

mod advise;
mod batch_size;
mod budget;
mod facts;
mod loader;
mod notes;
mod quality;
mod search;
mod suggestion;
mod trials;

pub use advise::{Advice, HostAdvice, RankedSettings, advise, advise_measured};
pub use batch_size::{ChosenBatchSize, batch_sizes, choose_batch_size};
pub use budget::{step_budget_bytes, usable_bytes};
pub use facts::{DeviceFacts, DeviceSource, HostFacts};
pub use suggestion::Suggestion;
pub use trials::largest_that_holds;
