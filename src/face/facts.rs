//! The result of the face search in a clip, which is cached with it. Only data.

use serde::{Deserialize, Serialize};

use super::detection::Landmarks;
use crate::video::Square;

/// The result of the face search in a clip. It is cached with the clip.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FaceFacts {
    /// The square that was cropped from each of the T frames; empty if whole frames are used.
    pub squares: Vec<Square>,
    /// The number in the video of each of the T frames; empty if whole frames are used.
    pub frame_numbers: Vec<usize>,
    /// The width and height of the frames to which the squares belong.
    pub frame_size: [u32; 2],
    /// The landmarks of the face on each of the T frames, in pixels of the crop; `None` where the face was not searched
    /// or found. Empty if no face was found.
    pub landmarks: Vec<Option<Landmarks>>,
    /// The number in the video of the first frame with the face, and its box there: left, top, right, bottom, in pixels
    /// of the video.
    #[serde(default)]
    pub first: Option<(usize, [f32; 4])>,
    /// The number of different frames on which the face was found.
    pub frames_with_face: usize,
    /// The number of different frames that are not in the clip, because they do not show the face.
    pub left_out: usize,
    /// Whether no face was found, and therefore whole frames are used.
    pub missed: bool,
}

impl FaceFacts {
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
