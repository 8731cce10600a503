//! A face on a frame, and what finds it.

use image::RgbImage;

/// Eyes, nose, corners of the mouth: x and y of each, those on the left of the picture first.
pub type Landmarks = [[f32; 2]; 5];

/// One face on one frame, in pixels of that frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Left, top, right, bottom.
    pub corners: [f32; 4],
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where its parts are.
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

    /// A face of which no more is known than where its parts are: it is about 2.5 times as high, and 2 times as wide, as
    /// it is far from the eyes to the mouth.
    #[must_use]
    pub fn around(landmarks: Landmarks) -> Self {
        let [left_eye, right_eye, _, mouth_left, mouth_right] = landmarks;
        let middle = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let (eyes, mouth) = (middle(left_eye, right_eye), middle(mouth_left, mouth_right));
        let (centre, unit) = (middle(eyes, mouth), (mouth[0] - eyes[0]).hypot(mouth[1] - eyes[1]));
        let corners = [centre[0] - unit, centre[1] - 1.25 * unit, centre[0] + unit, centre[1] + 1.25 * unit];
        Self { corners, score: 1.0, landmarks }
    }

    /// The same face on a frame that is so many times as wide and as high.
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

/// Finds faces.
pub trait FaceDetector: Send + Sync {
    /// The faces of each frame, the surest first.
    ///
    /// # Errors
    /// The detector itself fails; a frame without a face is no error.
    fn detect(&self, frames: &[RgbImage]) -> Result<Vec<Vec<Face>>, String>;
}
