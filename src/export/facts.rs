//! What a program must know to use an exported network, in words that are the same in every format.

use serde::Serialize;

use super::Format;
use crate::config::{Config, FaceConfig, ModelConfig, Pretrained};
use crate::model::{PIXEL_MEAN, PIXEL_STD};

/// Under this name, the facts are in every file as JSON: in the metadata, or as an extra file of TorchScript.
pub const NOTE: &str = "dfdetect.json";

/// What comes out of a network that computes.
pub const OUTPUTS: &str = "clip_logits [clips], frame_logits [clips, frames]";

/// What a program must know to use the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// Which version of this program wrote the file.
    pub dfdetect: &'static str,
    /// Frames of a clip that it was trained with; others are allowed.
    pub frames: usize,
    /// Height and width of a frame that it was trained with.
    pub height: usize,
    /// See `height`.
    pub width: usize,
    /// The order of a pixel's colours.
    pub channels: &'static str,
    /// Of each channel, for pixels in 0 to 1.
    pub mean: [f32; 3],
    /// See `mean`.
    pub std: [f32; 3],
    /// What was cut out of the frames before they were made that size.
    pub faces: FaceConfig,
    /// Whether the videos of its training showed faces, cut out or filling the frame; absent where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shows_faces: Option<bool>,
    /// What a positive logit means.
    pub positive_class: &'static str,
    /// What makes a probability of fake of a logit; without a temperature, that counts as 1.
    pub probability: &'static str,
    /// What logits are divided by, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The network.
    pub model: ModelConfig,
}

impl Facts {
    /// Of a network that was trained with this configuration.
    #[must_use]
    pub fn of(config: &Config, temperature: Option<f64>, shows_faces: Option<bool>) -> Self {
        let [height, width] = config.data.frame_size;
        Self {
            dfdetect: env!("CARGO_PKG_VERSION"),
            frames: config.data.max_frames,
            height,
            width,
            channels: "RGB",
            mean: PIXEL_MEAN,
            std: PIXEL_STD,
            faces: config.data.faces.clone(),
            shows_faces,
            positive_class: "fake",
            probability: "sigmoid(logit / temperature)",
            temperature,
            // Where its first weights came from is nobody's business.
            model: ModelConfig { pretrained: Pretrained::None, ..config.model.clone() },
        }
    }

    /// What goes into a network in a file of this kind.
    #[must_use]
    pub fn input(&self, format: Format) -> String {
        let Self { height, width, .. } = self;
        if format.computes() {
            format!("frames: uint8 RGB [clips, frames, {height}, {width}, 3], 0 to 255; they are normalised inside")
        } else {
            format!("float32 RGB [clips * frames, 3, {height}, {width}]: (pixel / 255 - mean) / std")
        }
    }

    /// As JSON, with the input and the outputs of a file of this kind.
    pub(super) fn json(&self, format: Format) -> String {
        let mut json = serde_json::json!(self);
        json["input"] = self.input(format).into();
        if format.computes() {
            json["outputs"] = OUTPUTS.into();
        }
        format!("{json:#}")
    }
}
