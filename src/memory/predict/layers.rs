//! Sizes of the layers of the network: their weights, and the elements that they keep for backward.
//!
//! The sizes follow from the description of the backbone and from PyTorch's LSTM and attention, not from a live model,
//! so that a configuration can be judged without building it. Which tensors are alive at the same time is decided in
//! `step.rs`.

use crate::backbone::{
    self, Activation, Attention, Conv, Description, Embeddings, Layer, LayerNorm, Linear, Plane, Pooling, Residual,
    SqueezeExcitation,
};
use crate::config::{FrozenParts, ModelConfig, Temporal};

/// A layer for one frame: a convolution with the batch norm and the activation behind it as one, or any other alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerSizes {
    /// Weights that are frozen with the filters.
    filters: u64,
    /// Channels of its norm.
    norm_channels: u64,
    /// Elements of its running statistics.
    buffers: u64,
    multiplications: u64,
    /// Part of the network. Activation checkpointing recomputes one part at a time.
    pub part: usize,
    /// Elements of the input.
    pub in_elements: u64,
    /// Elements of the input with zeros around it, where libtorch copies it to add them; else 0.
    pub padded_elements: u64,
    /// Elements that a residual holds meanwhile, beside the input.
    pub held_elements: u64,
    /// Elements of the output.
    pub out_elements: u64,
    /// Elements that it makes in a forward pass without gradients and that are alive together, the output among them.
    pub own_elements: u64,
    /// Elements that stay for backward.
    pub kept_elements: u64,
    /// Elements that stay for backward in float32, whatever the format.
    pub kept_float_elements: u64,
}

impl LayerSizes {
    /// `input_stays` says that the activation before keeps the input for backward, whatever the convolution keeps.
    fn conv_norm(
        described: &backbone::ConvNorm,
        part: usize,
        input: Plane,
        held_elements: u64,
        input_stays: bool,
    ) -> Self {
        let conv = Self::conv(&described.conv, part, input, held_elements);
        let Self { out_elements, padded_elements, .. } = conv;
        // Of SiLU and GELU, backward needs the input; the others work in place.
        let in_place = matches!(described.activation, None | Some(Activation::Relu | Activation::Relu6));
        let outputs_kept = if in_place { 2 } else { 3 };
        Self {
            norm_channels: described.conv.outputs as u64,
            buffers: 2 * described.conv.outputs as u64,
            own_elements: out_elements + out_elements.max(padded_elements),
            // The convolution's output, which is batch norm's input, and the normalised output, on which most activations
            // work in place. That is the next layer's input; where it is copied for its padding, the copy stays, too,
            // or in its place.
            kept_elements: outputs_kept * out_elements
                + if input_stays { padded_elements } else { padded_elements.saturating_sub(input.elements()) },
            ..conv
        }
    }

    /// A layer without weights that keeps its output for the layer behind it.
    fn plain(part: usize, input: Plane, output: Plane, held_elements: u64) -> Self {
        let out_elements = output.elements();
        Self {
            filters: 0,
            norm_channels: 0,
            buffers: 0,
            multiplications: 0,
            part,
            in_elements: input.elements(),
            padded_elements: 0,
            held_elements,
            out_elements,
            own_elements: out_elements,
            kept_elements: out_elements,
            kept_float_elements: 0,
        }
    }

    fn conv(described: &Conv, part: usize, input: Plane, held_elements: u64) -> Self {
        let [before, after] = described.padding;
        let zeros = before + after;
        let padded = Plane { height: input.height + zeros, width: input.width + zeros, ..input };
        let plain = Self::plain(part, input, described.output(input), held_elements);
        Self {
            filters: conv_weights(described),
            multiplications: plain.out_elements
                * (described.inputs / described.groups * described.kernel.pow(2)) as u64,
            padded_elements: if before == after { 0 } else { padded.elements() },
            ..plain
        }
    }

    fn layer_norm(described: &LayerNorm, part: usize, input: Plane, held_elements: u64) -> Self {
        Self { norm_channels: described.width as u64, ..Self::plain(part, input, input, held_elements) }
    }

    fn linear(described: &Linear, part: usize, input: Plane, held_elements: u64) -> Self {
        let plain = Self::plain(part, input, Plane { channels: described.outputs, ..input }, held_elements);
        let filters = ((described.inputs + 1) * described.outputs) as u64;
        Self { filters, multiplications: plain.out_elements * described.inputs as u64, ..plain }
    }

