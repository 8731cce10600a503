//! The kind of clip that is read from the videos of a data set: whole frames, whole frames with landmarks, or face
//! crops. Stores no clips. Whether faces are cropped is decided in `clip/crop_decision.rs`.

use super::course::Course;
use super::crop::{FaceClip, crop_key, find_courses, read_face_clip, read_with_landmarks};
use super::detection::FaceDetector;
use crate::config::{FaceConfig, FaceTrack, WhichFaces};
use crate::dataset::{DataError, Manifest};
use crate::video::{self, ClipSpec, VideoInput};

/// The kind of clip that is read from a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Whole frames.
    WholeFrames,
    /// Whole frames with the landmarks of the face, for self-blended fakes.
    Landmarks,
    /// Frames cropped to the face.
    Faces,
}

impl Take {
    /// The kind that was decided for a data set of `manifest`.
    #[must_use]
    pub fn of(manifest: &Manifest, set: usize) -> Self {
        if manifest.sets[set].crop_faces {
            Self::Faces
        } else if manifest.videos.iter().any(|video| video.set == set && video.is_self_blend()) {
            Self::Landmarks
        } else {
            Self::WholeFrames
        }
    }

    /// The settings that decide the clip, apart from the [`ClipSpec`]. They are part of the key of a cached clip.
    #[must_use]
    pub fn key(self, faces: &FaceConfig) -> String {
        match self {
            Self::WholeFrames => String::new(),
            Self::Landmarks => format!("whole frames, landmarks of centerface 1, every {}", faces.detect_every),
            Self::Faces => crop_key(faces),
        }
    }

    /// The courses of the faces that are used through a video, the largest first; `None` for whole frames. There is
    /// always one, which may show no face.
    ///
    /// # Errors
    /// [`DataError::Video`] if the video cannot be read.
    pub fn courses(
        self,
        video: VideoInput,
        spec: &ClipSpec,
        faces: &FaceConfig,
        detector: &dyn FaceDetector,
    ) -> Result<Option<Vec<Course>>, DataError> {
        match self {
            Self::WholeFrames => Ok(None),
            Self::Landmarks => find_courses(video, spec, &for_landmarks(faces), detector).map(Some),
            Self::Faces => find_courses(video, spec, faces, detector).map(Some),
        }
    }

    /// Reads a clip; `draw` is the same as in [`video::read_clip`]. With a course, faces are not searched for.
    ///
    /// # Errors
    /// [`DataError::Video`] if the video cannot be read, [`DataError::NoFace`] if it has no face to crop and such
    /// videos are skipped.
    pub fn read(
        self,
        video: VideoInput,
        spec: &ClipSpec,
        draw: Option<u64>,
        course: Option<&Course>,
        faces: &FaceConfig,
        detector: &dyn FaceDetector,
    ) -> Result<FaceClip, DataError> {
        match self {
            Self::WholeFrames => video::read_clip(video, spec, draw).map(FaceClip::whole_frames),
            Self::Landmarks => read_with_landmarks(video, spec, draw, course, &for_landmarks(faces), detector),
            Self::Faces => read_face_clip(video, spec, draw, course, faces, detector),
        }
    }
}

/// Landmarks are those of the largest face, followed and of any size.
fn for_landmarks(faces: &FaceConfig) -> FaceConfig {
    FaceConfig { which: WhichFaces::Largest, track: FaceTrack::Follow, align: false, min_size: 0, ..faces.clone() }
}
