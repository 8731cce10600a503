//! EfficientNet-Lite0, 1 and 2 (Tan and Le 2019; Google's Lite variants of 2020): no squeeze-and-excitation, ReLU6, and
//! a stem and head of one width. Names and settings are those of the Python package efficientnet-lite-pytorch.

use super::description::{Activation, BatchNorm, Conv, ConvNorm, Description, Layer, Part, Pixels, Residual};

/// Channels between an expansion and its projection, for each input channel.
const EXPANSION: usize = 6;
pub(super) const STEM_CHANNELS: usize = 32;
const HEAD_CHANNELS: usize = 1280;
/// Channels are multiples of it.
const CHANNEL_UNIT: usize = 8;
/// Probability that the path of the last block is left out; that of earlier blocks is proportionally less.
pub(super) const LAST_DROP_PROBABILITY: f64 = 0.2;

/// What Lite0 and B0 repeat in each stage: blocks, kernel, stride, expansion, output channels.
pub(super) const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, EXPANSION, 24),
    (2, 5, 2, EXPANSION, 40),
    (3, 3, 2, EXPANSION, 80),
    (3, 5, 1, EXPANSION, 112),
    (4, 5, 2, EXPANSION, 192),
    (1, 3, 1, EXPANSION, 320),
];

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

pub(super) fn efficientnet_lite(scale: &Scale) -> Description {
    let mut builder = Builder { side: scale.input_side };
    let relu6 = Some(Activation::Relu6);
    let stem = builder.conv("_conv_stem", "_bn0", (3, STEM_CHANNELS), (3, 2), 1, relu6);
    let mut parts = vec![Part { name: "stem".into(), layers: vec![Layer::ConvNorm(stem)] }];
    let (mut inputs, mut index) = (STEM_CHANNELS, 0);
    let count: usize = (0..STAGES.len()).map(|stage| repeats(stage, scale.depth)).sum();
    for (stage, (_, kernel, stride, expansion, channels)) in STAGES.into_iter().enumerate() {
        let outputs = scaled_channels(channels, scale.width);
        let mut layers = Vec::new();
        for repeat in 0..repeats(stage, scale.depth) {
            let stride = if repeat == 0 { stride } else { 1 };
            let path = builder.block(index, (inputs, outputs), (kernel, stride), expansion);
            if stride == 1 && inputs == outputs {
                let drop_probability = LAST_DROP_PROBABILITY * index as f64 / count as f64;
                layers.push(Layer::Residual(Residual {
                    path,
                    scale: None,
                    projection: None,
                    drop_probability,
                    activation: None,
                }));
            } else {
                layers.extend(path);
            }
            (inputs, index) = (outputs, index + 1);
        }
        parts.push(Part { name: format!("stage{}", stage + 1), layers });
    }
    let head = builder.conv("_conv_head", "_bn1", (inputs, HEAD_CHANNELS), (1, 1), 1, relu6);
    parts.push(Part { name: "head".into(), layers: vec![Layer::ConvNorm(head)] });
    Description {
        parts,
        pixels: Pixels { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3] },
        input_side: scale.input_side,
        features: HEAD_CHANNELS,
        feature_norm: None,
        feature_dropout: scale.feature_dropout,
        classifier: "_fc",
    }
}

/// Blocks of a stage; the first and the last stage are the same in all variants.
fn repeats(stage: usize, depth: f64) -> usize {
    let blocks = STAGES[stage].0;
    if stage == 0 || stage + 1 == STAGES.len() { blocks } else { (blocks as f64 * depth).ceil() as usize }
}

/// Scaled channels, rounded to a multiple of [`CHANNEL_UNIT`], and never down by more than a tenth.
pub(super) fn scaled_channels(channels: usize, width: f64) -> usize {
    let scaled = channels as f64 * width;
    let rounded = ((scaled + CHANNEL_UNIT as f64 / 2.0) as usize / CHANNEL_UNIT * CHANNEL_UNIT).max(CHANNEL_UNIT);
    if (rounded as f64) < 0.9 * scaled { rounded + CHANNEL_UNIT } else { rounded }
}

/// Follows the height and width of the feature maps at the variant's own input, from which the padding follows.
struct Builder {
    side: usize,
}

impl Builder {
    /// The layers of an inverted bottleneck: expansion (unless it is 1), depthwise convolution, projection.
    fn block(
        &mut self,
        index: usize,
        (inputs, outputs): (usize, usize),
        (kernel, stride): (usize, usize),
        expansion: usize,
    ) -> Vec<Layer> {
        let name = |layer: &str| format!("_blocks.{index}.{layer}");
        let (wide, relu6) = (inputs * expansion, Some(Activation::Relu6));
        let mut layers = Vec::new();
        if expansion != 1 {
            layers.push(self.conv(&name("_expand_conv"), &name("_bn0"), (inputs, wide), (1, 1), 1, relu6));
        }
        let depthwise = (wide, wide);
        layers.push(self.conv(&name("_depthwise_conv"), &name("_bn1"), depthwise, (kernel, stride), wide, relu6));
        layers.push(self.conv(&name("_project_conv"), &name("_bn2"), (wide, outputs), (1, 1), 1, None));
        layers.into_iter().map(Layer::ConvNorm).collect()
    }

    /// A convolution with TensorFlow's padding "same" at the variant's own input: zeros for `ceil(side / stride)`
    /// outputs, the odd one at the end.
    fn conv(
        &mut self,
        conv: &str,
        norm: &str,
        (inputs, outputs): (usize, usize),
        (kernel, stride): (usize, usize),
        groups: usize,
        activation: Option<Activation>,
    ) -> ConvNorm {
        let after = self.side.div_ceil(stride);
        let zeros = ((after - 1) * stride + kernel).saturating_sub(self.side);
        self.side = after;
        let padding = [zeros / 2, zeros - zeros / 2];
        let conv = Conv { name: conv.to_owned(), inputs, outputs, kernel, stride, padding, groups, bias: false };
        let norm = BatchNorm { name: norm.to_owned(), epsilon: 1e-3, momentum: 0.01 };
        ConvNorm { conv, norm, activation }
    }
}
