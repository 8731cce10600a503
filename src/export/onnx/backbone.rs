//! The nodes from pixels to the backbone's features: normalisation and a ResNet. The nodes over the frames of a clip
//! are in `head.rs`.

use super::graph_builder::{GraphBuilder, float, int, ints};
use super::names::FRAMES;
use crate::export::error::ExportError;
use crate::export::metadata::ExportMetadata;

/// Stages of a ResNet; all but the first halve height and width.
const STAGES: i64 = 4;

/// Adds the nodes from frames `[B, T, H, W, 3]` to features `[B x T, F]`.
pub(super) fn backbone(graph: &mut GraphBuilder, metadata: &ExportMetadata) -> Result<String, ExportError> {
    let images_nchw = images(graph, metadata)?;
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

/// Converts bytes to normalised images `[B x T, 3, H, W]`.
fn images(graph: &mut GraphBuilder, metadata: &ExportMetadata) -> Result<String, ExportError> {
    const FLOAT: i64 = crate::onnx::DataType::Float as i64;
    let shape = graph.sizes(&[-1, metadata.height as i64, metadata.width as i64, 3]);
    let pixels_nhwc = graph.node("Reshape", &[FRAMES, &shape], vec![]);
    let pixels_nhwc = graph.node("Cast", &[&pixels_nhwc], vec![int("to", FLOAT)]);
    let pixels_nchw = graph.node("Transpose", &[&pixels_nhwc], vec![ints("perm", &[0, 3, 1, 2])]);
    let mean = graph.weight("pixel_mean")?;
    let std = graph.weight("pixel_std")?;
    let centred = graph.node("Sub", &[&pixels_nchw, &mean], vec![]);
    Ok(graph.node("Div", &[&centred, &std], vec![]))
}

/// A residual block with an identity or a projection shortcut. The stride is in the first 3x3 convolution: the first of
/// two, or the second of three.
fn block(graph: &mut GraphBuilder, x: &str, name: &str, stride: i64) -> Result<String, ExportError> {
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
    let shortcut = match graph.has(&format!("{name}.downsample.0.weight")) {
        true => conv_norm(graph, x, &format!("{name}.downsample.0"), &format!("{name}.downsample.1"), stride)?,
        false => x.to_owned(),
    };
    let sum = graph.node("Add", &[&y, &shortcut], vec![]);
    Ok(graph.node("Relu", &[&sum], vec![]))
}

/// A convolution, padded to keep the size at stride 1, and its batch norm.
fn conv_norm(graph: &mut GraphBuilder, x: &str, conv: &str, norm: &str, stride: i64) -> Result<String, ExportError> {
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
