//! The backbone as tensors and forward passes: one feature vector per frame. What it is made of comes from its
//! description (room `backbone`). Knows nothing of clips. `detector.rs` normalises the pixels.

use std::cell::Cell;
use std::ops::Range;

use tch::Tensor;

use super::draws::scale_in_place;
use super::layers::{BatchNorm, Conv, LayerNorm, Linear, SqueezeExcitation, activated, over_channels};
use super::mode::Mode;
use super::parameters::{Init, Scope};
use super::tokens::{Attention, Embeddings};
use crate::backbone::{self, Activation, CellGrid, Description, Pooling};
use crate::config::FrozenParts;
use crate::torch::{self, Result};

/// A convolution, its batch norm and its activation.
#[derive(Debug)]
struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
    activation: Option<Activation>,
}

/// A path, its shortcut and its activation.
#[derive(Debug)]
struct Residual {
    path: Vec<Layer>,
    /// One value a channel.
    scale: Option<Tensor>,
    projection: Option<ConvNorm>,
    drop_probability: f64,
    /// Its number among the residuals, for [`Draws`](super::draws::Draws).
    number: usize,
    activation: Option<Activation>,
}

#[derive(Debug)]
enum Layer {
    ConvNorm(ConvNorm),
    Conv(Conv),
    LayerNorm(LayerNorm),
    Linear(Linear),
    Activation(Activation),
    MaxPool(backbone::MaxPool),
    Residual(Residual),
    SqueezeExcitation(SqueezeExcitation),
    Embeddings(Embeddings),
    Attention(Attention),
}

/// The backbone: `[N, 3, H, W]` to `[N, features]`.
#[derive(Debug)]
pub(super) struct BackboneNetwork {
    parts: Vec<Vec<Layer>>,
    /// Width of the feature vector.
    pub features: i64,
    /// The first part that is not frozen; the number of parts where all are.
    pub first_trainable: usize,
    /// Where the cells of the last feature maps lie.
    pub cell_grid: CellGrid,
    pooling: Pooling,
    feature_norm: Option<LayerNorm>,
    feature_dropout: f64,
    residuals: usize,
    seen: SeenShapes,
}

/// The number of images of the last training pass through each part. Batches and the guard's pieces come in many
/// numbers: the last batch has fewer, and evaluation has others.
#[derive(Debug)]
struct SeenShapes(Vec<Cell<i64>>);

impl SeenShapes {
    /// Whether the last training pass from this part on had as many images.
    fn repeats(&self, part: usize, images: i64, mode: Mode) -> bool {
        mode.is_training() && self.0[part].replace(images) == images
    }
}

/// Makes the tensors of one part.
struct Builder<'s, 'p> {
    scope: &'s mut Scope<'p>,
    filters_frozen: bool,
    norms_frozen: bool,
    residuals: &'s mut usize,
}

impl Builder<'_, '_> {
    fn layer(&mut self, layer: &backbone::Layer) -> Result<Layer> {
        Ok(match layer {
            backbone::Layer::ConvNorm(conv) => Layer::ConvNorm(self.conv_norm(conv)?),
            backbone::Layer::Conv(conv) => Layer::Conv(self.conv(conv)?),
            backbone::Layer::LayerNorm(norm) => Layer::LayerNorm(self.layer_norm(norm)?),
            backbone::Layer::Linear(backbone::Linear { name, inputs, outputs }) => {
                let scope = self.scope.freeze(self.filters_frozen);
                Layer::Linear(Linear::new(scope, name, *inputs as i64, *outputs as i64)?)
            }
            backbone::Layer::Activation(activation) => Layer::Activation(*activation),
            backbone::Layer::MaxPool(pool) => Layer::MaxPool(*pool),
            backbone::Layer::Residual(residual) => Layer::Residual(self.residual(residual)?),
            backbone::Layer::SqueezeExcitation(backbone::SqueezeExcitation { squeeze, excite }) => {
                Layer::SqueezeExcitation(SqueezeExcitation { squeeze: self.conv(squeeze)?, excite: self.conv(excite)? })
            }
            backbone::Layer::Embeddings(embeddings) => {
                Layer::Embeddings(Embeddings::new(self.scope.freeze(self.filters_frozen), embeddings)?)
            }
            backbone::Layer::Attention(attention) => {
                Layer::Attention(Attention::new(self.scope.freeze(self.filters_frozen), attention)?)
            }
        })
    }

    fn conv_norm(&mut self, described: &backbone::ConvNorm) -> Result<ConvNorm> {
        let conv = self.conv(&described.conv)?;
        let scope = &mut self.scope.part(&described.norm.name);
        let channels = described.conv.outputs as i64;
        let norm = BatchNorm::new(scope.freeze(self.norms_frozen), channels, &described.norm)?;
        Ok(ConvNorm { conv, norm, activation: described.activation })
    }

