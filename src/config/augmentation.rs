//! The section `augmentation`: how training clips are varied. Keys and defaults only: limits are in `validate.rs`, and
//! the augmentations themselves in `clip`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What self-blended forgeries are for. Sides of the split without other fakes are given some too, always the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfBlend {
    /// There are none.
    Off,
    /// One of each real training video, besides the fakes that there are.
    Add,
    /// They are the only fakes to train and validate with; others are tested on.
    Only,
}

/// Random changes to training clips. Each is drawn once a clip and applied to all its frames alike; validation and test
/// see clips as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationConfig {
    /// `false` leaves training clips as they are; `self_blend` stands for itself.
    pub enabled: bool,
    /// Forgeries made of the real videos while training: their faces blended with themselves, each epoch otherwise.
    pub self_blend: SelfBlend,
    /// Probability of a mirror image.
    pub horizontal_flip: f64,
    /// Probability that the picture is upside down.
    pub vertical_flip: f64,
    /// Largest turn in degrees, either way.
    pub rotation: f64,
    /// Largest slant in degrees, either way: rows are shifted against each other.
    pub shear: f64,
    /// Brightness is multiplied by 1 - x to 1 + x.
    pub brightness: f64,
    /// Contrast about the mean grey level is multiplied by 1 - x to 1 + x.
    pub contrast: f64,
    /// Distance from grey is multiplied by 1 - x to 1 + x.
    pub saturation: f64,
    /// Hue is turned by up to x of the full circle, either way.
    pub hue: f64,
    /// Probability of a Gaussian blur.
    pub gaussian_blur: f64,
    /// Probability of a blur along a line, as of a moving camera.
    pub motion_blur: f64,
    /// Probability of JPEG compression, quality 40 to 95.
    pub jpeg: f64,
    /// Probability of Gaussian noise.
    pub noise: f64,
    /// Probability that a rectangle is filled with noise.
    pub random_erasing: f64,
    /// Clips of a batch are mixed in pairs, frame by frame, with shares from Beta(x, x), and so are their targets; 0 = off.
    pub mixup: f64,
    /// Clips of a batch exchange a rectangle in pairs, the same in all frames; its area is drawn from Beta(x, x), and
    /// targets are mixed by it. With `mixup`, each batch gets one of the two; 0 = off.
    pub cutmix: f64,
    /// Smallest share of the area that a random crop keeps before it is resized; 1 = no crop.
    pub random_resized_crop: f64,
}

impl AugmentationConfig {
    /// Whether clips of a batch are mixed with each other.
    #[must_use]
    pub fn mixes(&self) -> bool {
        self.enabled && (self.mixup > 0.0 || self.cutmix > 0.0)
    }
}

impl Default for AugmentationConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            self_blend: SelfBlend::Off,
            horizontal_flip: 0.5,
            vertical_flip: 0.0,
            rotation: 5.0,
            shear: 0.0,
            brightness: 0.1,
            contrast: 0.1,
            saturation: 0.1,
            hue: 0.02,
            gaussian_blur: 0.1,
            motion_blur: 0.0,
            jpeg: 0.2,
            noise: 0.1,
            random_erasing: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            random_resized_crop: 0.8,
        }
    }
}
