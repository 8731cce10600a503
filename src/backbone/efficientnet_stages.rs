//! What the EfficientNets and their Lite variants share: the stages, how a variant scales them, and which blocks are
//! residuals.

use super::description::Part;
use super::layer::{Layer, Residual};

pub(super) const STEM_CHANNELS: usize = 32;
/// Channels between an expansion and its projection, for each input channel.
const EXPANSION: usize = 6;
/// Channels are multiples of it.
const CHANNEL_UNIT: usize = 8;
/// Probability that the path of the last block is left out; that of earlier blocks is proportionally less.
const LAST_DROP_PROBABILITY: f64 = 0.2;

/// What Lite0 and B0 repeat in each stage.
pub(super) const STAGES: [Stage; 7] = [
    Stage { blocks: 1, kernel: 3, stride: 1, expansion: 1, channels: 16 },
    Stage { blocks: 2, kernel: 3, stride: 2, expansion: EXPANSION, channels: 24 },
    Stage { blocks: 2, kernel: 5, stride: 2, expansion: EXPANSION, channels: 40 },
    Stage { blocks: 3, kernel: 3, stride: 2, expansion: EXPANSION, channels: 80 },
    Stage { blocks: 3, kernel: 5, stride: 1, expansion: EXPANSION, channels: 112 },
    Stage { blocks: 4, kernel: 5, stride: 2, expansion: EXPANSION, channels: 192 },
    Stage { blocks: 1, kernel: 3, stride: 1, expansion: EXPANSION, channels: 320 },
];

/// A stage of Lite0 or B0; the stride is that of its first block.
pub(super) struct Stage {
    pub blocks: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
}

/// How a variant scales Lite0 or B0.
pub(super) struct Scale {
    /// Factor on the channels.
    pub width: f64,
    /// Factor on the blocks of a stage.
    pub depth: f64,
    /// Height and width of the images in training.
    pub input_side: usize,
    pub feature_dropout: f64,
}

/// One block, of which the caller makes layers.
pub(super) struct Block {
    pub stage: usize,
    /// The number of the block within its stage.
    pub repeat: usize,
    /// The number of the block within the network.
    pub index: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub expansion: usize,
}

/// Appends a part for each stage, with `blocks(stage)` blocks; returns the channels behind the last one. A block that
/// changes neither size nor channels is a residual with stochastic depth.
pub(super) fn push_stages(
    parts: &mut Vec<Part>,
    width: f64,
    blocks: impl Fn(usize) -> usize,
    mut layers_of: impl FnMut(&Block) -> Vec<Layer>,
    mut inputs: usize,
) -> usize {
    let count: usize = (0..STAGES.len()).map(&blocks).sum();
    let mut index = 0;
    for (stage, settings) in STAGES.iter().enumerate() {
        let outputs = scaled_channels(settings.channels, width);
        let mut layers = Vec::new();
        for repeat in 0..blocks(stage) {
            let stride = if repeat == 0 { settings.stride } else { 1 };
            let &Stage { kernel, expansion, .. } = settings;
            let path = layers_of(&Block { stage, repeat, index, inputs, outputs, kernel, stride, expansion });
            if stride == 1 && inputs == outputs {
                let drop_probability = LAST_DROP_PROBABILITY * index as f64 / count as f64;
                let residual = Residual { path, scale: None, projection: None, drop_probability, activation: None };
                layers.push(Layer::Residual(residual));
            } else {
                layers.extend(path);
            }
            (inputs, index) = (outputs, index + 1);
        }
        parts.push(Part { name: format!("stage{}", stage + 1), layers });
    }
    inputs
}

/// Scaled channels, rounded to a multiple of [`CHANNEL_UNIT`], and never down by more than a tenth.
pub(super) fn scaled_channels(channels: usize, width: f64) -> usize {
    let scaled = channels as f64 * width;
    let rounded = ((scaled + CHANNEL_UNIT as f64 / 2.0) as usize / CHANNEL_UNIT * CHANNEL_UNIT).max(CHANNEL_UNIT);
    if (rounded as f64) < 0.9 * scaled { rounded + CHANNEL_UNIT } else { rounded }
}
