//! Xception (Chollet 2017), with the names of timm's `legacy_xception`: depthwise separable convolutions in residuals.

use super::description::{Description, Part, Pixels, Pooling};
use super::layer::{Activation, BatchNorm, Conv, ConvNorm, Layer, MaxPool, Residual};

const RELU: Option<Activation> = Some(Activation::Relu);

/// The residuals: input channels, output channels of each separable convolution, stride of the pooling behind them.
const BLOCKS: [(usize, &[usize], usize); 12] = [
    (64, &[128, 128], 2),
    (128, &[256, 256], 2),
    (256, &[728, 728], 2),
    (728, &[728; 3], 1),
    (728, &[728; 3], 1),
    (728, &[728; 3], 1),
    (728, &[728; 3], 1),
    (728, &[728; 3], 1),
    (728, &[728; 3], 1),
    (728, &[728; 3], 1),
    (728, &[728; 3], 1),
    (728, &[728, 1024], 2),
];
const FEATURES: usize = 2048;

pub(super) fn xception() -> Description {
    let stem = vec![
        Layer::ConvNorm(conv_norm(conv("conv1", (3, 32), 3, 2, 0), "bn1", RELU)),
        Layer::ConvNorm(conv_norm(conv("conv2", (32, 64), 3, 1, 0), "bn2", RELU)),
    ];
    let mut parts = vec![Part { name: "stem".into(), layers: stem }];
    for (index, (inputs, outputs, stride)) in BLOCKS.into_iter().enumerate() {
        let name = format!("block{}", index + 1);
        // The stem ends with a ReLU, and so the first block begins without one.
        let layers = vec![block(&name, inputs, outputs, stride, index > 0)];
        parts.push(Part { name, layers });
    }
    let [conv3, bn3] = separable(("conv3", "bn3"), (1024, 1536), RELU);
    let [conv4, bn4] = separable(("conv4", "bn4"), (1536, FEATURES), RELU);
    parts.push(Part { name: "head".into(), layers: vec![conv3, bn3, conv4, bn4] });
    Description {
        parts,
        pixels: Pixels { mean: [0.5; 3], std: [0.5; 3] },
        input_side: 299,
        features: FEATURES,
        pooling: Pooling::Average,
        feature_norm: None,
        feature_dropout: 0.0,
        classifier: "fc",
    }
}

fn block(name: &str, inputs: usize, outputs: &[usize], stride: usize, begins_with_relu: bool) -> Layer {
    let mut path = Vec::new();
    // Places in PyTorch's list of modules: ReLU, convolution, norm, and so on.
    let mut place = 0;
    if begins_with_relu {
        path.push(Layer::Activation(Activation::Relu));
        place = 1;
    }
    let mut channels = inputs;
    for (index, &next) in outputs.iter().enumerate() {
        let names = (format!("{name}.rep.{place}"), format!("{name}.rep.{}", place + 1));
        let activation = if index + 1 < outputs.len() { RELU } else { None };
        path.extend(separable((&names.0, &names.1), (channels, next), activation));
        (channels, place) = (next, place + 3);
    }
    if stride > 1 {
        path.push(Layer::MaxPool(MaxPool { kernel: 3, stride, padding: 1 }));
    }
    let skip =
        || conv_norm(conv(&format!("{name}.skip"), (inputs, channels), 1, stride, 0), &format!("{name}.skipbn"), None);
    let projection = (stride > 1).then(skip);
    Layer::Residual(Residual { path, scale: None, projection, drop_probability: 0.0, activation: None })
}

/// A depthwise 3x3 convolution, and a pointwise one with its norm.
fn separable(
    (name, norm): (&str, &str),
    (inputs, outputs): (usize, usize),
    activation: Option<Activation>,
) -> [Layer; 2] {
    let depthwise = Conv { groups: inputs, ..conv(&format!("{name}.conv1"), (inputs, inputs), 3, 1, 1) };
    let pointwise = conv(&format!("{name}.pointwise"), (inputs, outputs), 1, 1, 0);
    [Layer::Conv(depthwise), Layer::ConvNorm(conv_norm(pointwise, norm, activation))]
}

fn conv(name: &str, (inputs, outputs): (usize, usize), kernel: usize, stride: usize, padding: usize) -> Conv {
    Conv { name: name.into(), inputs, outputs, kernel, stride, padding: [padding; 2], groups: 1, bias: false }
}

fn conv_norm(conv: Conv, norm: &str, activation: Option<Activation>) -> ConvNorm {
    ConvNorm { conv, norm: BatchNorm { name: norm.into(), epsilon: 1e-5, momentum: 0.1 }, activation }
}
