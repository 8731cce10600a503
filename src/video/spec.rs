//! What is taken from a video: how many frames, which, how large, and which part of them.

use serde::{Deserialize, Serialize};

use crate::config::{DataConfig, Sampling, Switch};

/// What is taken from a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipSpec {
    /// T: frames in a clip.
    pub frames: usize,
    /// Height in pixels that frames are resized to.
    pub height: usize,
    /// Width in pixels that frames are resized to.
    pub width: usize,
    /// A video with fewer frames is not used; one with fewer than `frames` repeats some.
    pub min_frames: usize,
    /// Which frames.
    pub sampling: Sampling,
    /// Frames with a lower variance of the Laplacian are left out; 0 = off.
    pub quality_threshold: f64,
    /// Frames that differ less from the one before are left out; 0 = off.
    pub duplicate_threshold: f64,
    /// Seconds after which reading is given up.
    pub deadline_secs: f64,
    /// Whether the GPU may decode.
    pub hw_decode: Switch,
}

/// A square on a frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Square {
    /// Of its left side.
    pub left: f64,
    /// Of its upper side.
    pub top: f64,
    /// Length of each side.
    pub side: f64,
}

/// How large frames are handed over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrameSize {
    /// Resized to this, whatever the shape of the video.
    Exact {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
    /// As in the video.
    Full,
    /// Made smaller, never larger, so that the longer side has this many pixels.
    LongSide(usize),
    /// Nothing but a part of it. Only one whole frame at a time is held for it.
    Cut(Cut),
}

/// A square of a frame, resized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Where.
    pub square: Square,
    /// Width and height of the frames that the square is told in; one of another size has it at the same place.
    pub of: [u32; 2],
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
}

impl FrameSize {
    /// Width and height that a frame of this width and height gets.
    pub(super) fn of(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Exact { height, width } => (as_u32(width), as_u32(height)),
            Self::Full | Self::Cut(_) => (width, height),
            Self::LongSide(side) => {
                let scale = (side as f64 / f64::from(width.max(height))).min(1.0);
                let scaled = |length: u32| (f64::from(length) * scale).round().max(1.0) as u32;
                (scaled(width), scaled(height))
            }
        }
    }
}

impl ClipSpec {
    /// Clips as configured.
    #[must_use]
    pub fn of(data: &DataConfig) -> Self {
        let [height, width] = data.frame_size;
        Self {
            frames: data.max_frames,
            height,
            width,
            min_frames: data.min_frames,
            sampling: data.sampling,
            quality_threshold: data.quality_threshold,
            duplicate_threshold: data.duplicate_threshold,
            deadline_secs: data.deadline_secs,
            hw_decode: data.hw_decode,
        }
    }

    /// Clips as training steps see them.
    #[must_use]
    pub fn of_training(data: &DataConfig) -> Self {
        Self { frames: data.training_frames(), ..Self::of(data) }
    }

    /// Evenly spaced frames, with the defaults for all else.
    #[must_use]
    pub fn uniform(frames: usize, height: usize, width: usize, min_frames: usize) -> Self {
        let data = DataConfig { max_frames: frames, frame_size: [height, width], min_frames, ..DataConfig::default() };
        Self::of(&data)
    }

    pub(super) fn looks_at_quality(&self) -> bool {
        self.quality_threshold > 0.0 || self.duplicate_threshold > 0.0
    }

    /// Bytes of a clip: T x height x width x 3.
    #[must_use]
    pub fn clip_bytes(&self) -> usize {
        self.frames * self.height * self.width * 3
    }
}

pub(super) fn as_u32(checked: usize) -> u32 {
    u32::try_from(checked).expect("the configuration bounds the size of frames")
}