    fn conv(&mut self, described: &backbone::Conv) -> Result<Conv> {
        Conv::new(self.scope.part(&described.name).freeze(self.filters_frozen), described)
    }

    fn layer_norm(&mut self, described: &backbone::LayerNorm) -> Result<LayerNorm> {
        LayerNorm::new(self.scope.freeze(self.norms_frozen), described)
    }

    fn residual(&mut self, described: &backbone::Residual) -> Result<Residual> {
        let number = *self.residuals;
        *self.residuals += 1;
        // First, as in PyTorch, where a module's own weights come before those of its parts.
        let scale = described.scale.as_ref().map(|scale| self.scale(scale)).transpose()?;
        let path = described.path.iter().map(|layer| self.layer(layer)).collect::<Result<_>>()?;
        let projection = described.projection.as_ref().map(|conv| self.conv_norm(conv)).transpose()?;
        let (drop_probability, activation) = (described.drop_probability, described.activation);
        Ok(Residual { path, scale, projection, drop_probability, number, activation })
    }

    fn scale(&mut self, backbone::Scale { weight, initial }: &backbone::Scale) -> Result<Tensor> {
        let shape: Vec<_> = weight.shape.iter().map(|size| *size as i64).collect();
        self.scope.freeze(self.filters_frozen).weight(&weight.name, &shape, Init::Constant(*initial))
    }
}

impl BackboneNetwork {
    pub fn new(scope: &mut Scope, description: &Description, frozen: &FrozenParts) -> Result<Self> {
        let mut residuals = 0;
        let (mut parts, mut feature_norm) = (Vec::new(), None);
        for (index, (part, is_frozen)) in description.parts.iter().zip(&frozen.parts).enumerate() {
            let mut builder = Builder {
                scope: &mut scope.backbone_part(index),
                filters_frozen: *is_frozen || frozen.filters,
                norms_frozen: *is_frozen || frozen.norms,
                residuals: &mut residuals,
            };
            parts.push(part.layers.iter().map(|layer| builder.layer(layer)).collect::<Result<_>>()?);
            if index + 1 == description.parts.len() {
                feature_norm = description.feature_norm.as_ref().map(|norm| builder.layer_norm(norm)).transpose()?;
            }
        }
        Ok(Self {
            seen: SeenShapes(vec![Cell::new(0); parts.len()]),
            parts,
            features: description.features as i64,
            first_trainable: frozen.first_trainable,
            cell_grid: description.cell_grid(),
            pooling: description.pooling,
            feature_norm,
            feature_dropout: description.feature_dropout,
            residuals,
        })
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Runs some of the parts: `x` is the input of the first, the result is the output of the last. That of the very
    /// last are features, that of the others feature maps.
    pub fn forward_parts(&self, parts: Range<usize>, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let ends = parts.end == self.parts();
        let y = self.maps(parts, x, mode)?;
        if ends { self.drop_features(self.pool(&y)?, mode) } else { Ok(y) }
    }

    /// Pooling and the norm behind it: the last part's output `[N, F, h, w]` to features `[N, F]`.
    fn pool(&self, x_nchw: &Tensor) -> Result<Tensor> {
        let pooled_nf = match self.pooling {
            Pooling::Average => x_nchw.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?,
            Pooling::ClassToken => x_nchw.f_select(2, 0)?.f_flatten(1, -1)?,
        };
        self.feature_norm.as_ref().map_or(Ok(pooled_nf.shallow_clone()), |norm| norm.forward(&pooled_nf))
    }

    /// The last maps `[N, F, h, w]` of which each cell has a part in the features: the last part's output. In that of a
    /// Vision Transformer only the class token has, so its maps are the last block's input, `[N, F, T, 1]`.
    pub fn feature_maps(&self, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        self.maps(0..self.mapped_parts(), images_nchw, mode)
    }

    /// Features `[N, F]` of [`Self::feature_maps`].
    pub fn features_of_maps(&self, maps_nfhw: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_parts(self.mapped_parts()..self.parts(), maps_nfhw, mode)
    }

    fn mapped_parts(&self) -> usize {
        match self.pooling {
            Pooling::Average => self.parts(),
            Pooling::ClassToken => self.parts() - 1,
        }
    }

    /// The cells `[N, F, h, w]` over images of this height and width in maps: all of them, or those of the patches.
    pub fn cells(&self, maps_nfhw: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
        match self.pooling {
            Pooling::Average => Ok(maps_nfhw.shallow_clone()),
            Pooling::ClassToken => {
                let [rows, columns] = [height, width].map(|side| side / self.cell_grid.step);
                maps_nfhw.f_narrow(2, 1, rows * columns)?.f_unflatten(2, [rows, columns])?.f_squeeze_dim(4)
            }
        }
    }

    fn maps(&self, parts: Range<usize>, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if parts.is_empty() {
            return Ok(x.shallow_clone());
        }
        torch::repeats_shape(self.seen.repeats(parts.start, x.size()[0], mode));
        run(self.parts[parts].iter().flatten(), x, mode)
    }

    fn drop_features(&self, mut features_nf: Tensor, mode: Mode) -> Result<Tensor> {
        match mode.draws() {
            Some(draws) if self.feature_dropout > 0.0 => {
                let shape = [features_nf.size()[0], self.features];
                let factors_nf = draws.factors(self.residuals, shape, self.feature_dropout)?;
                scale_in_place(&mut features_nf, &factors_nf)
            }
            _ => Ok(features_nf),
        }
    }
}

/// Runs layers one after the other.
fn run<'l>(layers: impl Iterator<Item = &'l Layer>, x: &Tensor, mode: Mode) -> Result<Tensor> {
    let mut y = x.shallow_clone();
    for layer in layers {
        y = layer.forward(&y, mode)?;
    }
    Ok(y)
}

