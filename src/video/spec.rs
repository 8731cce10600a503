//! The specification of a clip: number, choice, size and part of its frames. Knows nothing of files.

use serde::{Deserialize, Serialize};

use crate::config::{DataConfig, Sampling, Switch};

/// The specification of a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipSpec {
    /// T, the number of frames.
    pub frames: usize,
    /// The height to which frames are resized, pixels.
    pub height: usize,
    /// The width to which frames are resized, pixels.
    pub width: usize,
    /// The smallest number of frames to choose from of a usable video. A video with fewer than `frames` repeats some.
    pub min_frames: usize,
    /// How frames are chosen.
    pub sampling: Sampling,
    /// Only frames 0, n, 2n and so on are chosen from.
    pub skip_frames: usize,
    /// The smallest variance of the Laplacian of a usable frame; 0 = off.
    pub quality_threshold: f64,
    /// The smallest difference from the frame before; 0 = off.
    pub duplicate_threshold: f64,
    /// The longest time for reading a video, seconds.
    pub deadline_secs: f64,
    /// Whether the GPU may decode.
    pub hw_decode: Switch,
}

/// A square on a frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Square {
    /// The left edge, before it is turned.
    pub left: f64,
    /// The upper edge, before it is turned.
    pub top: f64,
    /// The side length.
    pub side: f64,
    /// The angle by which it is turned clockwise around its centre, radians.
    pub turn: f64,
}

impl Square {
    /// A square that is not turned.
    #[must_use]
    pub fn upright(left: f64, top: f64, side: f64) -> Self {
        Self { left, top, side, turn: 0.0 }
    }

    /// A square with this centre.
    #[must_use]
    pub fn around([x, y]: [f64; 2], side: f64, turn: f64) -> Self {
        Self { left: x - side / 2.0, top: y - side / 2.0, side, turn }
    }

    /// The position on the frame of a point in the square, whose coordinates are 0 to 1 from its upper left corner.
    #[must_use]
    pub fn on_frame(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ([x, y], half) = ([x, y].map(|at| (at - 0.5) * self.side), self.side / 2.0);
        let (sin, cos) = self.turn.sin_cos();
        [self.left + half + cos * x - sin * y, self.top + half + sin * x + cos * y]
    }

    /// The inverse of [`on_frame`](Self::on_frame).
    #[must_use]
    pub fn in_square(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let half = self.side / 2.0;
        let (x, y) = (x - self.left - half, y - self.top - half);
        let (sin, cos) = self.turn.sin_cos();
        [(cos * x + sin * y) / self.side + 0.5, (cos * y - sin * x) / self.side + 0.5]
    }
}

/// The size and part of the frames that are returned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrameSize {
    /// Whole frames, resized to this size without regard to the aspect ratio.
    Exact {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
    /// Whole frames, not resized.
    Full,
    /// Whole frames, whose longer side is reduced to this number of pixels, never enlarged.
    LongSide(usize),
    /// A square of each frame. Only one whole frame at a time is in memory.
    Crop(CropResize),
}

/// A square of a frame, resized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropResize {
    /// The square.
    pub square: Square,
    /// The width and height of the frames to which the square belongs. In a frame of another size, it is scaled.
    pub of: [u32; 2],
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
}

impl FrameSize {
    /// The size to which a frame of this width and height is resized.
    pub(super) fn of(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Exact { height, width } => (as_u32(width), as_u32(height)),
            Self::Full | Self::Crop(_) => (width, height),
            Self::LongSide(side) => {
                let scale = (side as f64 / f64::from(width.max(height))).min(1.0);
                let scaled = |length: u32| (f64::from(length) * scale).round().max(1.0) as u32;
                (scaled(width), scaled(height))
            }
        }
    }
}

impl ClipSpec {
    /// The clips of validation and tests, as configured.
    #[must_use]
    pub fn of(data: &DataConfig) -> Self {
        let [height, width] = data.frame_size;
        Self {
            frames: data.max_frames,
            height,
            width,
            min_frames: data.min_frames,
            sampling: data.sampling,
            skip_frames: data.skip_frames,
            quality_threshold: data.quality_threshold,
            duplicate_threshold: data.duplicate_threshold,
            deadline_secs: data.deadline_secs,
            hw_decode: data.hw_decode,
        }
    }

    /// All clips of a video as one, for validation and tests.
    #[must_use]
    pub fn of_all_clips(data: &DataConfig) -> Self {
        Self { frames: data.max_frames * data.clips_per_video, ..Self::of(data) }
    }

    /// The clips of training, as configured.
    #[must_use]
    pub fn of_training(data: &DataConfig) -> Self {
        Self { frames: data.training_frames(), ..Self::of(data) }
    }

    /// Evenly spaced frames; all else is the default.
    #[must_use]
    pub fn uniform(frames: usize, height: usize, width: usize, min_frames: usize) -> Self {
        let data = DataConfig { max_frames: frames, frame_size: [height, width], min_frames, ..DataConfig::default() };
        Self::of(&data)
    }

    /// The number of frames of a video of which at least `min_frames` are looked at.
    pub(super) fn least_frames(&self) -> usize {
        self.min_frames.saturating_sub(1).saturating_mul(self.skip_frames) + 1
    }

    /// The number of frames to choose from of a video with this number of frames.
    pub(super) fn choices(&self, frames: usize) -> usize {
        frames.div_ceil(self.skip_frames)
    }

    pub(super) fn looks_at_quality(&self) -> bool {
        self.quality_threshold > 0.0 || self.duplicate_threshold > 0.0
    }

    /// The size of a clip: T x height x width x 3 bytes.
    #[must_use]
    pub fn clip_bytes(&self) -> usize {
        self.frames * self.height * self.width * 3
    }
}

pub(super) fn as_u32(checked: usize) -> u32 {
    u32::try_from(checked).expect("the configuration bounds the size of frames")
}
