//! The memory manager: it watches memory and cleans up before memory runs out.

mod cleanup;
mod history;
mod memory_manager;
mod monitor;
mod policy;
mod pressure;
mod resizable;

pub use cleanup::{Cleanup, MemoryStats, Reason, Warning};
pub use history::{History, PeakAndMean};
pub use memory_manager::MemoryManager;
pub use policy::MemoryPolicy;
pub use resizable::Resizable;