impl Layer {
    fn forward(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::ConvNorm(conv) => conv.forward(x_nchw, mode),
            Self::Conv(conv) => conv.forward(x_nchw),
            Self::LayerNorm(norm) => over_channels(x_nchw, |x_nhwc| norm.forward(x_nhwc)),
            Self::Linear(linear) => over_channels(x_nchw, |x_nhwc| linear.forward(x_nhwc)),
            Self::Activation(activation) => activated(x_nchw, *activation),
            Self::MaxPool(backbone::MaxPool { kernel, stride, padding }) => {
                let [kernel, stride, padding] = [kernel, stride, padding].map(|&length| [length as i64; 2]);
                x_nchw.f_max_pool2d(kernel, stride, padding, [1, 1], false)
            }
            Self::Residual(residual) => residual.forward(x_nchw, mode),
            Self::SqueezeExcitation(squeeze) => squeeze.forward(x_nchw),
            Self::Embeddings(embeddings) => embeddings.forward(x_nchw),
            Self::Attention(attention) => over_channels(x_nchw, |x_nhwc| attention.forward(x_nhwc)),
        }
    }
}

impl ConvNorm {
    fn forward(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        // Without a graph, the convolution's output is free before the activation makes another tensor.
        let normalized_nchw = {
            let y_nchw = self.conv.forward(x_nchw)?;
            self.norm.forward(&y_nchw, mode)?
        };
        activate(normalized_nchw, self.activation)
    }
}

impl Residual {
    fn forward(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut y_nchw = run(self.path.iter(), x_nchw, mode)?;
        if let Some(scale) = &self.scale {
            y_nchw = y_nchw.f_mul(&scale.f_view([-1, 1, 1])?)?;
        }
        if let Some(draws) = mode.draws().filter(|_| self.drop_probability > 0.0) {
            let factors_n1 = draws.factors(self.number, [x_nchw.size()[0], 1], self.drop_probability)?;
            y_nchw = scale_in_place(&mut y_nchw, &factors_n1.f_view([-1, 1, 1, 1])?)?;
        }
        let shortcut_nchw = match &self.projection {
            Some(projection) => projection.forward(x_nchw, mode)?,
            None => x_nchw.shallow_clone(),
        };
        // A shortcut in float32 stays in float32: sums over the blocks of a Vision Transformer need it.
        let in_place = y_nchw.kind() == shortcut_nchw.kind();
        let sum_nchw = if in_place { y_nchw.f_add_(&shortcut_nchw)? } else { y_nchw.f_add(&shortcut_nchw)? };
        activate(sum_nchw, self.activation)
    }
}

/// Works in place where backward needs only the result.
fn activate(mut x: Tensor, activation: Option<Activation>) -> Result<Tensor> {
    match activation {
        Some(Activation::Relu) => x.f_relu_(),
        Some(Activation::Relu6) => torch::relu6(x),
        Some(activation) => activated(&x, activation),
        None => Ok(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::draws::Draws;

    #[test]
    fn algorithms_are_timed_for_numbers_of_images_that_come_again_in_training() {
        let seen = SeenShapes(vec![Cell::new(0); 2]);
        let train = Mode::Train(Draws::default());
        let pass = |part, images, mode| seen.repeats(part, images, mode);
        assert_eq!([8, 8, 4, 8, 8].map(|images| pass(0, images, train)), [false, true, false, false, true]);
        assert!(!pass(0, 8, Mode::Evaluate) && !pass(0, 5, Mode::Evaluate), "evaluation");
        assert!(pass(0, 8, train), "evaluation between them changes nothing");
        assert!(!pass(1, 8, train) && pass(1, 8, train.recompute()), "another part has other shapes");
    }
}
