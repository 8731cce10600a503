//! From pixels to the backbone's features: normalisation and a ResNet.

use super::super::{ExportError, Facts};
use super::FRAMES;
use super::graph::{Graph, float, int, ints};

/// Stages of a ResNet; all but the first halve the picture.
const STAGES: i64 = 4;

/// Frames `[B, T, H, W, 3]` to features `[B x T, F]`.
pub(super) fn backbone(graph: &mut Graph, facts: &Facts) -> Result<String, ExportError> {
    let images_nchw = images(graph, facts)?;
    let stem = conv_norm(graph, &images_nchw, "backbone.conv1", "backbone.bn1", 2)?;
    let stem = graph.node("Relu", &[&stem], vec![]);
    let window = vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1; 4])];
    let mut y = graph.node("MaxPool", &[&stem], window);
    for stage in 1..=STAGES {
        for index in 0.. {
            let name = format!("backbone.layer{stage}.{index}");
            if !graph.has(&format!("{name}.conv1.weight")) {
                break;
            }
            y = block(graph, &y, &name, if stage > 1 && index == 0 { 2 } else { 1 })?;
        }
    }
    let pooled = graph.node("GlobalAveragePool", &[&y], vec![]);
    Ok(graph.node("Flatten", &[&pooled], vec![int("axis", 1)]))
}

/// Bytes to normalised images `[B x T, 3, H, W]`.
fn images(graph: &mut Graph, facts: &Facts) -> Result<String, ExportError> {
    const FLOAT: i64 = crate::onnx::DataType::Float as i64;
    let shape = graph.sizes(&[-1, facts.height as i64, facts.width as i64, 3]);
    let pixels_nhwc = graph.node("Reshape", &[FRAMES, &shape], vec![]);
    let pixels_nhwc = graph.node("Cast", &[&pixels_nhwc], vec![int("to", FLOAT)]);
    let pixels_nchw = graph.node("Transpose", &[&pixels_nhwc], vec![ints("perm", &[0, 3, 1, 2])]);
    let mean = graph.weight("pixel_mean")?;
    let std = graph.weight("pixel_std")?;
    let centred = graph.node("Sub", &[&pixels_nchw, &mean], vec![]);
    Ok(graph.node("Div", &[&centred, &std], vec![]))
}

/// Convolutions around which the input goes straight or through a projection. Of two the first has the stride, of three
/// the second: the first that is 3 x 3.
fn block(graph: &mut Graph, x: &str, name: &str, stride: i64) -> Result<String, ExportError> {
    let bottleneck = graph.has(&format!("{name}.conv3.weight"));
    let (layers, strided) = if bottleneck { (3, 2) } else { (2, 1) };
    let mut y = x.to_owned();
    for layer in 1..=layers {
        let stride = if layer == strided { stride } else { 1 };
        y = conv_norm(graph, &y, &format!("{name}.conv{layer}"), &format!("{name}.bn{layer}"), stride)?;
        if layer < layers {
            y = graph.node("Relu", &[&y], vec![]);
        }
    }
    let straight = match graph.has(&format!("{name}.downsample.0.weight")) {
        true => conv_norm(graph, x, &format!("{name}.downsample.0"), &format!("{name}.downsample.1"), stride)?,
        false => x.to_owned(),
    };
    let sum = graph.node("Add", &[&y, &straight], vec![]);
    Ok(graph.node("Relu", &[&sum], vec![]))
}

/// A convolution that keeps the size but for its stride, and the batch norm behind it.
fn conv_norm(graph: &mut Graph, x: &str, conv: &str, norm: &str, stride: i64) -> Result<String, ExportError> {
    let name = format!("{conv}.weight");
    let kernel = graph.take(&name)?;
    let side = kernel.size()[3];
    let weight = graph.floats(&name, kernel)?;
    let settings = vec![ints("kernel_shape", &[side; 2]), ints("strides", &[stride; 2]), ints("pads", &[side / 2; 4])];
    let y = graph.node("Conv", &[x, &weight], settings);
    let mut inputs = vec![y];
    for part in ["weight", "bias", "running_mean", "running_var"] {
        inputs.push(graph.weight(&format!("{norm}.{part}"))?);
    }
    let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
    Ok(graph.node("BatchNormalization", &inputs, vec![float("epsilon", 1e-5)]))
}
