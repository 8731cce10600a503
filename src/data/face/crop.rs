//! The clip of a video with its face cut out.
//!
//! Looks for the face in the clip's own frames (see docs/decisions/0012) and keeps memory flat for large videos.

use std::borrow::Cow;
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::centerface::LONG_SIDE;
use super::track::{Square, Track, longest_track};
use super::{Face, FaceDetector, Landmarks};
use crate::config::{FaceConfig, OnMiss};
use crate::data::DataError;
use crate::data::decode::{self, ClipSpec, FrameSize};
use crate::data::manifest::Footage;

/// Clips whose whole frames take more are read twice: small to find the face, then large to cut it out.
const MAX_KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// A clip with its face cut out.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceClip {
    /// RGB bytes, T x height x width x 3.
    pub thwc: Vec<u8>,
    /// What was cut out of each frame; none where whole frames are used.
    pub square: Option<Square>,
    /// The face's landmarks on each of the T frames, in pixels of the cut; none where it was not looked for or seen.
    pub landmarks: Vec<Option<Landmarks>>,
    /// Whether no face was found, and whole frames are used.
    pub missed: bool,
}

/// Reads a clip as [`decode::read_clip`] does, with the face cut out of every frame by one square.
///
/// # Errors
/// [`DataError::Video`] where the video cannot be read, or has no face and such videos are to be skipped.
pub fn read_face_clip(
    footage: &Footage,
    spec: &ClipSpec,
    draw: Option<u64>,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<FaceClip, DataError> {
    read_bounded(footage, spec, draw, faces, detector, MAX_KEPT_BYTES)
}

fn read_bounded(
    footage: &Footage,
    spec: &ClipSpec,
    draw: Option<u64>,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
    max_kept_bytes: u64,
) -> Result<FaceClip, DataError> {
    let info = decode::probe(footage, spec)?;
    let [width, height] = [info.width, info.height];
    let full_bytes = u64::from(width) * u64::from(height) * 3 * spec.frames as u64;
    let size = if full_bytes <= max_kept_bytes { FrameSize::Full } else { FrameSize::LongSide(LONG_SIDE as usize) };
    let mut frames = Vec::with_capacity(spec.frames);
    decode::read_frames(footage, spec, draw, size, &mut |frame| frames.push(frame))?;
    let about = |reason| DataError::Video { path: footage.path.clone(), reason };

    let (found, looked_at) = look(&frames, [width, height], faces, detector).map_err(about)?;
    let Some(track) = longest_track(&found) else {
        return match faces.on_miss {
            OnMiss::Skip => Err(about(format!("no face was found in {looked_at} frames"))),
            OnMiss::WholeFrame => Ok(FaceClip {
                thwc: decode::read_clip(footage, spec, draw)?,
                square: None,
                landmarks: vec![None; spec.frames],
                missed: true,
            }),
        };
    };
    let square = track.square(faces.margin, width, height);
    let thwc = match size {
        FrameSize::Full => cut_all(&footage.path, spec, square, [width, height], |cut| frames.iter().try_for_each(cut)),
        _ => {
            drop(frames);
            cut_again(footage, spec, draw, square, [width, height])
        }
    }?;
    let landmarks = landmarks_on_cuts(&track, square, spec);
    Ok(FaceClip { thwc, square: Some(square), landmarks, missed: false })
}

/// The faces on every n-th frame, in pixels of the whole frame, and how many frames that are.
fn look(
    frames: &[RgbImage],
    [width, height]: [u32; 2],
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<(Vec<(usize, Vec<Face>)>, usize), String> {
    let every = faces.detect_every.max(1);
    let sample: Cow<[RgbImage]> =
        if every == 1 { frames.into() } else { frames.iter().step_by(every).cloned().collect() };
    let found = detector.detect(&sample)?;
    let large_enough = |face: &Face| f64::from(face.side()) >= faces.min_size as f64;
    let on_frame = |(i, (frame, found)): (usize, (&RgbImage, Vec<Face>))| {
        let scale = [width as f32 / frame.width().max(1) as f32, height as f32 / frame.height().max(1) as f32];
        (i * every, found.iter().map(|face| face.scaled(scale)).filter(large_enough).collect())
    };
    let looked_at = sample.len();
    Ok((sample.iter().zip(found).enumerate().map(on_frame).collect(), looked_at))
}

/// The second reading of a large video.
fn cut_again(
    footage: &Footage,
    spec: &ClipSpec,
    draw: Option<u64>,
    square: Square,
    size: [u32; 2],
) -> Result<Vec<u8>, DataError> {
    let mut read = Ok(());
    let thwc = cut_all(&footage.path, spec, square, size, |cut| {
        let mut failed = Ok(());
        read = decode::read_frames(footage, spec, draw, FrameSize::Full, &mut |frame| {
            if failed.is_ok() {
                failed = cut(&frame);
            }
        });
        failed
    });
    read.and(thwc)
}

/// Cuts the square out of all frames that `each` hands over.
fn cut_all(
    path: &Path,
    spec: &ClipSpec,
    square: Square,
    size: [u32; 2],
    each: impl FnOnce(&mut dyn FnMut(&RgbImage) -> Result<(), String>) -> Result<(), String>,
) -> Result<Vec<u8>, DataError> {
    let about = |reason| DataError::Video { path: path.to_owned(), reason };
    let mut thwc = Vec::new();
    let reserved = thwc.try_reserve_exact(spec.clip_bytes());
    reserved.map_err(|_| about(format!("no memory for its {} bytes", spec.clip_bytes())))?;
    let mut resizer = Resizer::new();
    each(&mut |frame| {
        thwc.extend_from_slice(&cut(&mut resizer, frame, square, size, spec)?);
        Ok(())
    })
    .map_err(about)?;
    Ok(thwc)
}

/// The square of one frame, resized. A frame of another size than the video's has the square at the same place of it.
fn cut(
    resizer: &mut Resizer,
    frame: &RgbImage,
    square: Square,
    [width, height]: [u32; 2],
    spec: &ClipSpec,
) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("its face cannot be cut out: {error}");
    let [x, y] = [f64::from(frame.width()) / f64::from(width), f64::from(frame.height()) / f64::from(height)];
    let from = ImageRef::new(frame.width(), frame.height(), frame.as_raw(), PixelType::U8x3);
    let from = from.map_err(|error| failed(&error))?;
    let side = |pixels: usize| u32::try_from(pixels).expect("the configuration bounds the size of frames");
    let mut to = Image::new(side(spec.width), side(spec.height), PixelType::U8x3);
    let (left, top) = (square.left * x, square.top * y);
    // Rounding must not lead out of the frame.
    let (right, bottom) = (f64::from(frame.width()) - left, f64::from(frame.height()) - top);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        left,
        top,
        (square.side * x).min(right),
        (square.side * y).min(bottom),
    );
    resizer.resize(&from, &mut to, &options).map_err(|error| failed(&error))?;
    Ok(to.into_vec())
}

fn landmarks_on_cuts(track: &Track, square: Square, spec: &ClipSpec) -> Vec<Option<Landmarks>> {
    let mut landmarks = vec![None; spec.frames];
    for (frame, face) in &track.faces {
        let point = |[x, y]: [f32; 2]| {
            let on_cut =
                |at: f32, start: f64, pixels: usize| ((f64::from(at) - start) / square.side * pixels as f64) as f32;
            [on_cut(x, square.left, spec.width), on_cut(y, square.top, spec.height)]
        };
        if let Some(landmarks) = landmarks.get_mut(*frame) {
            *landmarks = Some(face.landmarks.map(point));
        }
    }
    landmarks
}
