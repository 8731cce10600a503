//! Reading a clip from a video file, or from pictures in its place. Knows nothing of faces, caches and labels. Decoding
//! is in `decode.rs` and `pictures.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use image::RgbImage;

use super::container::{Probing, VideoFile};
use super::convert::{Converter, RawFrame};
use super::decoded::DecodedClip;
use super::info::VideoInfo;
use super::input::VideoInput;
use super::limits::Deadline;
use super::make::Making;
use super::spec::{ClipSpec, FrameSize, as_u32};
use super::{decode, pictures, quality, tables};
use crate::dataset::{DataError, Footage, Media};

/// Whether the clip can be read, as far as that is known without decoding.
///
/// # Errors
/// [`DataError::Video`] with the reason if it cannot.
pub fn probe<'a>(video: impl Into<VideoInput<'a>>, spec: &ClipSpec) -> Result<VideoInfo, DataError> {
    let VideoInput { footage, tables } = video.into();
    let video = || {
        let mut file = VideoFile::open(&footage.path, Deadline::after(spec.deadline_secs), Probing::Headers)?;
        let packets = match tables::kept(&file, spec.least_frames(), tables)? {
            Some(packets) => packets,
            None => tables::scan(&mut file, false, spec.least_frames(), tables)?,
        };
        let (width, height) = file.shown_size();
        let (frames, bytes, duration_secs) = (packets.frames(), file.bytes, file.duration_secs());
        Ok(VideoInfo { frames, width, height, bytes, duration_secs })
    };
    let info = match &footage.media {
        Media::Video => video(),
        Media::Picture => pictures::probe(std::slice::from_ref(&footage.path), 1),
        Media::Folder => {
            pictures::in_folder(&footage.path).and_then(|paths| pictures::probe(&paths, spec.least_frames()))
        }
        Media::Frames(paths) => pictures::probe(&footage.absolute(paths), spec.least_frames()),
    };
    info.map_err(video_error(&footage.path))
}

/// The frames of a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFrames {
    /// RGB bytes, T x height x width x 3.
    pub thwc: Vec<u8>,
    /// The largest `min_frames` with which the video can be used.
    pub usable_frames: usize,
}

/// The frames of a clip.
///
/// # Errors
/// [`DataError::Video`] with the reason: the file is no video, too short, or damaged.
pub fn read_clip<'a>(
    video: impl Into<VideoInput<'a>>,
    spec: &ClipSpec,
    draw: Option<u64>,
) -> Result<ReadFrames, DataError> {
    let video = video.into();
    let size = FrameSize::Exact { height: spec.height, width: spec.width };
    let mut buffer = ClipBuffer::reserve(video.footage, spec)?;
    let clip = decoded(video, spec, draw, &mut Converter::new(), &mut |converter, number, raw| {
        buffer.add(converter, number, &raw, size)
    })?;
    let starts = clip.slots.iter().map(|slot| clip.frames[*slot].1.value).collect();
    let usable_frames = usable_frames(video.footage, clip.choices);
    Ok(ReadFrames { thwc: buffer.clip(video.footage, starts)?, usable_frames })
}

/// A single picture needs no `min_frames`.
pub(super) fn usable_frames(footage: &Footage, choices: usize) -> usize {
    if footage.media == Media::Picture { usize::MAX } else { choices }
}

/// Passes the T frames of a clip to `take` in display order. A frame that was picked twice comes twice.
///
/// `draw` seeds a random choice of frames; without it, the choice is that of validation. A single picture is repeated T
/// times and needs no `min_frames`. All frames stay in memory until the last one is decoded without an error. Returns
/// the number of frames that were decoded in the final pass.
///
/// # Errors
/// [`DataError::Video`] with the reason.
pub fn read_frames<'a>(
    video: impl Into<VideoInput<'a>>,
    spec: &ClipSpec,
    draw: Option<u64>,
    size: FrameSize,
    take: &mut dyn FnMut(RgbImage),
) -> Result<usize, DataError> {
    let picture = &mut |converter: &mut Converter, _, raw| converter.picture(&raw, size);
    let clip = decoded(video.into(), spec, draw, &mut Converter::new(), picture)?;
    let times: Vec<_> = (0..clip.frames.len()).map(|frame| clip.times(frame)).collect();
    for ((_, made), times) in clip.frames.into_iter().zip(times).filter(|(_, times)| *times > 0) {
        for _ in 1..times {
            take(made.value.clone());
        }
        take(made.value);
    }
    Ok(clip.decoded)
}