    fn activation(activation: Activation, part: usize, input: Plane, held_elements: u64) -> Self {
        let plain = Self::plain(part, input, input, held_elements);
        // QuickGELU scales a copy of its input, which stays in its place.
        let copies = if activation == Activation::QuickGelu { 2 } else { 1 };
        Self { own_elements: copies * plain.own_elements, ..plain }
    }

    /// The convolution's output, then that behind the class token, then the sum with the positions, which stays.
    fn embeddings(described: &Embeddings, part: usize, input: Plane) -> Self {
        let plain = Self::plain(part, input, described.output(input), 0);
        let own_weights = [&described.class_token, &described.positions].map(|weight| weight.shape.iter().product());
        let patches = described.patches.output(input).elements();
        let multiplications = patches * (described.patches.inputs * described.patches.kernel.pow(2)) as u64;
        let filters = conv_weights(&described.patches) + own_weights.iter().sum::<usize>() as u64;
        Self { filters, multiplications, own_elements: 2 * plain.out_elements, ..plain }
    }

    /// Queries, keys, values and the heads' means of the values stay, and the output.
    fn attention(described: &Attention, part: usize, input: Plane, held_elements: u64) -> Self {
        let Attention { query, key, value, output, .. } = described;
        let linears = [query, key, value, output].map(|linear| Self::linear(linear, part, input, 0));
        let products = 2 * (input.height * input.width).pow(2) * query.outputs;
        let of_linears = |number: fn(&Self) -> u64| linears.iter().map(number).sum::<u64>();
        let kept_elements = of_linears(|linear| linear.out_elements) + input.elements();
        Self {
            filters: of_linears(|linear| linear.filters),
            multiplications: of_linears(|linear| linear.multiplications) + products as u64,
            own_elements: kept_elements,
            kept_elements,
            ..Self::plain(part, input, input, held_elements)
        }
    }

    /// The scales of the channels of a path.
    fn scale(part: usize, input: Plane, held_elements: u64) -> Self {
        Self { filters: input.channels as u64, ..Self::plain(part, input, input, held_elements) }
    }

    /// It keeps its product; its input stays as the output of the layer before. What belongs to means is nothing.
    fn squeeze_excitation(described: &SqueezeExcitation, part: usize, input: Plane, held_elements: u64) -> Self {
        let SqueezeExcitation { squeeze, excite } = described;
        Self {
            filters: conv_weights(squeeze) + conv_weights(excite),
            multiplications: 2 * (squeeze.inputs * squeeze.outputs) as u64,
            ..Self::plain(part, input, input, held_elements)
        }
    }

    /// Parameters: filters and the like, and a norm's scale and shift.
    pub(super) fn parameters(&self) -> u64 {
        self.filters + 2 * self.norm_channels
    }

    fn learning_parameters(&self, frozen: &FrozenParts) -> u64 {
        let learns = |is_frozen: bool, count: u64| if is_frozen || frozen.parts[self.part] { 0 } else { count };
        learns(frozen.filters, self.filters) + learns(frozen.norms, 2 * self.norm_channels)
    }
}

/// Weights of a convolution, its bias included.
fn conv_weights(conv: &Conv) -> u64 {
    let filter = conv.inputs / conv.groups * conv.kernel.pow(2);
    (conv.outputs * (filter + usize::from(conv.bias))) as u64
}

/// A backbone, for one frame.
pub(super) struct BackboneSizes {
    /// Its layers but poolings, in the order of the forward pass.
    pub layers: Vec<LayerSizes>,
    /// Part and output elements of each max pooling.
    pub pools: Vec<(usize, u64)>,
    /// Elements of the input of each part.
    pub part_inputs: Vec<u64>,
    /// Features after pooling.
    pub feature_dim: u64,
    frozen: FrozenParts,
    /// Whether sums of residuals are in float32 in any format, as positions are.
    sums_are_float: bool,
}

impl BackboneSizes {
    pub(super) fn new(description: &Description, frozen: FrozenParts, frame_size: [usize; 2]) -> Self {
        let mut sizes = Self {
            layers: Vec::new(),
            pools: Vec::new(),
            part_inputs: Vec::new(),
            feature_dim: description.features as u64,
            frozen,
            sums_are_float: description.pooling == Pooling::ClassToken,
        };
        let mut plane = Plane::image(frame_size);
        for (part, described) in description.parts.iter().enumerate() {
            sizes.part_inputs.push(plane.elements());
            plane = sizes.add(&described.layers, part, plane, None);
        }
        if let Some(norm) = &description.feature_norm {
            let pooled = Plane { height: 1, width: 1, ..plane };
            sizes.layers.push(LayerSizes::layer_norm(norm, description.parts.len() - 1, pooled, 0));
        }
        // Nothing of the parts before the first that learns is needed in backward.
        let first = sizes.first_trainable();
        sizes.pools.retain(|(part, _)| *part >= first);
        for layer in sizes.layers.iter_mut().filter(|layer| layer.part < first) {
            (layer.kept_elements, layer.kept_float_elements) = (0, 0);
        }
        sizes
    }

