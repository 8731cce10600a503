//! Vision Transformers (Dosovitskiy et al. 2021): the image encoders of CLIP (Radford et al. 2021) and DINOv2 (Oquab et
//! al. 2023), with the names and settings of Hugging Face transformers' `CLIPVisionModel` and `Dinov2Model`.

use super::description::{Description, Part, Pixels, Pooling};
use super::layer::{Activation, Attention, Conv, Embeddings, Layer, LayerNorm, Linear, Residual, Scale, Weight};
use super::resnet::PIXELS;

/// Channels between the two linear layers of a block, for each of its channels.
const EXPANSION: usize = 4;
/// Height and width of the images that their publishers evaluate them with.
const INPUT_SIDE: usize = 224;

/// How large a Vision Transformer is.
pub(super) struct Size {
    pub width: usize,
    pub blocks: usize,
    pub heads: usize,
    /// Height and width of a patch in pixels.
    pub patch_side: usize,
    /// Patches in a row of the images that the published positions belong to.
    pub positions_side: usize,
}

/// The image encoder of CLIP, without its projection to the space of texts.
pub(super) fn clip(size: &Size) -> Description {
    const EPSILON: f64 = 1e-5;
    let embeddings = Embeddings {
        patches: patches("embeddings.patch_embedding", size, false),
        class_token: weight("embeddings.class_embedding", &[size.width]),
        positions: weight("embeddings.position_embedding.weight", &[size.tokens(), size.width]),
        side: size.positions_side,
    };
    let block = |index: usize| {
        let name = |layer: &str| format!("encoder.layers.{index}.{layer}");
        let attention = ["q_proj", "k_proj", "v_proj", "out_proj"].map(|layer| name(&format!("self_attn.{layer}")));
        let mlp = ["mlp.fc1", "mlp.fc2"].map(name);
        let norms = ["layer_norm1", "layer_norm2"].map(|layer| norm(&name(layer), size.width, EPSILON));
        residuals(size, norms, attention, mlp, Activation::QuickGelu, [None, None])
    };
    Description {
        parts: parts(
            vec![Layer::Embeddings(embeddings), norm("pre_layrnorm", size.width, EPSILON)],
            size.blocks,
            block,
        ),
        pixels: Pixels {
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_55, 0.261_302_6, 0.275_777_1],
        },
        feature_norm: Some(LayerNorm { name: "post_layernorm".into(), width: size.width, epsilon: EPSILON }),
        ..around(size)
    }
}

/// DINOv2 without registers.
pub(super) fn dinov2(size: &Size) -> Description {
    const EPSILON: f64 = 1e-6;
    let embeddings = Embeddings {
        patches: patches("embeddings.patch_embeddings.projection", size, true),
        class_token: weight("embeddings.cls_token", &[1, 1, size.width]),
        positions: weight("embeddings.position_embeddings", &[1, size.tokens(), size.width]),
        side: size.positions_side,
    };
    let block = |index: usize| {
        let name = |layer: &str| format!("encoder.layer.{index}.{layer}");
        let attention = ["attention.query", "attention.key", "attention.value", "output.dense"]
            .map(|layer| name(&format!("attention.{layer}")));
        let mlp = ["mlp.fc1", "mlp.fc2"].map(name);
        let norms = ["norm1", "norm2"].map(|layer| norm(&name(layer), size.width, EPSILON));
        let scales = ["layer_scale1.lambda1", "layer_scale2.lambda1"]
            .map(|layer| Some(Scale { weight: weight(&name(layer), &[size.width]), initial: 1.0 }));
        residuals(size, norms, attention, mlp, Activation::Gelu, scales)
    };
    Description {
        parts: parts(vec![Layer::Embeddings(embeddings)], size.blocks, block),
        feature_norm: Some(LayerNorm { name: "layernorm".into(), width: size.width, epsilon: EPSILON }),
        ..around(size)
    }
}

impl Size {
    fn tokens(&self) -> usize {
        1 + self.positions_side.pow(2)
    }
}

/// What surrounds the parts; the parts themselves are empty.
fn around(size: &Size) -> Description {
    Description {
        parts: Vec::new(),
        pixels: PIXELS,
        input_side: INPUT_SIDE,
        features: size.width,
        pooling: Pooling::ClassToken,
        feature_norm: None,
        feature_dropout: 0.0,
        classifier: "classifier",
    }
}

/// The embeddings are a part, and each block is.
fn parts(stem: Vec<Layer>, blocks: usize, block: impl Fn(usize) -> Vec<Layer>) -> Vec<Part> {
    let stem = Part { name: "stem".into(), layers: stem };
    let blocks = (0..blocks).map(|index| Part { name: format!("block{}", index + 1), layers: block(index) });
    std::iter::once(stem).chain(blocks).collect()
}

/// The two residuals of a block: attention, and two linear layers.
fn residuals(
    size: &Size,
    [norm1, norm2]: [Layer; 2],
    [query, key, value, output]: [String; 4],
    [fc1, fc2]: [String; 2],
    activation: Activation,
    [scale1, scale2]: [Option<Scale>; 2],
) -> Vec<Layer> {
    let (width, wide) = (size.width, EXPANSION * size.width);
    let linear = |name: String, inputs: usize, outputs: usize| Linear { name, inputs, outputs };
    let attention = Attention {
        query: linear(query, width, width),
        key: linear(key, width, width),
        value: linear(value, width, width),
        output: linear(output, width, width),
        heads: size.heads,
    };
    let mlp = vec![
        norm2,
        Layer::Linear(linear(fc1, width, wide)),
        Layer::Activation(activation),
        Layer::Linear(linear(fc2, wide, width)),
    ];
    let residual = |path: Vec<Layer>, scale: Option<Scale>| {
        Layer::Residual(Residual { path, scale, projection: None, drop_probability: 0.0, activation: None })
    };
    vec![residual(vec![norm1, Layer::Attention(attention)], scale1), residual(mlp, scale2)]
}

fn patches(name: &str, size: &Size, bias: bool) -> Conv {
    let (kernel, stride) = (size.patch_side, size.patch_side);
    Conv { name: name.into(), inputs: 3, outputs: size.width, kernel, stride, padding: [0; 2], groups: 1, bias }
}

fn norm(name: &str, width: usize, epsilon: f64) -> Layer {
    Layer::LayerNorm(LayerNorm { name: name.into(), width, epsilon })
}

fn weight(name: &str, shape: &[usize]) -> Weight {
    Weight { name: name.into(), shape: shape.to_vec() }
}