/// What `make` makes of the frames of a clip.
pub(super) fn decoded<T>(
    VideoInput { footage, tables }: VideoInput,
    spec: &ClipSpec,
    draw: Option<u64>,
    converter: &mut Converter,
    make: &mut dyn FnMut(&mut Converter, usize, RawFrame) -> Result<T, String>,
) -> Result<DecodedClip<T>, DataError> {
    let mut making = Making { spec, converter, make };
    let mut pictures = |paths: &[_], min_frames| pictures::read(paths, min_frames, draw, &mut making);
    let (clip, min_frames) = match &footage.media {
        Media::Picture => (pictures(std::slice::from_ref(&footage.path), 1), 1),
        Media::Folder => {
            let paths = pictures::in_folder(&footage.path);
            (paths.and_then(|paths| pictures(&paths, spec.least_frames())), spec.min_frames)
        }
        Media::Frames(paths) => (pictures(&footage.absolute(paths), spec.least_frames()), spec.min_frames),
        Media::Video => (decode::read(&footage.path, draw, &mut making, tables), spec.min_frames),
    };
    clip.and_then(|clip| quality::filter(clip, spec, min_frames)).map_err(video_error(&footage.path))
}

/// The frames of a clip in the order in which they were decoded, usually that of the clip.
pub(super) struct ClipBuffer<'a> {
    spec: &'a ClipSpec,
    bytes: Vec<u8>,
    /// The position of each frame, by its number in the video.
    starts: BTreeMap<usize, usize>,
}

impl<'a> ClipBuffer<'a> {
    /// An empty buffer with capacity for a clip.
    pub(super) fn reserve(footage: &Footage, spec: &'a ClipSpec) -> Result<Self, DataError> {
        let mut bytes = Vec::new();
        let reserved = bytes.try_reserve_exact(spec.clip_bytes());
        // `with_capacity` would abort the process.
        reserved.map_err(|_| DataError::NoMemory { path: footage.path.clone(), bytes: spec.clip_bytes() })?;
        Ok(Self { spec, bytes, starts: BTreeMap::new() })
    }

    /// Adds the frame with this number in the video, and returns its position.
    pub(super) fn add(
        &mut self,
        converter: &mut Converter,
        number: usize,
        raw: &RawFrame,
        size: FrameSize,
    ) -> Result<usize, String> {
        if let Some(start) = self.starts.get(&number) {
            // A pass that was given up has decoded it before.
            let mut again = Vec::new();
            converter.append(raw, size, &mut again)?;
            self.bytes[*start..*start + again.len()].copy_from_slice(&again);
            return Ok(*start);
        }
        let start = self.bytes.len();
        converter.append(raw, size, &mut self.bytes)?;
        self.starts.insert(number, start);
        Ok(start)
    }

    /// The clip whose frames start at these positions. It is only copied if frames repeat, or came in another order.
    pub(super) fn clip(self, footage: &Footage, starts: Vec<usize>) -> Result<Vec<u8>, DataError> {
        let frame_bytes = self.spec.clip_bytes() / self.spec.frames;
        let in_order = starts.iter().enumerate().all(|(slot, start)| *start == slot * frame_bytes);
        if in_order && self.bytes.len() == self.spec.clip_bytes() {
            return Ok(self.bytes);
        }
        let mut clip = Self::reserve(footage, self.spec)?.bytes;
        starts.iter().for_each(|start| clip.extend_from_slice(&self.bytes[*start..*start + frame_bytes]));
        Ok(clip)
    }
}

pub(super) fn video_error(path: &Path) -> impl FnOnce(String) -> DataError {
    move |reason| DataError::Video { path: path.to_owned(), reason }
}

/// The frames of a clip, T x height x width x 3 bytes, as pictures.
#[must_use]
pub fn frames_of(thwc: &[u8], height: usize, width: usize) -> Vec<RgbImage> {
    let picture = |frame: &[u8]| RgbImage::from_raw(as_u32(width), as_u32(height), frame.to_vec());
    thwc.chunks_exact((height * width * 3).max(1)).filter_map(picture).collect()
}