    /// The first part of which something learns.
    pub(super) fn first_trainable(&self) -> usize {
        self.frozen.first_trainable
    }

    fn filters_learn(&self, part: usize) -> bool {
        !self.frozen.filters && !self.frozen.parts[part]
    }

    /// Adds layers, and returns the size of the last one's output. `held` is the input of a residual around them.
    fn add(&mut self, layers: &[Layer], part: usize, mut plane: Plane, held: Option<Plane>) -> Plane {
        let mut input_stays = false;
        for (index, layer) in layers.iter().enumerate() {
            // The first layer's own input is what the residual holds.
            let held_elements = held.filter(|_| index > 0).map_or(0, Plane::elements);
            match layer {
                Layer::ConvNorm(conv) => {
                    self.layers.push(LayerSizes::conv_norm(conv, part, plane, held_elements, input_stays));
                }
                Layer::Conv(conv) => self.layers.push(LayerSizes::conv(conv, part, plane, held_elements)),
                Layer::LayerNorm(norm) => {
                    self.layers.push(LayerSizes::layer_norm(norm, part, plane, held_elements));
                }
                Layer::Linear(linear) => self.layers.push(LayerSizes::linear(linear, part, plane, held_elements)),
                Layer::Activation(activation) => {
                    self.layers.push(LayerSizes::activation(*activation, part, plane, held_elements));
                }
                Layer::MaxPool(pool) => self.pools.push((part, pool.output(plane).elements())),
                Layer::Residual(residual) => self.add_residual(residual, part, plane),
                Layer::SqueezeExcitation(squeeze) => {
                    self.layers.push(LayerSizes::squeeze_excitation(squeeze, part, plane, held_elements));
                }
                Layer::Embeddings(embeddings) => self.layers.push(LayerSizes::embeddings(embeddings, part, plane)),
                Layer::Attention(attention) => {
                    self.layers.push(LayerSizes::attention(attention, part, plane, held_elements));
                }
            }
            // Of its input, a linear layer needs nothing in backward where its weights do not learn.
            let is_read = !matches!(layers.get(index + 1), Some(Layer::Linear(_) | Layer::Attention(_)));
            let may_go = matches!(layer, Layer::LayerNorm(_) | Layer::Activation(_));
            if may_go && !is_read && !self.filters_learn(part) {
                self.forget_output();
            }
            input_stays = matches!(layer, Layer::ConvNorm(conv) if conv.activation.is_some());
            plane = layer.output(plane);
        }
        plane
    }

    fn add_residual(&mut self, residual: &Residual, part: usize, plane: Plane) {
        let output = self.add(&residual.path, part, plane, Some(plane));
        if residual.scale.is_some() {
            if !self.filters_learn(part) {
                self.forget_output();
            }
            self.layers.push(LayerSizes::scale(part, output, plane.elements()));
        }
        if self.sums_are_float {
            self.forget_output();
            self.layers.iter_mut().last().into_iter().for_each(|layer| layer.kept_float_elements += layer.out_elements);
        }
        if let Some(projection) = &residual.projection {
            let conv = LayerSizes::conv_norm(projection, part, plane, output.elements(), false);
            // Its normalised output is added to that of the path, and does not stay.
            self.layers.push(LayerSizes { kept_elements: conv.out_elements, ..conv });
        }
    }

    /// The output of the last layer does not stay for backward.
    fn forget_output(&mut self) {
        self.layers.iter_mut().last().into_iter().for_each(|layer| layer.kept_elements -= layer.out_elements);
    }

    /// Parameters: filters, and batch norm's scales and shifts.
    pub(super) fn parameters(&self) -> u64 {
        self.layers.iter().map(LayerSizes::parameters).sum()
    }

    /// Multiplications of the layers in a forward pass of one frame.
    pub(super) fn multiplications(&self) -> u64 {
        self.layers.iter().map(|layer| layer.multiplications).sum()
    }

    /// Elements of the running means and variances of all batch norms.
    pub(super) fn buffers(&self) -> u64 {
        self.layers.iter().map(|layer| layer.buffers).sum()
    }
}

