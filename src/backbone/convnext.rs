//! ConvNeXt-T (Liu et al. 2022), with torchvision's names and settings: layer norms and GELU, no batch norm.

use super::description::{Description, Part, Pooling};
use super::layer::{Activation, Conv, Layer, LayerNorm, Linear, Residual, Scale, Weight};
use super::resnet::PIXELS;

/// Channels between the two linear layers of a block, for each of its channels.
const EXPANSION: usize = 4;
/// Probability that the path of the last block is left out; that of earlier blocks is proportionally less.
const LAST_DROP_PROBABILITY: f64 = 0.1;
const EPSILON: f64 = 1e-6;

/// Channels and blocks of each stage.
pub(super) fn convnext(stages: [(usize, usize); 4]) -> Description {
    let last_block = stages.iter().map(|(_, depth)| depth).sum::<usize>() - 1;
    let (mut inputs, mut index) = (stages[0].0, 0);
    let stem = vec![patches("features.0.0", (3, inputs), 4), norm("features.0.1", inputs)];
    let mut parts = vec![Part { name: "stem".into(), layers: stem }];
    for (stage, (width, depth)) in stages.into_iter().enumerate() {
        let mut layers = Vec::new();
        if stage > 0 {
            let name = format!("features.{}", 2 * stage);
            layers.push(norm(&format!("{name}.0"), inputs));
            layers.push(patches(&format!("{name}.1"), (inputs, width), 2));
        }
        for block in 0..depth {
            let drop_probability = LAST_DROP_PROBABILITY * index as f64 / last_block as f64;
            layers.push(residual(&format!("features.{}.{block}", 2 * stage + 1), width, drop_probability));
            index += 1;
        }
        parts.push(Part { name: format!("stage{}", stage + 1), layers });
        inputs = width;
    }
    Description {
        parts,
        pixels: PIXELS,
        input_side: 224,
        features: inputs,
        pooling: Pooling::Average,
        feature_norm: Some(LayerNorm { name: "classifier.0".into(), width: inputs, epsilon: EPSILON }),
        feature_dropout: 0.0,
        classifier: "classifier.2",
    }
}

/// Each square of the input becomes a cell.
fn patches(name: &str, (inputs, outputs): (usize, usize), side: usize) -> Layer {
    let name = name.to_owned();
    Layer::Conv(Conv { name, inputs, outputs, kernel: side, stride: side, padding: [0; 2], groups: 1, bias: true })
}

fn norm(name: &str, width: usize) -> Layer {
    Layer::LayerNorm(LayerNorm { name: name.to_owned(), width, epsilon: EPSILON })
}

/// A depthwise convolution, and a layer over the channels with one hidden layer.
fn residual(prefix: &str, width: usize, drop_probability: f64) -> Layer {
    let name = |index: usize| format!("{prefix}.block.{index}");
    let (padding, wide) = ([3; 2], EXPANSION * width);
    let depthwise =
        Conv { name: name(0), inputs: width, outputs: width, kernel: 7, stride: 1, padding, groups: width, bias: true };
    let path = vec![
        Layer::Conv(depthwise),
        norm(&name(2), width),
        Layer::Linear(Linear { name: name(3), inputs: width, outputs: wide }),
        Layer::Activation(Activation::Gelu),
        Layer::Linear(Linear { name: name(5), inputs: wide, outputs: width }),
    ];
    let weight = Weight { name: format!("{prefix}.layer_scale"), shape: vec![width, 1, 1] };
    Layer::Residual(Residual {
        path,
        scale: Some(Scale { weight, initial: 1e-6 }),
        projection: None,
        drop_probability,
        activation: None,
    })
}
