//! ResNet-18/34/50/101 (He et al. 2015), with torchvision's names; the stride of a bottleneck is in its 3x3
//! convolution, as there.

use super::description::{Description, Part, Pixels, Pooling};
use super::layer::{Activation, BatchNorm, Conv, ConvNorm, Layer, MaxPool, Residual};

/// ImageNet's means and standard deviations.
pub(super) const PIXELS: Pixels = Pixels { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/// Stages of basic blocks (two 3x3 convolutions), with so many blocks each.
pub(super) fn basic(depths: [usize; 4]) -> Description {
    resnet(depths, 1)
}

/// Stages of bottlenecks (1x1, 3x3, 1x1), with so many blocks each.
pub(super) fn bottleneck(depths: [usize; 4]) -> Description {
    resnet(depths, 4)
}

/// `expansion` is the ratio of a block's output channels to its width.
fn resnet(depths: [usize; 4], expansion: usize) -> Description {
    let conv1 = conv("", ("conv1", "bn1"), (3, 64), 7, 2, Some(Activation::Relu));
    let pool = MaxPool { kernel: 3, stride: 2, padding: 1 };
    let stem = vec![Layer::ConvNorm(conv1), Layer::MaxPool(pool)];
    let mut parts = vec![Part { name: "stem".into(), layers: stem }];
    let mut inputs = 64;
    for (stage, depth) in depths.into_iter().enumerate() {
        let (name, width) = (format!("layer{}", stage + 1), 64 << stage);
        let mut layers = Vec::new();
        for index in 0..depth {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            layers.push(block(&format!("{name}.{index}."), inputs, width, stride, expansion));
            inputs = width * expansion;
        }
        parts.push(Part { name, layers });
    }
    Description {
        parts,
        pixels: PIXELS,
        input_side: 224,
        features: inputs,
        pooling: Pooling::Average,
        feature_norm: None,
        feature_dropout: 0.0,
        classifier: "fc",
    }
}

fn block(prefix: &str, inputs: usize, width: usize, stride: usize, expansion: usize) -> Layer {
    let (relu, outputs) = (Some(Activation::Relu), width * expansion);
    let path = if expansion == 1 {
        vec![
            conv(prefix, ("conv1", "bn1"), (inputs, width), 3, stride, relu),
            conv(prefix, ("conv2", "bn2"), (width, width), 3, 1, None),
        ]
    } else {
        vec![
            conv(prefix, ("conv1", "bn1"), (inputs, width), 1, 1, relu),
            conv(prefix, ("conv2", "bn2"), (width, width), 3, stride, relu),
            conv(prefix, ("conv3", "bn3"), (width, outputs), 1, 1, None),
        ]
    };
    let changes_shape = stride != 1 || inputs != outputs;
    let projection = || conv(prefix, ("downsample.0", "downsample.1"), (inputs, outputs), 1, stride, None);
    Layer::Residual(Residual {
        path: path.into_iter().map(Layer::ConvNorm).collect(),
        scale: None,
        projection: changes_shape.then(projection),
        drop_probability: 0.0,
        activation: relu,
    })
}

/// A convolution that is padded to keep the size at stride 1.
fn conv(
    prefix: &str,
    (conv, norm): (&str, &str),
    (inputs, outputs): (usize, usize),
    kernel: usize,
    stride: usize,
    activation: Option<Activation>,
) -> ConvNorm {
    let padding = [kernel / 2; 2];
    let conv =
        Conv { name: format!("{prefix}{conv}"), inputs, outputs, kernel, stride, padding, groups: 1, bias: false };
    let norm = BatchNorm { name: format!("{prefix}{norm}"), epsilon: 1e-5, momentum: 0.1 };
    ConvNorm { conv, norm, activation }
}
