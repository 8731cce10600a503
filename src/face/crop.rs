//! Reading a clip cropped to its face, or with the landmarks of the face.
//!
//! The face is searched for in the frames of the clip itself (see docs/decisions/0012 and 0070), which are decoded
//! once. This file knows nothing of labels and stores nothing; the cache in `clip` stores its results.

use std::borrow::Cow;

use super::centerface::LONG_SIDE;
use super::course::{Course, Cut};
use super::detection::{FaceDetector, Landmarks};
use super::facts::FaceFacts;
use super::search::search;
use crate::config::{FaceConfig, FaceMode, OnMiss};
use crate::dataset::DataError;
use crate::video::{ClipSpec, CropResize, FrameSize, HeldClip, ReadFrames, Square, VideoInput};

/// The memory of a thread for finding faces, in addition to decoding: the activations of the network, and the frames
/// that are held meanwhile. A further thread took 78 MB with 32 frames of 720p, 136 MB of 1080p (99 MB of frames) and
/// 86 MB of 2160p (too large to be held), decoding included; up to 128 MiB of frames may be held.
const WORKER_BYTES: u64 = 128 << 20;

/// The memory of a thread for finding faces in clips of this number of frames. Of a clip that is too large to be held,
/// small pictures are.
#[must_use]
pub fn worker_bytes(frames: usize) -> u64 {
    WORKER_BYTES.max(3 * u64::from(LONG_SIDE).pow(2) * frames as u64)
}

/// The size of the pictures that are searched. In frames of the size of a clip, a face may be too small to be found.
const SMALL: FrameSize = FrameSize::LongSide(LONG_SIDE as usize);

/// A video of a set that is not cropped counts as a face crop where the face's side is this share of the frame's
/// shorter side, and the longer side is not more than so many shorter ones. A close-up in a wide frame is cut out like
/// any other.
const MIN_FILLED: f64 = 0.6;
const MAX_ASPECT: f64 = 1.3;

/// A clip with the crop of its face.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceClip {
    /// RGB bytes, T x height x width x 3.
    pub thwc: Vec<u8>,
    /// See [`ReadFrames::usable_frames`].
    pub usable_frames: usize,
    /// The result of the face search.
    pub facts: FaceFacts,
}

impl FaceClip {
    /// A clip in which no face was searched.
    #[must_use]
    pub fn whole_frames(read: ReadFrames) -> Self {
        Self { thwc: read.thwc, usable_frames: read.usable_frames, facts: FaceFacts::default() }
    }
}

/// The settings that decide the crop, apart from the [`ClipSpec`]. They are part of the key of a cached clip.
#[must_use]
pub fn crop_key(faces: &FaceConfig) -> String {
    let FaceConfig { mode, which, margin, track, align, detect_every, min_size, on_miss } = faces;
    let align = if *align { "aligned" } else { "upright" };
    format!(
        "centerface 1, {mode:?}, {which:?}, {track:?} 1, {align}, margin {margin}, every {detect_every}, least {min_size}, {on_miss:?}"
    )
}

/// Finds the faces in the frames of a clip as they are chosen without a draw.
pub(super) fn find_courses(
    video: VideoInput,
    spec: &ClipSpec,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<Vec<Course>, DataError> {
    let mut clip = HeldClip::read(video, spec, None, SMALL)?;
    searched(&mut clip, faces, detector)
}

fn searched(clip: &mut HeldClip, faces: &FaceConfig, detector: &dyn FaceDetector) -> Result<Vec<Course>, DataError> {
    let mut courses = search(clip, faces, detector)?;
    // The largest face decides for all. Whole frames are the same for each of them.
    if faces.mode == FaceMode::Auto && is_cropped(courses[0].face_side, clip.size()) {
        courses.truncate(1);
        courses[0].is_whole = true;
    }
    Ok(courses)
}

/// Reads a clip like [`video::read_clip`](crate::video::read_clip), with every frame cropped to a square around the
/// face. Without a course, the face is searched for in the frames of the clip.
///
/// # Errors
/// [`DataError::Video`] if the video cannot be read, [`DataError::NoFace`] if it has no face and such videos are
/// skipped.
pub fn read_face_clip<'a>(
    video: impl Into<VideoInput<'a>>,
    spec: &ClipSpec,
    draw: Option<u64>,
    course: Option<&Course>,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<FaceClip, DataError> {
    let video = video.into();
    let path = &video.footage().path;
    let no_face = |course: &Course| Err(DataError::NoFace { path: path.clone(), looked_at: course.searched });
    if let Some(course) = course.filter(|course| !course.shows_face() && faces.on_miss == OnMiss::Skip) {
        return no_face(course);
    }
    let (mut clip, course) = open(video, spec, draw, course, faces, detector)?;
    if !course.shows_face() {
        return match faces.on_miss {
            OnMiss::Skip => no_face(&course),
            OnMiss::WholeFrame => {
                let facts = FaceFacts { frame_size: clip.size(), missed: true, ..FaceFacts::default() };
                Ok(FaceClip { thwc: clip.clip(|_| whole(spec))?, usable_frames: clip.usable_frames(), facts })
            }
        };
    }
    if course.is_whole {
        return with_landmarks(clip, spec, &course);
    }
    if draw.is_some() && !shows_face(&clip, &course) {
        // The course was found in the frames that are chosen without a draw.
        clip = HeldClip::read(video, spec, None, SMALL)?;
    }
    if shows_face(&clip, &course) { cut_along(clip, spec, &course) } else { no_face(&course) }
}

/// The decoded clip, and the course of its face, which is searched for if it is not known.
fn open<'a>(
    video: VideoInput<'a>,
    spec: &'a ClipSpec,
    draw: Option<u64>,
    course: Option<&'a Course>,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<(HeldClip<'a>, Cow<'a, Course>), DataError> {
    let mut clip = HeldClip::read(video, spec, draw, SMALL)?;
    let course = match course {
        Some(course) => Cow::Borrowed(course),
        None => Cow::Owned(searched(&mut clip, faces, detector)?.swap_remove(0)),
    };
    Ok((clip, course))
}

