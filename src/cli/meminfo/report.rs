//! The result of one memory reading, also the JSON format of `meminfo --json`. Neither measures nor formats text.

use serde::Serialize;

use super::headroom::Headroom;
use super::run_memory::RunMemory;
use crate::memory::{ProcessUse, Snapshot};

/// The object that `--json` writes. Keys may be added, but not renamed or removed.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub memory: Snapshot,
    /// Why GPUs cannot be used with this libtorch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable_gpus: Vec<String>,
    pub torch: Torch,
    pub headroom: Vec<Headroom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<ProcessUse>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunMemory>,
}

#[derive(Serialize)]
pub(super) struct Torch {
    pub version: String,
    pub cuda_available: bool,
    /// Whether the allocator of CUDA extends its segments.
    pub expandable_segments: bool,
}
