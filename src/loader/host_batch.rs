//! A batch in host memory.

use crate::dataset::Label;

/// Clips of some videos, ready to become tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBatch {
    /// Position of the batch in the plan.
    pub index: usize,
    /// RGB bytes: clips x T x height x width x 3.
    pub frames_bthwc: Vec<u8>,
    /// One label a clip.
    pub labels: Vec<Label>,
    /// One video a clip: its number in the manifest.
    pub videos: Vec<usize>,
    /// Videos of the batch that could not be read, and why; they have no clip.
    pub skipped: Vec<(usize, String)>,
}
