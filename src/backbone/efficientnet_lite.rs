//! EfficientNet-Lite0, 1 and 2 (Tan and Le 2019; Google's Lite variants of 2020): no squeeze-and-excitation, ReLU6, and
//! a stem and head of one width. Names and settings are those of the Python package efficientnet-lite-pytorch.

use super::description::{Description, Part, Pixels, Pooling};
use super::efficientnet_stages::{Block, STAGES, STEM_CHANNELS, Scale, push_stages};
use super::layer::{Activation, BatchNorm, Conv, ConvNorm, Layer};

const HEAD_CHANNELS: usize = 1280;
const RELU6: Option<Activation> = Some(Activation::Relu6);

pub(super) fn efficientnet_lite(scale: &Scale) -> Description {
    let mut builder = Builder { side: scale.input_side };
    let stem = builder.conv("_conv_stem", "_bn0", (3, STEM_CHANNELS), (3, 2), 1, RELU6);
    let mut parts = vec![Part { name: "stem".into(), layers: vec![Layer::ConvNorm(stem)] }];
    let (blocks, layers_of) = (|stage| blocks(stage, scale.depth), |block: &Block| builder.layers_of(block));
    let channels = push_stages(&mut parts, scale.width, blocks, layers_of, STEM_CHANNELS);
    let head = builder.conv("_conv_head", "_bn1", (channels, HEAD_CHANNELS), (1, 1), 1, RELU6);
    parts.push(Part { name: "head".into(), layers: vec![Layer::ConvNorm(head)] });
    Description {
        parts,
        pixels: Pixels { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3] },
        input_side: scale.input_side,
        features: HEAD_CHANNELS,
        pooling: Pooling::Average,
        feature_norm: None,
        feature_dropout: scale.feature_dropout,
        classifier: "_fc",
    }
}

/// Blocks of a stage; the first and the last stage are the same in all variants.
fn blocks(stage: usize, depth: f64) -> usize {
    let blocks = STAGES[stage].blocks;
    if stage == 0 || stage + 1 == STAGES.len() { blocks } else { (blocks as f64 * depth).ceil() as usize }
}

/// Follows the height and width of the feature maps at the variant's own input, from which the padding follows.
struct Builder {
    side: usize,
}

impl Builder {
    /// The layers of an inverted bottleneck: expansion (unless it is 1), depthwise convolution, projection.
    fn layers_of(&mut self, block: &Block) -> Vec<Layer> {
        let &Block { inputs, outputs, kernel, stride, expansion, .. } = block;
        let name = |layer: &str| format!("_blocks.{}.{layer}", block.index);
        let wide = inputs * expansion;
        let mut layers = Vec::new();
        if expansion != 1 {
            layers.push(self.conv(&name("_expand_conv"), &name("_bn0"), (inputs, wide), (1, 1), 1, RELU6));
        }
        let depthwise = (wide, wide);
        layers.push(self.conv(&name("_depthwise_conv"), &name("_bn1"), depthwise, (kernel, stride), wide, RELU6));
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
