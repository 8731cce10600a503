//! A batch in host memory. Knows nothing of tensors.

use std::ops::Range;
use std::sync::Arc;

use crate::clip::ReadClip;
use crate::dataset::Label;

/// The clips of some videos, before they become tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// The position of the batch in the plan.
    pub index: usize,
    /// The clips, all of one size. They are not copied: the cache may share them.
    pub clips: Vec<Arc<ReadClip>>,
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
    /// A batch of the clips of videos 0, 1, ..., made of RGB bytes, clips x T x height x width x 3.
    #[must_use]
    pub fn of_bytes(frames_bthwc: &[u8], labels: Vec<Label>) -> Self {
        let clip = |thwc: &[u8]| Arc::new(ReadClip { thwc: thwc.to_vec(), ..ReadClip::default() });
        let clip_bytes = (frames_bthwc.len() / labels.len().max(1)).max(1);
        let clips = frames_bthwc.chunks(clip_bytes).map(clip).collect();
        let videos = (0..labels.len()).collect();
        Self { index: 0, clips, labels, fake_shares: Vec::new(), videos, skipped: Vec::new() }
    }

    /// The bytes of all clips, one after the other.
    #[must_use]
    pub fn frames_bthwc(&self) -> Vec<u8> {
        self.parts(0..self.bytes()).concat()
    }

    /// The number of bytes of all clips.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.clips.iter().map(|clip| clip.thwc.len()).sum()
    }

    /// A range of the bytes of all clips, as parts of single clips.
    #[must_use]
    pub fn parts(&self, range: Range<usize>) -> Vec<&[u8]> {
        let mut start = 0;
        let part = |clip: &Arc<ReadClip>| {
            let (from, to) = (range.start.max(start) - start, range.end.max(start) - start);
            start += clip.thwc.len();
            from..to.min(clip.thwc.len())
        };
        let ranges = self.clips.iter().map(part);
        let parts: Vec<_> = ranges.zip(&self.clips).filter(|(range, _)| !range.is_empty()).collect();
        parts.into_iter().map(|(range, clip)| &clip.thwc[range]).collect()
    }

    /// The target of each clip: 0 for a real, 1 for a fake, between them for a mixture.
    #[must_use]
    pub fn targets(&self) -> Vec<f64> {
        if self.fake_shares.is_empty() {
            return self.labels.iter().map(|label| f64::from(u8::from(*label == Label::Fake))).collect();
        }
        self.fake_shares.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_of_bytes_is_made_of_parts_of_clips() {
        let bytes: Vec<u8> = (0..30).collect();
        let batch = HostBatch::of_bytes(&bytes, vec![Label::Real; 3]);
        assert_eq!((batch.frames_bthwc(), batch.bytes(), batch.clips.len()), (bytes.clone(), 30, 3));
        for (start, end, parts) in [(0, 10, 1), (3, 7, 1), (5, 25, 3), (10, 30, 2), (20, 21, 1), (4, 4, 0)] {
            let found = batch.parts(start..end);
            assert_eq!((found.concat(), found.len()), (bytes[start..end].to_vec(), parts));
        }
        assert!(HostBatch::of_bytes(&[], vec![]).clips.is_empty());
    }
}
