//! Exact frames of a video, or of pictures that stand for one.
//!
//! Frames are counted, never computed from a frame rate, so variable rates and wrong headers do not matter: frame i is
//! frame i of a full decode, bit for bit. `file` opens and reads, `syntax` looks at packets, `picks` chooses, `video` and
//! `passes` decode, `convert` makes RGB of it, `pictures` does all that for pictures, `quality` leaves frames out. Knows
//! nothing of labels, caches or threads.

mod convert;
mod file;
mod h264;
mod hardware;
mod passes;
mod picks;
mod pictures;
mod quality;
mod references;
mod syntax;
mod video;

use std::collections::BTreeMap;
use std::path::Path;

use ffmpeg_next as ffmpeg;
use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use self::file::{Deadline, Probing, VideoFile};
use super::DataError;
use super::manifest::{Footage, Media};
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

impl Cut {
    /// What is cut out of a whole frame.
    ///
    /// # Errors
    /// The square is not on it.
    pub fn out_of(&self, frame: &RgbImage) -> Result<RgbImage, String> {
        let Square { left, top, side } = self.square;
        let [x, y] =
            [f64::from(frame.width()) / f64::from(self.of[0]), f64::from(frame.height()) / f64::from(self.of[1])];
        pictures::resize(frame, [left * x, top * y, side * x, side * y], as_u32(self.width), as_u32(self.height))
    }
}

