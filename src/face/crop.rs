//! Reading a clip cropped to its face.
//!
//! The face is searched for in the frames of the clip itself (see docs/decisions/0012). Large videos do not take more
//! memory. This file knows nothing of labels and stores nothing; the cache in `clip` stores its results.

use std::borrow::Cow;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::centerface::LONG_SIDE;
use super::detection::{Face, FaceDetector, Landmarks};
use super::track::{Track, largest_track};
use crate::config::{FaceConfig, OnMiss};
use crate::dataset::{DataError, Footage};
use crate::video::{self, ClipSpec, CropResize, FrameSize, Square};

/// The size of a clip's whole frames above which the video is read twice: with small frames to find the face, then with
/// large ones to crop it.
const MAX_KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// The memory of a thread for finding faces, in addition to decoding: the activations of the network, and whole frames.
/// Measured with 16 and 32 frames of 720p and 1080p: 88 to 236 MiB more than without faces, mostly for the frames.
pub const WORKER_BYTES: u64 = 240 << 20;

/// A clip with the crop of its face.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceClip {
    /// RGB bytes, T x height x width x 3.
    pub thwc: Vec<u8>,
    /// The result of the face search.
    pub facts: FaceFacts,
}

impl FaceClip {
    /// A clip in which no face was searched.
    #[must_use]
    pub fn whole_frames(thwc: Vec<u8>) -> Self {
        Self { thwc, facts: FaceFacts { square: None, frame_size: [0; 2], landmarks: Vec::new(), missed: false } }
    }
}

/// The result of the face search in a clip. It is cached with the clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceFacts {
    /// The square that was cropped from each frame; `None` if whole frames are used.
    pub square: Option<Square>,
    /// The width and height of the frames to which the square belongs.
    pub frame_size: [u32; 2],
    /// The landmarks of the face on each of the T frames, in pixels of the crop; `None` where the face was not searched
    /// or found.
    pub landmarks: Vec<Option<Landmarks>>,
    /// Whether no face was found, and therefore whole frames are used.
    pub missed: bool,
}

impl FaceFacts {
    /// The number of frames on which the face was found.
    #[must_use]
    pub fn frames_with_face(&self) -> usize {
        self.landmarks.iter().flatten().count()
    }

    /// The bytes for the cache.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and lists can always be written")
    }

    /// The value of bytes from [`to_bytes`](Self::to_bytes); `None` for others, such as those of a clip of whole
    /// frames.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The settings that decide the crop, apart from the [`ClipSpec`]. They are part of the key of a cached clip.
#[must_use]
pub fn crop_key(faces: &FaceConfig) -> String {
    let FaceConfig { mode: _, margin, detect_every, min_size, on_miss } = faces;
    format!("centerface 1, margin {margin}, every {detect_every}, least {min_size}, {on_miss:?}")
}

