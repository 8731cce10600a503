//! Segments with one face from a folder of real videos: lists the videos, reads a bounded part of each, detects and
//! tracks the face, and crops a fixed square around it. Blends and writes nothing; that is `from_videos.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use ffmpeg_next::{format, media};
use image::RgbImage;
use image::imageops::{self, FilterType};

use super::error::{DemoError, io_error};
use crate::config::Sampling;
use crate::dataset::{DataError, Footage};
use crate::face::{Face, FaceDetector, largest_track};
use crate::video::Square;
use crate::video::{self, ClipSpec, FrameSize};

/// Side of a cropped frame in pixels.
pub(super) const SIDE: u32 = 256;
/// Fewest frames of a segment.
pub(super) const MIN_FRAMES: usize = 16;
/// Longest segment: training samples few frames, so longer ones add little.
const MAX_SECS: f64 = 2.0;

const EXTENSIONS: [&str; 10] = ["mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "flv"];
/// Larger videos are scaled to this longer side, in pixels.
const LONG_SIDE: usize = 640;
/// Most memory for the frames of one video.
const MAX_HELD_BYTES: usize = 256 << 20;
const MAX_HELD_FRAMES: usize = 600;
/// The detector runs on every n-th frame; the face is interpolated linearly between them.
const DETECT_EVERY: usize = 4;
/// Smallest face, in pixels of the frame as read: enlarging a smaller one would invent most of its pixels.
const MIN_FACE: f32 = 32.0;
/// Side of the crop, as a multiple of the longer side of the face's box.
const MARGIN: f64 = 1.6;
/// Landmarks are averaged over this many frames to either side, which removes the detector's jitter.
const SMOOTH: usize = 2;

/// Consecutive frames with one face, cropped and resized to [`SIDE`], and the face on each of them.
pub(super) struct Segment {
    pub first_frame: usize,
    pub fps: u32,
    pub frames: Vec<RgbImage>,
    pub faces: Vec<Face>,
}

/// The videos below a folder, at any depth, sorted; hidden ones are left out.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, DemoError> {
    fs::read_dir(folder).map_err(|error| DemoError::Footage {
        folder: folder.to_owned(),
        found: error.to_string(),
        hint: "name a folder with videos of faces as --from".into(),
    })?;
    let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let is_video = |path: &Path| {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
    };
    let entries = walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut videos = Vec::new();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            io_error(&path, error.into())
        })?;
        if entry.file_type().is_file() && is_video(entry.path()) {
            videos.push(entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_owned());
        }
    }
    videos.sort();
    Ok(videos)
}

/// Up to `wanted` segments of a video, evenly spread over the frames read. The inner error is the reason why there are
/// none; the outer error means that the detector failed.
pub(super) fn segments(
    path: &Path,
    wanted: usize,
    detector: &dyn FaceDetector,
) -> Result<Result<Vec<Segment>, String>, DemoError> {
    let (frames, fps) = match read(path) {
        Ok(read) => read,
        Err(reason) => return Ok(Err(reason)),
    };
    let count = (frames.len() / MIN_FRAMES).min(wanted).max(1);
    let length = (frames.len() / count).min((MAX_SECS * f64::from(fps)).round() as usize).max(MIN_FRAMES);
    let mut found = Vec::new();
    for number in 0..count {
        let first_frame = (2 * number + 1) * frames.len() / (2 * count) - length / 2;
        let part = &frames[first_frame..first_frame + length];
        if let Some((faces, square)) = track_face(part, detector)? {
            let (frames, faces) = crop(part, &faces, square);
            found.push(Segment { first_frame, fps, frames, faces });
        }
    }
    Ok(if found.is_empty() { Err(format!("no face of {MIN_FACE} pixels or more was found")) } else { Ok(found) })
}

