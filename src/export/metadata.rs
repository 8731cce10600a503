//! The metadata of an exported network: what a program must know to use it. The same keys in every format. Reads no
//! checkpoint, and knows nothing of how a file stores the metadata.

use serde::Serialize;

use super::format::Format;
use crate::backbone::Pixels;
use crate::config::{Config, FaceConfig, ModelConfig, Pretrained};

/// The key under which every file holds the metadata as JSON: in its header, or as an extra file of TorchScript.
pub const METADATA_KEY: &str = "dfdetect.json";

/// The outputs of a format that contains the computation.
pub const OUTPUTS: &str = "clip_logits [clips], frame_logits [clips, frames]";

/// What a program must know to use an exported network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportMetadata {
    /// Version of this program.
    pub dfdetect: &'static str,
    /// Frames of a clip in training; other numbers are allowed.
    pub frames: usize,
    /// Height of a frame in training.
    pub height: usize,
    /// Width of a frame in training.
    pub width: usize,
    /// Order of a pixel's channels.
    pub channels: &'static str,
    /// Mean of each channel, for pixels in 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, for pixels in 0 to 1.
    pub std: [f32; 3],
    /// How faces are cropped before frames are resized.
    pub faces: FaceConfig,
    /// Whether the training videos showed faces, cropped or filling the frame; absent where that was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shows_faces: Option<bool>,
    /// The class of a positive logit.
    pub positive_class: &'static str,
    /// Formula for the probability of fake; without a temperature, it is 1.
    pub probability: &'static str,
    /// Temperature that logits are divided by, where one was fitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The network.
    pub model: ModelConfig,
}

impl ExportMetadata {
    /// The metadata of a network that was trained with this configuration.
    #[must_use]
    pub fn of(config: &Config, temperature: Option<f64>, shows_faces: Option<bool>) -> Self {
        let [height, width] = config.data.frame_size;
        let Pixels { mean, std } = config.model.pixels();
        Self {
            dfdetect: env!("CARGO_PKG_VERSION"),
            frames: config.data.max_frames,
            height,
            width,
            channels: "RGB",
            mean,
            std,
            faces: config.data.faces.clone(),
            shows_faces,
            positive_class: "fake",
            probability: "sigmoid(logit / temperature)",
            temperature,
            // Paths of first weights are private to the machine.
            model: ModelConfig { pretrained: Pretrained::None, init_from: None, ..config.model.clone() },
        }
    }

    /// Description of the input of a file of this format.
    #[must_use]
    pub fn input(&self, format: Format) -> String {
        let Self { height, width, .. } = self;
        if format.computes() {
            format!("frames: uint8 RGB [clips, frames, {height}, {width}, 3], 0 to 255; they are normalised inside")
        } else {
            format!("float32 RGB [clips * frames, 3, {height}, {width}]: (pixel / 255 - mean) / std")
        }
    }

    /// The metadata as JSON, with the input and the outputs of a file of this format.
    pub(super) fn json(&self, format: Format) -> String {
        let mut json = serde_json::json!(self);
        json["input"] = self.input(format).into();
        if format.computes() {
            json["outputs"] = OUTPUTS.into();
        }
        format!("{json:#}")
    }
}
