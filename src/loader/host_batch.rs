//! A batch in host memory. Knows nothing of tensors.

use crate::dataset::Label;

/// The clips of some videos, before they become tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBatch {
    /// The position of the batch in the plan.
    pub index: usize,
    /// RGB bytes: clips x T x height x width x 3.
    pub frames_bthwc: Vec<u8>,
    /// The label of each clip.
    pub labels: Vec<Label>,
    /// The video of each clip: its index in the manifest.
    pub videos: Vec<usize>,
    /// Videos of the batch that could not be read, with the reasons. They have no clip.
    pub skipped: Vec<(usize, String)>,
}