/// The frames of a video, or as many from its middle as memory allows, and the frame rate.
fn read(path: &Path) -> Result<(Vec<RgbImage>, u32), String> {
    let reason = |error: DataError| match error {
        DataError::Video { reason, .. } => reason,
        other => other.to_string(),
    };
    let footage = Footage::video(path);
    let spec = ClipSpec { sampling: Sampling::Consecutive, ..ClipSpec::uniform(1, 0, 0, MIN_FRAMES) };
    let info = video::probe(&footage, &spec).map_err(reason)?;
    let shrink = (LONG_SIDE as f64 / f64::from(info.width.max(info.height))).min(1.0);
    let frame_bytes = (f64::from(info.width) * f64::from(info.height) * shrink * shrink * 3.0).max(1.0) as usize;
    let count = info.frames.min(MAX_HELD_FRAMES).min(MAX_HELD_BYTES / frame_bytes);
    let mut frames = Vec::with_capacity(count);
    let spec = ClipSpec { frames: count, ..spec };
    let mut keep = |frame| frames.push(frame);
    video::read_frames(&footage, &spec, None, FrameSize::LongSide(LONG_SIDE), &mut keep).map_err(reason)?;
    if frames.len() < MIN_FRAMES {
        return Err(format!("{} frames can be read where {MIN_FRAMES} are needed", frames.len()));
    }
    Ok((frames, fps(path)))
}

/// The frame rate in the file's metadata; 25 where it is missing.
fn fps(path: &Path) -> u32 {
    let rate = format::input(path).ok().and_then(|input| {
        let stream = input.streams().best(media::Type::Video)?;
        Some(f64::from(stream.avg_frame_rate()))
    });
    rate.filter(|rate| (1.0..=240.0).contains(rate)).map_or(25, |rate| rate.round() as u32)
}

/// The face on each frame and a square around it; `None` where it is detected on less than half of the frames examined.
fn track_face(frames: &[RgbImage], detector: &dyn FaceDetector) -> Result<Option<(Vec<Face>, Square)>, DemoError> {
    let last = frames.len() - 1;
    let detect_at: Vec<usize> = (0..last).step_by(DETECT_EVERY).chain([last]).collect();
    let examined: Vec<_> = detect_at.iter().map(|frame| frames[*frame].clone()).collect();
    let found = detector.detect(&examined).map_err(DemoError::Detector)?;
    if found.len() != examined.len() {
        return Err(DemoError::Detector(format!("{} frames in, {} out", examined.len(), found.len())));
    }
    let large_enough = |faces: Vec<Face>| faces.into_iter().filter(|face| face.side() >= MIN_FACE).collect();
    let found: Vec<_> = detect_at.iter().copied().zip(found.into_iter().map(large_enough)).collect();
    let Some(track) = largest_track(&found).filter(|track| 2 * track.faces.len() >= detect_at.len()) else {
        return Ok(None);
    };
    let faces: Vec<_> = (0..frames.len()).map(|frame| track.at(frame)).collect();
    let smooth = |frame: usize| {
        let reach = SMOOTH.min(frame).min(last - frame);
        let near = &faces[frame - reach..=frame + reach];
        Face::combined(&near.iter().map(|face| (*face, 1.0 / near.len() as f32)).collect::<Vec<_>>())
    };
    Ok(Some(((0..frames.len()).map(smooth).collect(), track.square(MARGIN, frames[0].dimensions().into()))))
}

/// Crops the same square from every frame, in whole pixels, and resizes it; returns the face in the new coordinates
/// too.
fn crop(frames: &[RgbImage], faces: &[Face], square: Square) -> (Vec<RgbImage>, Vec<Face>) {
    let (width, height) = frames[0].dimensions();
    let side = (square.side.round() as u32).clamp(1, width.min(height));
    let start = |start: f64, limit: u32| (start.round().max(0.0) as u32).min(limit - side);
    let (left, top) = (start(square.left, width), start(square.top, height));
    let resized = |frame: &RgbImage| {
        let view = imageops::crop_imm(frame, left, top, side, side).to_image();
        imageops::resize(&view, SIDE, SIDE, FilterType::CatmullRom)
    };
    let moved = |face: &Face| {
        let [x0, y0, x1, y1] = face.corners;
        let (left, top) = (left as f32, top as f32);
        let landmarks = face.landmarks.map(|[x, y]| [x - left, y - top]);
        let moved = Face { corners: [x0 - left, y0 - top, x1 - left, y1 - top], score: face.score, landmarks };
        moved.scaled([SIDE as f32 / side as f32; 2])
    };
    (frames.iter().map(resized).collect(), faces.iter().map(moved).collect())
}
