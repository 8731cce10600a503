//! EfficientNet-B0 and B4 (Tan and Le 2019), with torchvision's names and settings: squeeze-and-excitation, SiLU, a
//! stem and a head that widen with the network, and padding that is the same on all sides.

use super::description::{Description, Part, Pooling};
use super::efficientnet_stages::{Block, STAGES, STEM_CHANNELS, Scale, push_stages, scaled_channels};
use super::layer::{Activation, BatchNorm, Conv, ConvNorm, Layer, SqueezeExcitation};
use super::resnet::PIXELS;

const SILU: Option<Activation> = Some(Activation::Silu);
/// Channels of the head, for each output channel of the last stage.
const HEAD_EXPANSION: usize = 4;
/// Input channels of a block, for each channel that its squeeze-and-excitation squeezes to.
const SQUEEZE: usize = 4;

pub(super) fn efficientnet(scale: &Scale) -> Description {
    let stem_channels = scaled_channels(STEM_CHANNELS, scale.width);
    let stem = conv("features.0", (3, stem_channels), (3, 2), 1, SILU);
    let mut parts = vec![Part { name: "stem".into(), layers: vec![Layer::ConvNorm(stem)] }];
    let blocks = |stage: usize| (STAGES[stage].blocks as f64 * scale.depth).ceil() as usize;
    let channels = push_stages(&mut parts, scale.width, blocks, layers_of, stem_channels);
    let features = HEAD_EXPANSION * channels;
    let head = conv(&format!("features.{}", STAGES.len() + 1), (channels, features), (1, 1), 1, SILU);
    parts.push(Part { name: "head".into(), layers: vec![Layer::ConvNorm(head)] });
    Description {
        parts,
        pixels: PIXELS,
        input_side: scale.input_side,
        features,
        pooling: Pooling::Average,
        feature_norm: None,
        feature_dropout: scale.feature_dropout,
        classifier: "classifier.1",
    }
}

/// The layers of an inverted bottleneck: expansion (unless it is 1), depthwise convolution, squeeze-and-excitation,
/// projection.
fn layers_of(block: &Block) -> Vec<Layer> {
    let &Block { inputs, outputs, kernel, stride, expansion, .. } = block;
    let wide = inputs * expansion;
    let mut layers = Vec::new();
    let name = |layers: &Vec<Layer>| format!("features.{}.{}.block.{}", block.stage + 1, block.repeat, layers.len());
    if expansion > 1 {
        layers.push(Layer::ConvNorm(conv(&name(&layers), (inputs, wide), (1, 1), 1, SILU)));
    }
    layers.push(Layer::ConvNorm(conv(&name(&layers), (wide, wide), (kernel, stride), wide, SILU)));
    let (name_of_both, squeezed) = (name(&layers), (inputs / SQUEEZE).max(1));
    layers.push(Layer::SqueezeExcitation(SqueezeExcitation {
        squeeze: Conv::pointwise(format!("{name_of_both}.fc1"), wide, squeezed),
        excite: Conv::pointwise(format!("{name_of_both}.fc2"), squeezed, wide),
    }));
    layers.push(Layer::ConvNorm(conv(&name(&layers), (wide, outputs), (1, 1), 1, None)));
    layers
}

/// A convolution that is padded to keep the size at stride 1.
fn conv(
    prefix: &str,
    (inputs, outputs): (usize, usize),
    (kernel, stride): (usize, usize),
    groups: usize,
    activation: Option<Activation>,
) -> ConvNorm {
    let padding = [kernel / 2; 2];
    let conv = Conv { name: format!("{prefix}.0"), inputs, outputs, kernel, stride, padding, groups, bias: false };
    let norm = BatchNorm { name: format!("{prefix}.1"), epsilon: 1e-5, momentum: 0.1 };
    ConvNorm { conv, norm, activation }
}