/// The head, which turns T feature vectors into one score.
pub(super) struct Head {
    parameters: u64,
    /// Parameters of the LSTM, which `parameters` includes.
    pub lstm_parameters: u64,
    /// Elements of the gates of one of its layers, in both directions, for one clip.
    pub gate_elements: u64,
    /// Elements that stay for backward, for one clip.
    pub kept_elements: u64,
}

impl Head {
    pub(super) fn new(model: &ModelConfig, feature_dim: u64, frames: u64) -> Self {
        match model.temporal {
            Temporal::Mean => {
                let kept_elements = frames * (feature_dim + 1);
                Self { parameters: feature_dim + 1, lstm_parameters: 0, gate_elements: 0, kept_elements }
            }
            Temporal::LstmAttention => Self::lstm_attention(model, feature_dim, frames),
        }
    }

    fn lstm_attention(model: &ModelConfig, feature_dim: u64, frames: u64) -> Self {
        let hidden = model.hidden_dim as u64;
        let width = 2 * hidden;
        let (mut parameters, mut kept_elements) = (0, 0);
        let mut input = feature_dim;
        for _ in 0..model.num_layers {
            // Four gates, with PyTorch's two biases, in two directions.
            parameters += 2 * 4 * hidden * (input + hidden + 2);
            // Each direction keeps its gates, cell state, the cell's tanh and its output; dropout keeps a copy.
            kept_elements += frames * (input + 2 * 7 * hidden + width);
            input = width;
        }
        let lstm_parameters = parameters;
        if model.use_attention {
            parameters += 3 * width * (width + 1) + width * (width + 1) + 2 * width;
            // Attention keeps queries, keys, values, context, sum and norm, and the scores before and after softmax and
            // dropout.
            kept_elements += frames * 6 * width + 3 * model.attention_heads as u64 * frames * frames;
        }
        input = width;
        kept_elements += width;
        for output in model.classifier_widths().into_iter().map(|output| output as u64) {
            parameters += output * (input + 1);
            // What the ReLU makes, and dropout's mask and product.
            kept_elements += if output > 1 { 3 * output } else { 0 };
            input = output;
        }
        Self { parameters, lstm_parameters, gate_elements: frames * 2 * 4 * hidden, kept_elements }
    }
}

/// Backbone and head of the network, for clips of `frames` frames of height and width `frame_size`.
pub(super) fn network(model: &ModelConfig, frames: usize, frame_size: [usize; 2]) -> (BackboneSizes, Head) {
    let frozen = model.freeze.of(model.backbone);
    let backbone = BackboneSizes::new(model.backbone.description(), frozen, frame_size);
    let head = Head::new(model, backbone.feature_dim, frames as u64);
    (backbone, head)
}

/// The network for its numbers of parameters, which neither the picture's size nor the clip's length changes.
fn network_of_any_size(model: &ModelConfig) -> (BackboneSizes, Head) {
    network(model, 1, [224; 2])
}

/// Number of parameters of the whole detector, frozen ones included.
#[must_use]
pub fn parameter_count(model: &ModelConfig) -> u64 {
    let (backbone, head) = network_of_any_size(model);
    backbone.parameters() + head.parameters
}

