//! The decoded frames of a clip. Knows nothing of files and decoders.

use std::collections::BTreeMap;

use image::{GrayImage, RgbImage};

use super::resize;
use super::spec::{ClipSpec, FrameSize};

/// A decoded frame of a clip.
#[derive(Debug)]
pub(super) struct DecodedFrame {
    pub(super) picture: RgbImage,
    /// The whole frame in grey, if its quality is checked.
    pub(super) grey: Option<GrayImage>,
}

impl DecodedFrame {
    pub(super) fn new(picture: RgbImage, spec: &ClipSpec, size: FrameSize) -> Result<Self, String> {
        let grey = spec.looks_at_quality().then(|| resize::grey(&picture, spec)).transpose()?;
        let picture = if let FrameSize::Crop(crop) = size { resize::crop_resize(&crop, &picture)? } else { picture };
        Ok(Self { picture, grey })
    }
}

/// The decoded frames of a clip.
#[derive(Debug)]
pub(super) struct DecodedClip {
    /// Each frame once, in display order.
    pub(super) frames: Vec<DecodedFrame>,
    /// For each of the T places of the clip, the index of its frame, ascending.
    pub(super) slots: Vec<usize>,
    /// The number of frames that were decoded in the final pass.
    pub(super) decoded: usize,
}

impl DecodedClip {
    /// `picks` has T frame numbers in display order; equal ones are next to each other.
    pub(super) fn new(picks: &[usize], mut found: BTreeMap<usize, DecodedFrame>, decoded: usize) -> Self {
        let (mut frames, mut slots) = (Vec::new(), Vec::new());
        for pick in picks {
            frames.extend(found.remove(pick));
            slots.push(frames.len().saturating_sub(1));
        }
        Self { frames, slots, decoded }
    }

    pub(super) fn hand_over(self, take: &mut dyn FnMut(RgbImage)) -> usize {
        let Self { frames, slots, decoded } = self;
        for (number, DecodedFrame { picture, .. }) in frames.into_iter().enumerate() {
            let times = slots.iter().filter(|slot| **slot == number).count();
            for _ in 1..times {
                take(picture.clone());
            }
            if times > 0 {
                take(picture);
            }
        }
        decoded
    }
}
