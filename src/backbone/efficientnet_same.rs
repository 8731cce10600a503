//! EfficientNets with TensorFlow's padding "same" (Tan and Le 2019): B4 with the names and settings of the Python package
//! efficientnet_pytorch, and Google's Lite variants of 2020 with those of efficientnet-lite-pytorch, which have no
//! squeeze-and-excitation, ReLU6 instead of SiLU, and a stem and head of one width.

use super::description::{Description, Part, Pixels, Pooling};
use super::efficientnet_stages::{Block, STAGES, STEM_CHANNELS, Scale, push_stages, scaled_channels};
use super::layer::{Activation, BatchNorm, Conv, ConvNorm, Layer, SqueezeExcitation};

const HEAD_CHANNELS: usize = 1280;
/// Input channels of a block, for each channel that its squeeze-and-excitation squeezes to.
const SQUEEZE: usize = 4;

/// EfficientNet-Lite0, 1 and 2.
pub(super) fn efficientnet_lite(scale: &Scale) -> Description {
    let builder = Builder { side: scale.input_side, activation: Activation::Relu6, squeezes: false };
    // The first and the last stage are the same in all variants.
    let depth = |stage: usize| if stage == 0 || stage + 1 == STAGES.len() { 1.0 } else { scale.depth };
    let pixels = Pixels { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3] };
    builder.description(scale, depth, [STEM_CHANNELS, HEAD_CHANNELS], pixels)
}

/// An EfficientNet as efficientnet_pytorch has it, with the pixels in -1 to 1 of its AdvProp weights.
pub(super) fn tf_efficientnet(scale: &Scale) -> Description {
    let builder = Builder { side: scale.input_side, activation: Activation::Silu, squeezes: true };
    let ends = [STEM_CHANNELS, HEAD_CHANNELS].map(|channels| scaled_channels(channels, scale.width));
    builder.description(scale, |_| scale.depth, ends, Pixels { mean: [0.5; 3], std: [0.5; 3] })
}

/// The same as DeepfakeBench changes it: without padding in the stem.
pub(super) fn deepfakebench_efficientnet(scale: &Scale) -> Description {
    let mut description = tf_efficientnet(scale);
    if let Some(Layer::ConvNorm(stem)) = description.parts[0].layers.first_mut() {
        stem.conv.padding = [0; 2];
    }
    description
}

/// Follows the height and width of the feature maps at the variant's own input, from which the padding follows.
struct Builder {
    side: usize,
    activation: Activation,
    squeezes: bool,
}

impl Builder {
    fn description(
        mut self,
        scale: &Scale,
        depth: impl Fn(usize) -> f64,
        [stem_channels, features]: [usize; 2],
        pixels: Pixels,
    ) -> Description {
        let activation = Some(self.activation);
        let stem = self.conv("_conv_stem", "_bn0", (3, stem_channels), (3, 2), 1, activation);
        let mut parts = vec![Part { name: "stem".into(), layers: vec![Layer::ConvNorm(stem)] }];
        let blocks = |stage: usize| (STAGES[stage].blocks as f64 * depth(stage)).ceil() as usize;
        let layers_of = |block: &Block| self.layers_of(block);
        let channels = push_stages(&mut parts, scale.width, blocks, layers_of, stem_channels);
        let head = self.conv("_conv_head", "_bn1", (channels, features), (1, 1), 1, activation);
        parts.push(Part { name: "head".into(), layers: vec![Layer::ConvNorm(head)] });
        Description {
            parts,
            pixels,
            input_side: scale.input_side,
            features,
            pooling: Pooling::Average,
            feature_norm: None,
            feature_dropout: scale.feature_dropout,
            classifier: "_fc",
        }
    }

    /// The layers of an inverted bottleneck: expansion (unless it is 1), depthwise convolution, squeeze-and-excitation,
    /// projection.
    fn layers_of(&mut self, block: &Block) -> Vec<Layer> {
        let &Block { inputs, outputs, kernel, stride, expansion, .. } = block;
        let name = |layer: &str| format!("_blocks.{}.{layer}", block.index);
        let (wide, activation) = (inputs * expansion, Some(self.activation));
        let mut layers = Vec::new();
        if expansion != 1 {
            let expand = self.conv(&name("_expand_conv"), &name("_bn0"), (inputs, wide), (1, 1), 1, activation);
            layers.push(Layer::ConvNorm(expand));
        }
        let sizes = (kernel, stride);
        let depthwise = self.conv(&name("_depthwise_conv"), &name("_bn1"), (wide, wide), sizes, wide, activation);
        layers.push(Layer::ConvNorm(depthwise));
        if self.squeezes {
            let squeezed = (inputs / SQUEEZE).max(1);
            layers.push(Layer::SqueezeExcitation(SqueezeExcitation {
                squeeze: Conv::pointwise(name("_se_reduce"), wide, squeezed),
                excite: Conv::pointwise(name("_se_expand"), squeezed, wide),
            }));
        }
        let project = self.conv(&name("_project_conv"), &name("_bn2"), (wide, outputs), (1, 1), 1, None);
        layers.push(Layer::ConvNorm(project));
        layers
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
