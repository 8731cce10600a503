//! The result of an explanation, as plain data. It is computed in `grad_cam.rs` and drawn in `heatmap_picture.rs`.

use image::RgbImage;

/// The explanation of a clip's score.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The verdict that is explained: fake, or real.
    pub is_fake: bool,
    /// Probability of fake.
    pub score: f64,
    /// Probability of fake of each frame.
    pub frame_scores: Vec<f64>,
    /// Attention weight of each frame, all adding up to 1; `None` where the head has no attention.
    pub attention: Option<Vec<f64>>,
    /// The frames.
    pub(super) frames: Vec<RgbImage>,
    /// Heatmap of each frame, H x W: how much each pixel supports the verdict, relative to the maximum over the clip.
    pub(super) heat: Vec<Vec<f32>>,
}
