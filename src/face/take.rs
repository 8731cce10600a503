//! What is taken from the videos of a data set: whole frames, these with landmarks, or faces.

use super::crop::{FaceClip, crop_key, read_face_clip, read_with_landmarks};
use super::detection::FaceDetector;
use crate::config::FaceConfig;
use crate::dataset::{DataError, Footage, Manifest};
use crate::video::{self, ClipSpec};

/// What is taken from a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Its frames as they are.
    WholeFrames,
    /// Its frames as they are, and where the face is, for forgeries made while training.
    Landmarks,
    /// The face, cut out of its frames.
    Faces,
}

impl Take {
    /// As it was decided for a data set of `manifest`.
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

    /// All that decides about a clip beyond the [`ClipSpec`]: part of a cached clip's key.
    #[must_use]
    pub fn key(self, faces: &FaceConfig) -> String {
        match self {
            Self::WholeFrames => String::new(),
            Self::Landmarks => "whole frames, landmarks of centerface 1".into(),
            Self::Faces => crop_key(faces),
        }
    }

    /// Reads a clip; `draw` as in [`video::read_clip`].
    ///
    /// # Errors
    /// [`DataError::Video`] where the video cannot be read, [`DataError::NoFace`] where it has no face to cut out and such
    /// videos are to be skipped.
    pub fn read(
        self,
        footage: &Footage,
        spec: &ClipSpec,
        draw: Option<u64>,
        faces: &FaceConfig,
        detector: &dyn FaceDetector,
    ) -> Result<FaceClip, DataError> {
        match self {
            Self::WholeFrames => video::read_clip(footage, spec, draw).map(FaceClip::whole_frames),
            Self::Landmarks => read_with_landmarks(footage, spec, draw, detector),
            Self::Faces => read_face_clip(footage, spec, draw, faces, detector),
        }
    }
}
