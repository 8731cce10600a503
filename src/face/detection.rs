//! A detected face, and the interface of a detector. Knows nothing of videos.

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Landmarks: x and y of eyes, nose and corners of the mouth. Those on the left of the picture come first.
pub type Landmarks = [[f32; 2]; 5];

/// A face on a frame, in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// The box: left, top, right, bottom.
    pub corners: [f32; 4],
    /// The confidence of the detector, 0 to 1.
    pub score: f32,
    /// The landmarks.
    pub landmarks: Landmarks,
}

impl Face {
    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> f32 {
        self.corners[2] - self.corners[0]
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> f32 {
        self.corners[3] - self.corners[1]
    }

    /// The longer side in pixels.
    #[must_use]
    pub fn side(&self) -> f32 {
        self.width().max(self.height())
    }

    /// A face at these landmarks. Its height is about 2.5 times, and its width 2 times, the distance from the eyes to
    /// the mouth.
    #[must_use]
    pub fn around(landmarks: Landmarks) -> Self {
        let [left_eye, right_eye, _, mouth_left, mouth_right] = landmarks;
        let middle = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let (eyes, mouth) = (middle(left_eye, right_eye), middle(mouth_left, mouth_right));
        let (centre, unit) = (middle(eyes, mouth), (mouth[0] - eyes[0]).hypot(mouth[1] - eyes[1]));
        let corners = [centre[0] - unit, centre[1] - 1.25 * unit, centre[0] + unit, centre[1] + 1.25 * unit];
        Self { corners, score: 1.0, landmarks }
    }

    /// The middle of the box: x and y.
    #[must_use]
    pub fn centre(&self) -> [f32; 2] {
        let [left, top, right, bottom] = self.corners;
        [(left + right) / 2.0, (top + bottom) / 2.0]
    }

    /// The weighted sum of faces; weights add up to 1.
    #[must_use]
    pub fn combined(faces: &[(Self, f32)]) -> Self {
        let sum = |value: &dyn Fn(&Self) -> f32| faces.iter().map(|(face, weight)| value(face) * weight).sum();
        Self {
            corners: std::array::from_fn(|corner| sum(&|face| face.corners[corner])),
            score: sum(&|face| face.score),
            landmarks: std::array::from_fn(|point| {
                std::array::from_fn(|axis| sum(&|face| face.landmarks[point][axis]))
            }),
        }
    }

    /// The same face on a frame that is larger by these factors in width and height.
    #[must_use]
    pub fn scaled(&self, [x, y]: [f32; 2]) -> Self {
        let [left, top, right, bottom] = self.corners;
        Self {
            corners: [left * x, top * y, right * x, bottom * y],
            score: self.score,
            landmarks: self.landmarks.map(|point| [point[0] * x, point[1] * y]),
        }
    }
}

/// A face detector.
pub trait FaceDetector: Send + Sync {
    /// The faces of each frame, in order of descending confidence.
    ///
    /// # Errors
    /// The detector fails. A frame without a face is no error.
    fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String>;
}
