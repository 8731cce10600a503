//! Records of clean-ups and warnings. Only data: `memory_manager.rs` cleans up and warns.

use serde::{Deserialize, Serialize};

use crate::memory::readings::{Reading, Usage};

/// Why memory was cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Host memory is short.
    HostPressure,
    /// Memory of the GPU is short.
    GpuPressure,
    /// The schedule asks for it.
    Scheduled,
    /// Memory of the device that the network is on ran out.
    OutOfMemory,
}

/// One clean-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cleanup {
    /// Why memory was cleaned up.
    pub reason: Reason,
    /// Memory before.
    pub before: Reading,
    /// Memory after.
    pub after: Reading,
    /// Bytes that were released: of resident memory, or on a GPU of the memory that libtorch reserved. Absent where
    /// they are not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freed_bytes: Option<u64>,
    /// Time it took, milliseconds.
    pub ms: f64,
    /// Caches and queues that shrank, each with its sizes before and after.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<String>,
}

/// A warning that memory got short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warning {
    /// [`Reason::HostPressure`] or [`Reason::GpuPressure`].
    pub reason: Reason,
    /// How much of that memory is in use.
    pub usage: Usage,
    /// The threshold that the share in use crossed.
    pub threshold: f64,
}

/// Counts of the clean-ups and warnings of a manager.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MemoryStats {
    /// Number of clean-ups.
    pub cleanups: u64,
    /// Bytes that they released together.
    pub freed_bytes: u64,
    /// Time that they took together, milliseconds.
    pub cleanup_ms: f64,
    /// Times that memory got short.
    pub warnings: u64,
}