/// Number of parameters that learn, and so have gradients and moments.
#[must_use]
pub fn learning_parameter_count(model: &ModelConfig) -> u64 {
    let (backbone, head) = network_of_any_size(model);
    let frozen = model.freeze.of(model.backbone);
    backbone.layers.iter().map(|layer| layer.learning_parameters(&frozen)).sum::<u64>() + head.parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Backbone;
    use crate::config::Freeze;

    fn sizes(backbone: Backbone, frame_size: [usize; 2]) -> BackboneSizes {
        BackboneSizes::new(backbone.description(), Freeze::default().of(backbone), frame_size)
    }

    fn model(backbone: Backbone, temporal: Temporal) -> ModelConfig {
        ModelConfig { backbone, temporal, ..ModelConfig::default() }
    }

    /// torchvision's published counts, and those of the package efficientnet-lite-pytorch, less the 1000-way
    /// classifier.
    #[test]
    fn backbones_have_the_published_parameter_counts() {
        for (backbone, published, features) in [
            (Backbone::Resnet18, 11_689_512, 512),
            (Backbone::Resnet34, 21_797_672, 512),
            (Backbone::Resnet50, 25_557_032, 2048),
            (Backbone::Resnet101, 44_549_160, 2048),
            (Backbone::EfficientnetLite0, 4_652_008, 1280),
            (Backbone::EfficientnetLite1, 5_416_680, 1280),
            (Backbone::EfficientnetLite2, 6_092_072, 1280),
            (Backbone::EfficientnetB0, 5_288_548, 1280),
            (Backbone::EfficientnetB4, 19_341_616, 1792),
            (Backbone::TfEfficientnetB4, 19_341_616, 1792),
            (Backbone::DeepfakebenchEfficientnetB4, 19_341_616, 1792),
            (Backbone::ConvnextTiny, 28_589_128, 768),
        ] {
            let classifier = 1000 * features + 1000;
            let head = features + 1;
            let counted = parameter_count(&model(backbone, Temporal::Mean));
            assert_eq!(counted, published - classifier + head, "{backbone:?}");
        }
        // timm's published count.
        assert_eq!(parameter_count(&model(Backbone::Xception, Temporal::Mean)), 22_855_952 - 2_049_000 + 2_049);
        // Counted by PyTorch for transformers' `CLIPVisionModel` and `Dinov2Model`, these less the mask token.
        for (backbone, published, features) in [
            (Backbone::VitB16Clip, 85_799_424, 768),
            (Backbone::VitL14Clip, 303_179_776, 1024),
            (Backbone::Dinov2Vits14, 22_056_576 - 384, 384),
            (Backbone::Dinov2Vitb14, 86_580_480 - 768, 768),
            (Backbone::Dinov2Vitl14, 304_368_640 - 1024, 1024),
        ] {
            assert_eq!(parameter_count(&model(backbone, Temporal::Mean)), published + features + 1, "{backbone:?}");
        }
    }

    /// torchvision's published counts, in billions, which include the 2 or 0.5 million of the last layer.
    #[test]
    fn backbones_multiply_as_often_as_published() {
        for (backbone, side, billions) in [
            (Backbone::Resnet18, 224, 1.81),
            (Backbone::Resnet34, 224, 3.66),
            (Backbone::Resnet50, 224, 4.09),
            (Backbone::Resnet101, 224, 7.80),
            (Backbone::EfficientnetB0, 224, 0.386),
            (Backbone::EfficientnetB4, 380, 4.394),
            (Backbone::ConvnextTiny, 224, 4.456),
            // By hand: 12 x (12 x 768^2 x 197 + 2 x 197^2 x 768) + 196 x 768^2.
            (Backbone::VitB16Clip, 224, 17.56),
        ] {
            let counted = sizes(backbone, [side, side]).multiplications() as f64 / 1e9;
            assert!((counted - billions).abs() < 0.01, "{backbone:?}: {counted}");
        }
    }

    /// Counted by PyTorch itself for the same modules on a ResNet-18 and a ResNet-50.
    #[test]
    fn the_head_has_pytorchs_parameter_counts() {
        let small =
            ModelConfig { hidden_dim: 256, attention_heads: 4, ..model(Backbone::Resnet18, Temporal::LstmAttention) };
        assert_eq!(parameter_count(&small), 15_513_665);
        assert_eq!(parameter_count(&model(Backbone::Resnet50, Temporal::LstmAttention)), 45_027_393);
        let plain = ModelConfig { use_attention: false, num_layers: 1, ..small };
        assert_eq!(parameter_count(&plain), 12_885_057);
        // Of Linear(512, 256), Linear(256, 1): 131,585. Of Linear(512, 64), Linear(64, 8), Linear(8, 1): 33,361.
        let deeper = ModelConfig { classifier_layers: Some(vec![64, 8, 1]), ..plain };
        assert_eq!(parameter_count(&deeper), 12_885_057 - 131_585 + 33_361);
    }

    #[test]
    fn planes_shrink_as_in_torchvision() {
        let resnet = sizes(Backbone::Resnet50, [224, 224]);
        assert_eq!(resnet.layers.len(), 53);
        assert_eq!(resnet.layers[0].out_elements, 64 * 112 * 112);
        assert_eq!(resnet.pools, [(0, 64 * 56 * 56)]);
        assert_eq!(resnet.layers.last().map(|layer| layer.out_elements), Some(2048 * 7 * 7));
        let odd = sizes(Backbone::Resnet18, [45, 33]);
        assert_eq!(odd.layers[0].out_elements, 64 * 23 * 17);
        assert_eq!(odd.pools, [(0, 64 * 12 * 9)]);
        assert_eq!(odd.layers.last().map(|layer| layer.out_elements), Some(512 * 2 * 2));
    }
}