/// The frames that show the face, each cut along its course.
fn cut_along(mut clip: HeldClip, spec: &ClipSpec, course: &Course) -> Result<FaceClip, DataError> {
    let (numbers, frame_size) = (clip.numbers(), clip.size());
    let cuts: Vec<_> = numbers.iter().map(|number| course.at(*number)).collect();
    let seen: Vec<_> = (0..cuts.len()).filter(|frame| cuts[*frame].is_some()).collect();
    clip.use_only(&seen);
    let crop = |cut: Cut| CropResize { square: cut.square, of: frame_size, height: spec.height, width: spec.width };
    let thwc = clip.clip(|frame| cuts[frame].map_or(whole(spec), |cut| FrameSize::Crop(crop(cut))))?;
    let shown = || clip.slots().iter().filter_map(|frame| cuts[*frame]);
    let facts = FaceFacts {
        squares: shown().map(|cut| cut.square).collect(),
        frame_numbers: clip.slots().iter().map(|frame| numbers[*frame]).collect(),
        frame_size,
        first: first_box(course, &numbers),
        landmarks: shown().map(|cut| Some(landmarks_on(cut.square, cut.face?.landmarks, spec))).collect(),
        frames_with_face: cuts.iter().flatten().filter(|cut| cut.face.is_some()).count(),
        left_out: cuts.len() - seen.len(),
        missed: false,
    };
    Ok(FaceClip { thwc, usable_frames: clip.usable_frames(), facts })
}

fn shows_face(clip: &HeldClip, course: &Course) -> bool {
    clip.numbers().into_iter().any(|number| course.at(number).is_some())
}

fn first_box(course: &Course, numbers: &[usize]) -> Option<(usize, [f32; 4])> {
    numbers.iter().find_map(|number| Some((*number, course.at(*number)?.face?.corners)))
}

/// Reads a clip of whole frames like [`video::read_clip`](crate::video::read_clip), and finds the largest face in it.
///
/// # Errors
/// [`DataError::Video`] if the video cannot be read.
pub(super) fn read_with_landmarks(
    video: VideoInput,
    spec: &ClipSpec,
    draw: Option<u64>,
    course: Option<&Course>,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<FaceClip, DataError> {
    let (clip, course) = open(video, spec, draw, course, faces, detector)?;
    with_landmarks(clip, spec, &course)
}

/// Whole frames.
fn with_landmarks(mut clip: HeldClip, spec: &ClipSpec, course: &Course) -> Result<FaceClip, DataError> {
    let [width, height] = clip.size().map(|side| side as f32);
    let scale = [spec.width as f32 / width, spec.height as f32 / height];
    let landmarks = |number: usize| Some(course.at(number)?.face?.scaled(scale).landmarks);
    let seen: Vec<_> = clip.numbers().into_iter().map(landmarks).collect();
    let facts = FaceFacts {
        frame_size: [spec.width as u32, spec.height as u32],
        first: first_box(course, &clip.numbers()),
        landmarks: clip.slots().iter().map(|frame| seen[*frame]).collect(),
        frames_with_face: seen.iter().flatten().count(),
        ..FaceFacts::default()
    };
    Ok(FaceClip { thwc: clip.clip(|_| whole(spec))?, usable_frames: clip.usable_frames(), facts })
}

fn is_cropped(face_side: f64, size: [u32; 2]) -> bool {
    let (shorter, longer) = (f64::from(size[0].min(size[1])), f64::from(size[0].max(size[1])));
    face_side >= MIN_FILLED * shorter && longer <= MAX_ASPECT * shorter
}

fn whole(spec: &ClipSpec) -> FrameSize {
    FrameSize::Exact { height: spec.height, width: spec.width }
}

/// Landmarks in pixels of the crop.
fn landmarks_on(square: Square, landmarks: Landmarks, spec: &ClipSpec) -> Landmarks {
    landmarks.map(|point| {
        let [x, y] = square.in_square(point.map(f64::from));
        [(x * spec.width as f64) as f32, (y * spec.height as f64) as f32]
    })
}

#[cfg(test)]
mod tests;
