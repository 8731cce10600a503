//! What a reader makes of each decoded frame: a picture, its bytes in a buffer, or the frame itself. Knows nothing of
//! files and decoders.

use image::{GrayImage, RgbImage, imageops};

use super::convert::{Converter, RawFrame};
use super::decoded::Made;
use super::spec::{ClipSpec, FrameSize};

/// What is made of each decoded frame, by its number in the video. A frame may come again, if a pass had to be given
/// up.
pub(super) struct Making<'a, T> {
    pub(super) spec: &'a ClipSpec,
    pub(super) converter: &'a mut Converter,
    pub(super) make: &'a mut dyn FnMut(&mut Converter, usize, RawFrame) -> Result<T, String>,
}

impl<T> Making<'_, T> {
    pub(super) fn of(&mut self, number: usize, raw: RawFrame) -> Result<Made<T>, String> {
        let grey = self.spec.looks_at_quality().then(|| self.grey(&raw)).transpose()?;
        Ok(Made { value: (self.make)(self.converter, number, raw)?, grey })
    }

    /// Grey levels (0 to 255) at the size of the clip, so that thresholds mean the same for all videos.
    fn grey(&mut self, raw: &RawFrame) -> Result<GrayImage, String> {
        let size = FrameSize::Exact { height: self.spec.height, width: self.spec.width };
        self.converter.picture(raw, size).map(|picture: RgbImage| imageops::grayscale(&picture))
    }
}
