//! The clip of a video as it was read.

/// What reading a video gives: pixels, and what else is to be known about them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadClip {
    /// RGB bytes: T x height x width x 3.
    pub thwc: Vec<u8>,
    /// Whatever the reader wants to find again with the clip; the cache does not look into it.
    pub meta: Vec<u8>,
}

impl ReadClip {
    pub(super) fn bytes(&self) -> u64 {
        (self.thwc.len() + self.meta.len()) as u64
    }
}