impl FrameSize {
    /// Width and height that a frame of this width and height gets.
    fn of(self, width: u32, height: u32) -> (u32, u32) {
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

    fn looks_at_quality(&self) -> bool {
        self.quality_threshold > 0.0 || self.duplicate_threshold > 0.0
    }

    /// Bytes of a clip: T x height x width x 3.
    #[must_use]
    pub fn clip_bytes(&self) -> usize {
        self.frames * self.height * self.width * 3
    }
}

/// The frames of a clip's T x height x width x 3 bytes, as pictures.
#[must_use]
pub fn frames_of(thwc: &[u8], height: usize, width: usize) -> Vec<RgbImage> {
    let picture = |frame: &[u8]| RgbImage::from_raw(as_u32(width), as_u32(height), frame.to_vec());
    thwc.chunks_exact((height * width * 3).max(1)).filter_map(picture).collect()
}

/// Version of FFmpeg's decoding library.
#[must_use]
pub fn libavcodec_version() -> String {
    let version = ffmpeg::codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

/// What a look at the packets tells about a video.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// Frames in it.
    pub frames: usize,
    /// Width in pixels, as shown.
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
    /// Size of the file, or of all its pictures.
    pub bytes: u64,
    /// How long it lasts by its own account; `None` where it does not say, and for pictures.
    pub duration_secs: Option<f64>,
}

/// Whether a clip can be had from this, as far as that shows without decoding.
///
/// # Errors
/// [`DataError::Video`] with the reason why not.
pub fn probe(footage: &Footage, spec: &ClipSpec) -> Result<VideoInfo, DataError> {
    let video = || {
        let mut file = VideoFile::open(&footage.path, Deadline::after(spec.deadline_secs), Probing::Headers)?;
        let frames = file.packets(false, spec.min_frames)?.frames();
        let bytes = std::fs::metadata(&footage.path).map_or(0, |metadata| metadata.len());
        let (width, height) = file.shown_size();
        Ok(VideoInfo { frames, width, height, bytes, duration_secs: file.duration_secs() })
    };
    let info = match &footage.media {
        Media::Video => video(),
        Media::Picture => pictures::probe(std::slice::from_ref(&footage.path), 1),
        Media::Folder => pictures::in_folder(&footage.path).and_then(|paths| pictures::probe(&paths, spec.min_frames)),
        Media::Frames(paths) => pictures::probe(paths, spec.min_frames),
    };
    info.map_err(about(&footage.path))
}

/// The frames of a clip as RGB bytes, T x height x width x 3.
///
/// # Errors
/// [`DataError::Video`] with the reason: the file is no video, is too short, or is damaged.
pub fn read_clip(footage: &Footage, spec: &ClipSpec, draw: Option<u64>) -> Result<Vec<u8>, DataError> {
    let mut thwc = room(footage, spec)?;
    let size = FrameSize::Exact { height: spec.height, width: spec.width };
    read_frames(footage, spec, draw, size, &mut |frame| thwc.extend_from_slice(&frame))?;
    Ok(thwc)
}

/// An empty vector that has room for the bytes of a clip.
///
/// # Errors
/// [`DataError::Video`] where there is no memory for it; a plain `with_capacity` would end the process.
pub fn room(footage: &Footage, spec: &ClipSpec) -> Result<Vec<u8>, DataError> {
    let mut thwc = Vec::new();
    let reserved = thwc.try_reserve_exact(spec.clip_bytes());
    reserved.map_err(|_| about(&footage.path)(format!("no memory for its {} bytes", spec.clip_bytes())))?;
    Ok(thwc)
}

/// Hands over the T frames of a clip in the order they are shown; a frame that was picked twice comes twice.
///
/// `draw` seeds the choice where it is random; without it, the choice is that of validation. A single picture is repeated
/// T times and needs no `min_frames`. All frames are held in memory until the last is known to be sound. Gives back how
/// many frames were decoded in the pass that they came from.
///
/// # Errors
/// [`DataError::Video`] with the reason.
pub fn read_frames(
    footage: &Footage,
    spec: &ClipSpec,
    draw: Option<u64>,
    size: FrameSize,
    take: &mut dyn FnMut(RgbImage),
) -> Result<usize, DataError> {
    let pictures = |paths: &[_], min_frames| pictures::read(paths, spec, min_frames, draw, size);
    let (clip, min_frames) = match &footage.media {
        Media::Video => (video::read(&footage.path, spec, draw, size), spec.min_frames),
        Media::Picture => (pictures(std::slice::from_ref(&footage.path), 1), 1),
        Media::Folder => {
            let paths = pictures::in_folder(&footage.path);
            (paths.and_then(|paths| pictures(&paths, spec.min_frames)), spec.min_frames)
        }
        Media::Frames(paths) => (pictures(paths, spec.min_frames), spec.min_frames),
    };
    let clip = clip.and_then(|clip| quality::filter(clip, spec, min_frames)).map_err(about(&footage.path))?;
    Ok(clip.hand_over(take))
}

fn about(path: &Path) -> impl FnOnce(String) -> DataError {
    move |reason| DataError::Video { path: path.to_owned(), reason }
}

/// One frame of a clip, as it is handed over.
#[derive(Debug)]
struct Frame {
    picture: RgbImage,
    /// The whole frame in grey, where its quality counts.
    grey: Option<GrayImage>,
}

impl Frame {
    fn new(picture: RgbImage, spec: &ClipSpec, size: FrameSize) -> Result<Self, String> {
        let grey = spec.looks_at_quality().then(|| quality::grey(&picture, spec)).transpose()?;
        let picture = if let FrameSize::Cut(cut) = size { cut.out_of(&picture)? } else { picture };
        Ok(Self { picture, grey })
    }
}

/// The frames of a clip.
#[derive(Debug)]
struct Clip {
    /// Each frame once, in the order they are shown.
    frames: Vec<Frame>,
    /// Which of them is at each of the clip's T places, ascending.
    slots: Vec<usize>,
    /// How many frames were decoded in the pass that they came from.
    decoded: usize,
}

impl Clip {
    /// `picks` name T of the frames in the order they are shown, those that are alike one after the other.
    fn new(picks: &[usize], mut found: BTreeMap<usize, Frame>, decoded: usize) -> Self {
        let (mut frames, mut slots) = (Vec::new(), Vec::new());
        for pick in picks {
            frames.extend(found.remove(pick));
            slots.push(frames.len().saturating_sub(1));
        }
        Self { frames, slots, decoded }
    }

    fn hand_over(self, take: &mut dyn FnMut(RgbImage)) -> usize {
        let Self { frames, slots, decoded } = self;
        for (number, Frame { picture, .. }) in frames.into_iter().enumerate() {
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

fn as_u32(checked: usize) -> u32 {
    u32::try_from(checked).expect("the configuration bounds the size of frames")
}
