//! The nodes from pixels to the backbone's features: normalisation, and the layers of the backbone's description. The
//! nodes over the frames of a clip are in `head.rs`.

use super::graph_builder::{GraphBuilder, float, int, ints};
use super::names::FRAMES;
use crate::backbone::{Activation, ConvNorm, Description, Layer, MaxPool, Norm, Residual, SqueezeExcitation};
use crate::export::error::ExportError;
use crate::export::metadata::ExportMetadata;

/// Adds the nodes from frames `[B, T, H, W, 3]` to features `[B x T, F]`.
pub(super) fn backbone(graph: &mut GraphBuilder, metadata: &ExportMetadata) -> Result<String, ExportError> {
    let images_nchw = images(graph, metadata)?;
    let Description { parts, norm, .. } = metadata.model.backbone.description();
    let mut nodes = Nodes { graph, norm };
    let maps_nfhw = nodes.layers(parts.iter().flat_map(|part| &part.layers), &images_nchw)?;
    let pooled = graph.node("GlobalAveragePool", &[&maps_nfhw], vec![]);
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

/// Adds the nodes of layers.
struct Nodes<'g, 'd> {
    graph: &'g mut GraphBuilder<'d>,
    norm: Norm,
}

impl Nodes<'_, '_> {
    /// Layers one after the other.
    fn layers<'l>(&mut self, layers: impl Iterator<Item = &'l Layer>, x: &str) -> Result<String, ExportError> {
        let mut y = x.to_owned();
        for layer in layers {
            y = match layer {
                Layer::ConvNorm(conv) => self.conv_norm(conv, &y)?,
                Layer::MaxPool(pool) => self.max_pool(*pool, &y),
                Layer::Residual(residual) => self.residual(residual, &y)?,
                Layer::SqueezeExcitation(squeeze) => self.squeeze_excitation(squeeze, &y)?,
            };
        }
        Ok(y)
    }

    fn conv_norm(&mut self, conv: &ConvNorm, x: &str) -> Result<String, ExportError> {
        let weight = self.graph.weight(&format!("backbone.{}.weight", conv.conv))?;
        let [before, after] = conv.padding.map(|zeros| zeros as i64);
        let settings = vec![
            ints("kernel_shape", &[conv.kernel as i64; 2]),
            ints("strides", &[conv.stride as i64; 2]),
            ints("pads", &[before, before, after, after]),
            int("group", conv.groups as i64),
        ];
        let mut inputs = vec![self.graph.node("Conv", &[x, &weight], settings)];
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(self.graph.weight(&format!("backbone.{}.{tensor}", conv.norm))?);
        }
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let epsilon = float("epsilon", self.norm.epsilon as f32);
        let y = self.graph.node("BatchNormalization", &inputs, vec![epsilon]);
        self.activation(conv.activation, y)
    }

    fn max_pool(&mut self, pool: MaxPool, x: &str) -> String {
        let [kernel, stride, padding] = [pool.kernel, pool.stride, pool.padding].map(|length| length as i64);
        let window =
            vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[padding; 4])];
        self.graph.node("MaxPool", &[x], window)
    }

    fn residual(&mut self, residual: &Residual, x: &str) -> Result<String, ExportError> {
        let y = self.layers(residual.path.iter(), x)?;
        let shortcut = match &residual.projection {
            Some(projection) => self.conv_norm(projection, x)?,
            None => x.to_owned(),
        };
        let sum = self.graph.node("Add", &[&y, &shortcut], vec![]);
        self.activation(residual.activation, sum)
    }

    fn squeeze_excitation(&mut self, squeeze: &SqueezeExcitation, x: &str) -> Result<String, ExportError> {
        let mean = self.graph.node("GlobalAveragePool", &[x], vec![]);
        let squeezed = self.pointwise(&format!("{}.fc1", squeeze.name), &mean)?;
        let squeezed = self.activation(Some(Activation::Silu), squeezed)?;
        let excited = self.pointwise(&format!("{}.fc2", squeeze.name), &squeezed)?;
        let weights = self.graph.node("Sigmoid", &[&excited], vec![]);
        Ok(self.graph.node("Mul", &[x, &weights], vec![]))
    }

    /// A 1x1 convolution with a bias.
    fn pointwise(&mut self, name: &str, x: &str) -> Result<String, ExportError> {
        let [weight, bias] = ["weight", "bias"].map(|tensor| self.graph.weight(&format!("backbone.{name}.{tensor}")));
        Ok(self.graph.node("Conv", &[x, &weight?, &bias?], vec![ints("kernel_shape", &[1, 1])]))
    }

    fn activation(&mut self, activation: Option<Activation>, x: String) -> Result<String, ExportError> {
        Ok(match activation {
            None => x,
            Some(Activation::Relu) => self.graph.node("Relu", &[&x], vec![]),
            Some(Activation::Relu6) => {
                let (low, high) = (self.graph.number(0.0)?, self.graph.number(6.0)?);
                self.graph.node("Clip", &[&x, &low, &high], vec![])
            }
            Some(Activation::Silu) => {
                let sigmoid = self.graph.node("Sigmoid", &[&x], vec![]);
                self.graph.node("Mul", &[&x, &sigmoid], vec![])
            }
        })
    }
}
