//! The frames of a clip on their way out of the decoder.

use std::collections::BTreeMap;

use image::{GrayImage, RgbImage};

use super::resize;
use super::spec::{ClipSpec, FrameSize};

/// One frame of a clip, as it is handed over.
#[derive(Debug)]
pub(super) struct DecodedFrame {
    pub(super) picture: RgbImage,
    /// The whole frame in grey, where its quality counts.
    pub(super) grey: Option<GrayImage>,
}

impl DecodedFrame {
    pub(super) fn new(picture: RgbImage, spec: &ClipSpec, size: FrameSize) -> Result<Self, String> {
        let grey = spec.looks_at_quality().then(|| resize::grey(&picture, spec)).transpose()?;
        let picture = if let FrameSize::Cut(cut) = size { resize::cut_out(&cut, &picture)? } else { picture };
        Ok(Self { picture, grey })
    }
}

/// The frames of a clip.
#[derive(Debug)]
pub(super) struct DecodedClip {
    /// Each frame once, in the order they are shown.
    pub(super) frames: Vec<DecodedFrame>,
    /// Which of them is at each of the clip's T places, ascending.
    pub(super) slots: Vec<usize>,
    /// How many frames were decoded in the pass that they came from.
    pub(super) decoded: usize,
}

impl DecodedClip {
    /// `picks` name T of the frames in the order they are shown, those that are alike one after the other.
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
