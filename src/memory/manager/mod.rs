//! The memory manager: it watches memory and cleans up before memory runs out. What happens after memory ran out is in
//! `guard`.

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
