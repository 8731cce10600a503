//! Reading a clip from a video file, or from pictures in its place. Knows nothing of faces, caches and labels. Decoding
//! is in `decode.rs` and `pictures.rs`.

use std::path::Path;

use image::RgbImage;

use super::container::{Probing, VideoFile};
use super::info::VideoInfo;
use super::limits::Deadline;
use super::spec::{ClipSpec, FrameSize, as_u32};
use super::{decode, pictures, quality};
use crate::dataset::{DataError, Footage, Media};

/// Whether the clip can be read, as far as that is known without decoding.
///
/// # Errors
/// [`DataError::Video`] with the reason if it cannot.
pub fn probe(footage: &Footage, spec: &ClipSpec) -> Result<VideoInfo, DataError> {
    let video = || {
        let mut file = VideoFile::open(&footage.path, Deadline::after(spec.deadline_secs), Probing::Headers)?;
        let frames = file.packets(false, spec.least_frames())?.frames();
        let bytes = std::fs::metadata(&footage.path).map_or(0, |metadata| metadata.len());
        let (width, height) = file.shown_size();
        Ok(VideoInfo { frames, width, height, bytes, duration_secs: file.duration_secs() })
    };
    let info = match &footage.media {
        Media::Video => video(),
        Media::Picture => pictures::probe(std::slice::from_ref(&footage.path), 1),
        Media::Folder => {
            pictures::in_folder(&footage.path).and_then(|paths| pictures::probe(&paths, spec.least_frames()))
        }
        Media::Frames(paths) => pictures::probe(paths, spec.least_frames()),
    };
    info.map_err(video_error(&footage.path))
}

/// The frames of a clip as RGB bytes, T x height x width x 3.
///
/// # Errors
/// [`DataError::Video`] with the reason: the file is no video, too short, or damaged.
pub fn read_clip(footage: &Footage, spec: &ClipSpec, draw: Option<u64>) -> Result<Vec<u8>, DataError> {
    let mut thwc = reserve_clip(footage, spec)?;
    let size = FrameSize::Exact { height: spec.height, width: spec.width };
    read_frames(footage, spec, draw, size, &mut |frame| thwc.extend_from_slice(&frame))?;
    Ok(thwc)
}

/// An empty vector with capacity for the bytes of a clip.
///
/// # Errors
/// [`DataError::Video`] if there is no memory; `with_capacity` would abort the process.
pub fn reserve_clip(footage: &Footage, spec: &ClipSpec) -> Result<Vec<u8>, DataError> {
    let mut thwc = Vec::new();
    let reserved = thwc.try_reserve_exact(spec.clip_bytes());
    reserved.map_err(|_| video_error(&footage.path)(format!("no memory for its {} bytes", spec.clip_bytes())))?;
    Ok(thwc)
}

/// Passes the T frames of a clip to `take` in display order. A frame that was picked twice comes twice.
///
/// `draw` seeds a random choice of frames; without it, the choice is that of validation. A single picture is repeated T
/// times and needs no `min_frames`. All frames stay in memory until the last one is decoded without an error. Returns
/// the number of frames that were decoded in the final pass.
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
        Media::Video => (decode::read(&footage.path, spec, draw, size), spec.min_frames),
        Media::Picture => (pictures(std::slice::from_ref(&footage.path), 1), 1),
        Media::Folder => {
            let paths = pictures::in_folder(&footage.path);
            (paths.and_then(|paths| pictures(&paths, spec.least_frames())), spec.min_frames)
        }
        Media::Frames(paths) => (pictures(paths, spec.least_frames()), spec.min_frames),
    };
    let clip = clip.and_then(|clip| quality::filter(clip, spec, min_frames)).map_err(video_error(&footage.path))?;
    Ok(clip.hand_over(take))
}

fn video_error(path: &Path) -> impl FnOnce(String) -> DataError {
    move |reason| DataError::Video { path: path.to_owned(), reason }
}

/// The frames of a clip, T x height x width x 3 bytes, as pictures.
#[must_use]
pub fn frames_of(thwc: &[u8], height: usize, width: usize) -> Vec<RgbImage> {
    let picture = |frame: &[u8]| RgbImage::from_raw(as_u32(width), as_u32(height), frame.to_vec());
    thwc.chunks_exact((height * width * 3).max(1)).filter_map(picture).collect()
}
