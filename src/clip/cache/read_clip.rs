//! A clip as the cache stores it. Knows nothing of videos.

/// A clip that was read: pixels, and other data that is stored with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadClip {
    /// RGB bytes: T x height x width x 3.
    pub thwc: Vec<u8>,
    /// The largest `data.min_frames` with which the video can be used.
    pub usable_frames: usize,
    /// Data that the reader stores with the clip. The cache does not interpret it.
    pub meta: Vec<u8>,
}

impl ReadClip {
    /// All but the pixels.
    pub(in crate::clip) fn without_pixels(&self) -> Self {
        Self { thwc: Vec::new(), usable_frames: self.usable_frames, meta: self.meta.clone() }
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.thwc.len() + self.meta.len()) as u64
    }
}
