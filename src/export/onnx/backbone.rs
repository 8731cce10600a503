//! The nodes from pixels to the backbone's features: normalisation, and the layers of the backbone's description. The
//! nodes over the frames of a clip are in `head.rs`.

use super::graph_builder::{GraphBuilder, float, int, ints};
use super::names::FRAMES;
use crate::backbone::{
    Activation, Conv, ConvNorm, Description, Layer, LayerNorm, Linear, MaxPool, Plane, Pooling, Residual,
    SqueezeExcitation,
};
use crate::export::error::ExportError;
use crate::export::metadata::ExportMetadata;

/// Adds the nodes from frames `[B, T, H, W, 3]` to features `[B x T, F]`.
pub(super) fn backbone(graph: &mut GraphBuilder, metadata: &ExportMetadata) -> Result<String, ExportError> {
    let images_nchw = images(graph, metadata)?;
    let Description { parts, feature_norm, pooling, .. } = metadata.model.backbone.description();
    let mut nodes = Nodes { graph, image: Plane::image([metadata.height, metadata.width]) };
    let maps_nfhw = nodes.layers(parts.iter().flat_map(|part| &part.layers), &images_nchw)?;
    let pooled = match *pooling {
        Pooling::Average => nodes.graph.node("GlobalAveragePool", &[&maps_nfhw], vec![]),
        Pooling::ClassToken => {
            let first = nodes.graph.scalar(0);
            nodes.graph.node("Gather", &[&maps_nfhw, &first], vec![int("axis", 2)])
        }
    };
    let pooled_nf = nodes.graph.node("Flatten", &[&pooled], vec![int("axis", 1)]);
    feature_norm.as_ref().map_or(Ok(pooled_nf.clone()), |norm| nodes.layer_norm(norm, &pooled_nf))
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
pub(super) struct Nodes<'g, 'd> {
    pub graph: &'g mut GraphBuilder<'d>,
    /// The size of the images.
    pub image: Plane,
}

impl Nodes<'_, '_> {
    /// Layers one after the other.
    fn layers<'l>(&mut self, layers: impl Iterator<Item = &'l Layer>, x: &str) -> Result<String, ExportError> {
        let mut y = x.to_owned();
        for layer in layers {
            y = match layer {
                Layer::ConvNorm(conv) => self.conv_norm(conv, &y)?,
                Layer::Conv(conv) => self.conv(conv, &y)?,
                Layer::LayerNorm(norm) => self.over_channels(&y, |nodes, y| nodes.layer_norm(norm, y))?,
                Layer::Linear(linear) => self.over_channels(&y, |nodes, y| nodes.linear(linear, y))?,
                Layer::Activation(activation) => self.activation(Some(*activation), y)?,
                Layer::MaxPool(pool) => self.max_pool(*pool, &y),
                Layer::Residual(residual) => self.residual(residual, &y)?,
                Layer::SqueezeExcitation(squeeze) => self.squeeze_excitation(squeeze, &y)?,
                Layer::Embeddings(embeddings) => self.embeddings(embeddings, &y)?,
                Layer::Attention(attention) => self.over_channels(&y, |nodes, y| nodes.attention(attention, y))?,
            };
        }
        Ok(y)
    }

    /// What works on the last dimension, over the channels.
    fn over_channels(
        &mut self,
        x: &str,
        layer: impl FnOnce(&mut Self, &str) -> Result<String, ExportError>,
    ) -> Result<String, ExportError> {
        let x_nhwc = self.graph.node("Transpose", &[x], vec![ints("perm", &[0, 2, 3, 1])]);
        let y_nhwc = layer(self, &x_nhwc)?;
        Ok(self.graph.node("Transpose", &[&y_nhwc], vec![ints("perm", &[0, 3, 1, 2])]))
    }

    fn layer_norm(&mut self, norm: &LayerNorm, x: &str) -> Result<String, ExportError> {
        let [weight, bias] = self.weight_and_bias(&norm.name)?;
        let settings = vec![int("axis", -1), float("epsilon", norm.epsilon as f32)];
        Ok(self.graph.node("LayerNormalization", &[x, &weight, &bias], settings))
    }

    pub(super) fn linear(&mut self, linear: &Linear, x: &str) -> Result<String, ExportError> {
        let [weight, bias] = self.weight_and_bias(&linear.name)?;
        let weight = self.graph.node("Transpose", &[&weight], vec![ints("perm", &[1, 0])]);
        let product = self.graph.node("MatMul", &[x, &weight], vec![]);
        Ok(self.graph.node("Add", &[&product, &bias], vec![]))
    }

    fn weight_and_bias(&mut self, name: &str) -> Result<[String; 2], ExportError> {
        let weight = self.graph.weight(&format!("backbone.{name}.weight"))?;
        Ok([weight, self.graph.weight(&format!("backbone.{name}.bias"))?])
    }

    pub(super) fn conv(&mut self, conv: &Conv, x: &str) -> Result<String, ExportError> {
        let mut inputs = vec![x.to_owned(), self.graph.weight(&format!("backbone.{}.weight", conv.name))?];
        if conv.bias {
            inputs.push(self.graph.weight(&format!("backbone.{}.bias", conv.name))?);
        }
        let [before, after] = conv.padding.map(|zeros| zeros as i64);
        let settings = vec![
            ints("kernel_shape", &[conv.kernel as i64; 2]),
            ints("strides", &[conv.stride as i64; 2]),
            ints("pads", &[before, before, after, after]),
            int("group", conv.groups as i64),
        ];
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        Ok(self.graph.node("Conv", &inputs, settings))
    }

    fn conv_norm(&mut self, described: &ConvNorm, x: &str) -> Result<String, ExportError> {
        let ConvNorm { conv, norm, activation } = described;
        let mut inputs = vec![self.conv(conv, x)?];
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(self.graph.weight(&format!("backbone.{}.{tensor}", norm.name))?);
        }
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let y = self.graph.node("BatchNormalization", &inputs, vec![float("epsilon", norm.epsilon as f32)]);
        self.activation(*activation, y)
    }

    fn max_pool(&mut self, pool: MaxPool, x: &str) -> String {
        let [kernel, stride, padding] = [pool.kernel, pool.stride, pool.padding].map(|length| length as i64);
        let window =
            vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[padding; 4])];
        self.graph.node("MaxPool", &[x], window)
    }

    fn residual(&mut self, residual: &Residual, x: &str) -> Result<String, ExportError> {
        let mut y = self.layers(residual.path.iter(), x)?;
        if let Some(scale) = &residual.scale {
            let name = format!("backbone.{}", scale.weight.name);
            let scale_c11 = self.graph.take(&name)?.f_view([-1, 1, 1])?;
            let scale = self.graph.floats(&name, &scale_c11)?;
            y = self.graph.node("Mul", &[&y, &scale], vec![]);
        }
        let shortcut = match &residual.projection {
            Some(projection) => self.conv_norm(projection, x)?,
            None => x.to_owned(),
        };
        let sum = self.graph.node("Add", &[&y, &shortcut], vec![]);
        self.activation(residual.activation, sum)
    }

    fn squeeze_excitation(&mut self, squeeze: &SqueezeExcitation, x: &str) -> Result<String, ExportError> {
        let mean = self.graph.node("GlobalAveragePool", &[x], vec![]);
        let squeezed = self.conv(&squeeze.squeeze, &mean)?;
        let squeezed = self.activation(Some(Activation::Silu), squeezed)?;
        let excited = self.conv(&squeeze.excite, &squeezed)?;
        let weights = self.graph.node("Sigmoid", &[&excited], vec![]);
        Ok(self.graph.node("Mul", &[x, &weights], vec![]))
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
            Some(Activation::QuickGelu) => {
                let factor = self.graph.number(1.702)?;
                let scaled = self.graph.node("Mul", &[&x, &factor], vec![]);
                let sigmoid = self.graph.node("Sigmoid", &[&scaled], vec![]);
                self.graph.node("Mul", &[&x, &sigmoid], vec![])
            }
            Some(Activation::Gelu) => {
                let (root, one, half) =
                    (self.graph.number(0.5_f32.sqrt())?, self.graph.number(1.0)?, self.graph.number(0.5)?);
                let scaled = self.graph.node("Mul", &[&x, &root], vec![]);
                let error = self.graph.node("Erf", &[&scaled], vec![]);
                let doubled = self.graph.node("Add", &[&error, &one], vec![]);
                let product = self.graph.node("Mul", &[&x, &doubled], vec![]);
                self.graph.node("Mul", &[&product, &half], vec![])
            }
        })
    }
}