/// Reads a clip like [`video::read_clip`], with every frame cropped to the same square around the face.
///
/// # Errors
/// [`DataError::Video`] if the video cannot be read, [`DataError::NoFace`] if it has no face and such videos are
/// skipped.
pub fn read_face_clip(
    footage: &Footage,
    spec: &ClipSpec,
    draw: Option<u64>,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<FaceClip, DataError> {
    read_bounded(footage, spec, draw, faces, detector, MAX_KEPT_BYTES)
}

/// Reads a clip of whole frames like [`video::read_clip`], and finds the largest face in it.
///
/// # Errors
/// [`DataError::Video`] if the video cannot be read.
pub(super) fn read_with_landmarks(
    footage: &Footage,
    spec: &ClipSpec,
    draw: Option<u64>,
    detector: &dyn FaceDetector,
) -> Result<FaceClip, DataError> {
    let thwc = video::read_clip(footage, spec, draw)?;
    // In frames of the size of the clip, the face may be too small to be found.
    let mut frames = Vec::with_capacity(spec.frames);
    let size = FrameSize::LongSide(LONG_SIDE as usize);
    video::read_frames(footage, spec, draw, size, &mut |frame| frames.push(frame))?;
    let about = |reason| DataError::Video { path: footage.path.clone(), reason };
    let found: Vec<_> = detector.detect(&frames).map_err(about)?.into_iter().enumerate().collect();
    let mut landmarks = vec![None; spec.frames];
    for (at, face) in largest_track(&found).into_iter().flat_map(|track| track.faces) {
        let scale = [spec.width as f32 / frames[at].width() as f32, spec.height as f32 / frames[at].height() as f32];
        landmarks[at] = Some(face.scaled(scale).landmarks);
    }
    let facts =
        FaceFacts { square: None, frame_size: [spec.width as u32, spec.height as u32], landmarks, missed: false };
    Ok(FaceClip { thwc, facts })
}

fn read_bounded(
    footage: &Footage,
    spec: &ClipSpec,
    draw: Option<u64>,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
    max_kept_bytes: u64,
) -> Result<FaceClip, DataError> {
    let info = video::probe(footage, spec)?;
    let [width, height] = [info.width, info.height];
    let full_bytes = u64::from(width) * u64::from(height) * 3 * spec.frames as u64;
    let size = if full_bytes <= max_kept_bytes { FrameSize::Full } else { FrameSize::LongSide(LONG_SIDE as usize) };
    let mut frames = Vec::with_capacity(spec.frames);
    video::read_frames(footage, spec, draw, size, &mut |frame| frames.push(frame))?;
    let about = |reason| DataError::Video { path: footage.path.clone(), reason };

    let (found, looked_at) = look(&frames, [width, height], faces, detector).map_err(about)?;
    let Some(track) = largest_track(&found) else {
        return match faces.on_miss {
            OnMiss::Skip => Err(DataError::NoFace { path: footage.path.clone(), looked_at }),
            OnMiss::WholeFrame => Ok(FaceClip {
                thwc: video::read_clip(footage, spec, draw)?,
                facts: FaceFacts {
                    frame_size: [width, height],
                    square: None,
                    landmarks: vec![None; spec.frames],
                    missed: true,
                },
            }),
        };
    };
    let square = track.square(faces.margin, width, height);
    let crop = CropResize { square, of: [width, height], height: spec.height, width: spec.width };
    let mut thwc = video::reserve_clip(footage, spec)?;
    if size == FrameSize::Full {
        for frame in &frames {
            thwc.extend_from_slice(&video::crop_resize(&crop, frame).map_err(about)?);
        }
    } else {
        drop(frames);
        video::read_frames(footage, spec, draw, FrameSize::Crop(crop), &mut |frame| thwc.extend_from_slice(&frame))?;
    }
    let landmarks = landmarks_on_cuts(&track, square, spec);
    Ok(FaceClip {
        thwc,
        facts: FaceFacts { frame_size: [width, height], square: Some(square), landmarks, missed: false },
    })
}

/// The number of a frame in the clip, with its faces.
type FrameFaces = (usize, Vec<Face>);

/// The faces on every n-th frame, in pixels of the whole frame, and the number of searched frames.
fn look(
    frames: &[RgbImage],
    [width, height]: [u32; 2],
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<(Vec<FrameFaces>, usize), String> {
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use image::imageops;

    use super::*;
    use crate::demo::{VideoSettings, VideoWriter};
    use crate::face::CenterFace;

    const WIDTH: u32 = 640;
    const HEIGHT: u32 = 360;
    const FRAMES: u32 = 12;

    /// A detector that finds the same face on every frame, in fractions of the frame's width, and counts the frames.
    struct Fixed {
        corners: Option<[f32; 4]>,
        sizes: Mutex<Vec<(u32, u32)>>,
    }

    impl Fixed {
        fn new(corners: Option<[f32; 4]>) -> Self {
            Self { corners, sizes: Mutex::default() }
        }
    }

    impl FaceDetector for Fixed {
        fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String> {
            self.sizes.lock().unwrap().extend(frames.iter().map(RgbImage::dimensions));
            let face = |frame: &RgbImage, corners: [f32; 4]| {
                let [left, top, ..] = corners;
                Face { corners, score: 0.9, landmarks: [[left, top]; 5] }.scaled([frame.width() as f32; 2])
            };
            Ok(frames
                .iter()
                .map(|frame| self.corners.map(|corners| face(frame, corners)).into_iter().collect())
                .collect())
        }
    }

    /// The astronaut before a grey wall, moved by this number of pixels a frame: a real H.264 file.
    fn talking_head(folder: &Path, start: [i64; 2], step: [i64; 2]) -> PathBuf {
        let photograph = image::load_from_memory(include_bytes!("../../tests/fixtures/astronaut.png")).unwrap();
        let path = folder.join("head.mp4");
        let settings = VideoSettings { width: WIDTH, height: HEIGHT, ..VideoSettings::default() };
        let mut writer = VideoWriter::create(&path, &settings).unwrap();
        for i in 0..i64::from(FRAMES) {
            let mut frame = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| image::Rgb([(x / 4) as u8, 110, (y / 3) as u8]));
            imageops::replace(&mut frame, &photograph.to_rgb8(), start[0] + i * step[0], start[1] + i * step[1]);
            writer.write(&frame).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    fn spec() -> ClipSpec {
        ClipSpec::uniform(6, 96, 96, 1)
    }

    #[test]
    fn a_face_that_moves_is_cut_out_by_one_square_in_the_middle_of_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let video = Footage::video(talking_head(folder.path(), [100, 60], [6, 2]));
        let clip = read_face_clip(&video, &spec(), None, &FaceConfig::default(), &CenterFace::load().unwrap()).unwrap();
        assert_eq!(clip.thwc.len(), spec().clip_bytes());
        assert!(!clip.facts.missed);
        // The face is at (87, 77) of the photograph and about 60 pixels high; frames 1, 3, .. 11 are searched.
        let square = clip.facts.square.unwrap();
        let centre = [square.left, square.top].map(|start| start + square.side / 2.0);
        assert!((centre[0] - (187.0 + 6.0 * 6.0)).abs() < 10.0 && (centre[1] - (137.0 + 2.0 * 6.0)).abs() < 10.0);
        assert!((1.3 * 45.0..1.3 * 85.0).contains(&square.side), "{square:?}");
        // The eyes move to the right in the crop, as the face does in the frame.
        let eyes: Vec<f32> = clip.facts.landmarks.iter().map(|landmarks| landmarks.unwrap()[0][0]).collect();
        assert!(eyes.is_sorted() && eyes[5] - eyes[0] > 0.8 * 60.0 * 96.0 / square.side as f32, "{eyes:?}");
        // The crop shows that place of the whole frame: the left eye is darker than the cheek below it.
        let frame = RgbImage::from_raw(96, 96, clip.thwc[2 * 96 * 96 * 3..3 * 96 * 96 * 3].to_vec()).unwrap();
        let [x, y] = clip.facts.landmarks[2].unwrap()[0].map(|at| at.round() as u32);
        assert!(i32::from(frame[(x, y)].0[0]) + 30 < i32::from(frame[(x, y + 16)].0[0]));
    }

    #[test]
    fn every_nth_frame_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let video = Footage::video(talking_head(folder.path(), [0, 0], [0, 0]));
        let detector = Fixed::new(Some([0.2, 0.1, 0.4, 0.3]));
        let faces = FaceConfig { detect_every: 4, ..FaceConfig::default() };
        let clip = read_face_clip(&video, &spec(), None, &faces, &detector).unwrap();
        assert_eq!(detector.sizes.lock().unwrap().len(), 2);
        let seen: Vec<_> = clip.facts.landmarks.iter().map(Option::is_some).collect();
        assert_eq!(seen, [true, false, false, false, true, false]);
        let expected =
            ((0.2 * 640.0 - clip.facts.square.unwrap().left) / clip.facts.square.unwrap().side * 96.0) as f32;
        assert!((clip.facts.landmarks[0].unwrap()[0][0] - expected).abs() < 0.01);
    }

    #[test]
    fn a_large_video_is_read_twice_and_cut_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let video = Footage::video(talking_head(folder.path(), [200, 80], [1, 1]));
        let detector = Fixed::new(Some([0.5, 0.25, 0.75, 0.5]));
        let read = |max| read_bounded(&video, &spec(), None, &FaceConfig::default(), &detector, max).unwrap();
        let once = read(MAX_KEPT_BYTES);
        assert!(detector.sizes.lock().unwrap().iter().all(|size| *size == (640, 360)));
        detector.sizes.lock().unwrap().clear();
        let twice = read(1_000_000);
        assert!(detector.sizes.lock().unwrap().iter().all(|size| *size == (480, 270)));
        assert!(once == twice);
        assert_eq!(once.facts.square, Some(Square { left: 296.0, top: 136.0, side: 208.0 }));
    }

    #[test]
    fn a_video_without_a_face_is_skipped_with_a_reason_or_used_whole() {
        let folder = tempfile::tempdir().unwrap();
        let video = Footage::video(talking_head(folder.path(), [0, 0], [0, 0]));
        let none = Fixed::new(None);
        let error = read_face_clip(&video, &spec(), None, &FaceConfig::default(), &none).unwrap_err();
        assert!(error.to_string().ends_with("no face was found in 6 frames"), "{error}");
        // 0.06 of 640 pixels is smaller than the limit of 40.
        let tiny = Fixed::new(Some([0.2, 0.2, 0.26, 0.26]));
        assert!(read_face_clip(&video, &spec(), None, &FaceConfig::default(), &tiny).is_err());
        let faces = FaceConfig { on_miss: OnMiss::WholeFrame, ..FaceConfig::default() };
        let clip = read_face_clip(&video, &spec(), None, &faces, &none).unwrap();
        assert!(clip.facts.missed && clip.facts.square.is_none());
        assert!(clip.thwc == video::read_clip(&video, &spec(), None).unwrap());
    }
}
