//! The frames of a clip after decoding, and their places in the clip. Knows nothing of files and decoders.

use std::collections::BTreeMap;

use image::GrayImage;

/// What was made of a decoded frame: a picture, or the frame itself.
#[derive(Debug)]
pub(super) struct Made<T> {
    pub(super) value: T,
    /// The whole frame in grey, if its quality is checked.
    pub(super) grey: Option<GrayImage>,
}

/// What was made of the frames of a clip.
#[derive(Debug)]
pub(super) struct DecodedClip<T> {
    /// Each frame once, in display order, with its number in the video.
    pub(super) frames: Vec<(usize, Made<T>)>,
    /// For each of the T places of the clip, the index of its frame, ascending.
    pub(super) slots: Vec<usize>,
    /// Width and height of the video as shown.
    pub(super) size: [u32; 2],
    /// The number of frames that were decoded in the final pass.
    pub(super) decoded: usize,
    /// The number of frames to choose from.
    pub(super) choices: usize,
}

impl<T> DecodedClip<T> {
    /// `picks` has T frame numbers in display order, out of so many `choices`; equal ones are next to each other.
    pub(super) fn new(
        (picks, choices): (&[usize], usize),
        mut found: BTreeMap<usize, Made<T>>,
        size: [u32; 2],
        decoded: usize,
    ) -> Self {
        let (mut frames, mut slots) = (Vec::new(), Vec::new());
        for pick in picks {
            frames.extend(found.remove(pick).map(|made| (*pick, made)));
            slots.push(frames.len().saturating_sub(1));
        }
        Self { frames, slots, size, decoded, choices }
    }

    /// How often each frame is in the clip.
    pub(super) fn times(&self, frame: usize) -> usize {
        self.slots.iter().filter(|slot| **slot == frame).count()
    }
}
