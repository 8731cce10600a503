//! A clip as the cache stores it. Knows nothing of videos.

/// A clip that was read: pixels, and other data that is stored with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadClip {
    /// RGB bytes: T x height x width x 3.
    pub thwc: Vec<u8>,
    /// Data that the reader stores with the clip. The cache does not interpret it.
    pub meta: Vec<u8>,
}

impl ReadClip {
    pub(super) fn bytes(&self) -> u64 {
        (self.thwc.len() + self.meta.len()) as u64
    }
}
