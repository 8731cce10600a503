//! A batch in host memory. Knows nothing of tensors.

use crate::dataset::Label;

/// The clips of some videos, before they become tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// The position of the batch in the plan.
    pub index: usize,
    /// RGB bytes: clips x T x height x width x 3.
    pub frames_bthwc: Vec<u8>,
    /// The label of each clip.
    pub labels: Vec<Label>,
    /// How much of each clip is fake, 0 to 1, if clips were mixed; empty if they were not.
    pub fake_shares: Vec<f64>,
    /// The video of each clip: its index in the manifest.
    pub videos: Vec<usize>,
    /// Videos of the batch that could not be read, with the reasons. They have no clip.
    pub skipped: Vec<(usize, String)>,
}

impl HostBatch {
    /// The target of each clip: 0 for a real, 1 for a fake, between them for a mixture.
    #[must_use]
    pub fn targets(&self) -> Vec<f64> {
        if self.fake_shares.is_empty() {
            return self.labels.iter().map(|label| f64::from(u8::from(*label == Label::Fake))).collect();
        }
        self.fake_shares.clone()
    }
}
