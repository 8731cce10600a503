//! The layers that a description is made of. Only data.

use super::plane::{CellGrid, Plane};

/// A layer, or several that belong together.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Convolution, batch norm, activation.
    ConvNorm(ConvNorm),
    /// A convolution alone.
    Conv(Conv),
    /// Layer norm over the channels of each cell.
    LayerNorm(LayerNorm),
    /// A linear layer over the channels of each cell.
    Linear(Linear),
    /// An activation that leaves its input as it is.
    Activation(Activation),
    /// Max pooling.
    MaxPool(MaxPool),
    /// A path and its shortcut.
    Residual(Residual),
    /// Weights of the channels, from their means.
    SqueezeExcitation(SqueezeExcitation),
    /// From an image to the tokens of a Vision Transformer.
    Embeddings(Embeddings),
    /// Attention between the cells.
    Attention(Attention),
}

/// A convolution without bias, its batch norm, and an activation or none.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: Conv,
    /// The batch norm.
    pub norm: BatchNorm,
    /// What follows the batch norm.
    pub activation: Option<Activation>,
}

/// A convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Name in files of published weights.
    pub name: String,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the filters.
    pub kernel: usize,
    /// Step between two outputs.
    pub stride: usize,
    /// Rows (columns) of zeros before the first and after the last.
    pub padding: [usize; 2],
    /// Groups of channels: 1, or as many as there are channels (depthwise).
    pub groups: usize,
    /// Whether it adds a bias.
    pub bias: bool,
}

/// Batch normalisation, in PyTorch's meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// Name in files of published weights.
    pub name: String,
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of the batch's statistics in the update of the running ones.
    pub momentum: f64,
}

/// Layer normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// Name in files of published weights.
    pub name: String,
    /// Channels.
    pub width: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

/// `y = x W^T + b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Name in files of published weights.
    pub name: String,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
}

/// Max pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Height and width of the window.
    pub kernel: usize,
    /// Step between two outputs.
    pub stride: usize,
    /// Padding on each side.
    pub padding: usize,
}

/// `activation(scale * path(x) + shortcut(x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// Layers of the path.
    pub path: Vec<Layer>,
    /// A scale of each channel (layer scale, Touvron et al. 2021).
    pub scale: Option<Scale>,
    /// A projection of the input; `None` is the input itself.
    pub projection: Option<ConvNorm>,
    /// Probability that the path of a sample is left out in training (stochastic depth, Huang et al. 2016).
    pub drop_probability: f64,
    /// What follows the sum.
    pub activation: Option<Activation>,
}

/// A scale of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Name and shape; it has as many values as there are channels.
    pub weight: Weight,
    /// What it starts with.
    pub initial: f64,
}

/// A tensor that is no layer's weight or bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// Name in files of published weights.
    pub name: String,
    /// Shape there.
    pub shape: Vec<usize>,
}

/// `x * sigmoid(excite(silu(squeeze(mean of x))))`, the mean being over height and width (Hu et al. 2018).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqueezeExcitation {
    /// To fewer channels.
    pub squeeze: Conv,
    /// Back to all channels.
    pub excite: Conv,
}

/// Patches of the image behind a class token, each with its position (Dosovitskiy et al. 2021): tokens `[N, C, T, 1]`,
/// which are a column of cells to the layers behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embeddings {
    /// The convolution that makes a token of each patch; its kernel and its stride are the side of a patch.
    pub patches: Conv,
    /// The class token, C values.
    pub class_token: Weight,
    /// The positions, `[1 + side * side, C]` but for dimensions of size 1: that of the class token, then those of the
    /// patches along rows.
    pub positions: Weight,
    /// Rows and columns of the patches' positions. Images with other numbers of patches take interpolated positions.
    pub side: usize,
}

/// Multi-head attention of the cells to each other (Vaswani et al. 2017).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// Queries from the input.
    pub query: Linear,
    /// Keys from the input.
    pub key: Linear,
    /// Values from the input.
    pub value: Linear,
    /// The output, from all heads' means of the values.
    pub output: Linear,
    /// Heads, which share the channels.
    pub heads: usize,
}

/// A function of single numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * P(X < x)` for X of a standard normal distribution.
    Gelu,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
}

impl Layer {
    /// The size of its output.
    #[must_use]
    pub fn output(&self, input: Plane) -> Plane {
        match self {
            Self::ConvNorm(ConvNorm { conv, .. }) | Self::Conv(conv) => conv.output(input),
            Self::Linear(linear) => Plane { channels: linear.outputs, ..input },
            Self::Embeddings(embeddings) => embeddings.output(input),
            Self::MaxPool(pool) => pool.output(input),
            Self::Residual(residual) => residual.path.iter().fold(input, |plane, layer| layer.output(plane)),
            Self::LayerNorm(_) | Self::Activation(_) | Self::SqueezeExcitation(_) | Self::Attention(_) => input,
        }
    }

    pub(super) fn move_grid(&self, grid: &mut CellGrid) {
        match self {
            Self::ConvNorm(ConvNorm { conv, .. }) | Self::Conv(conv) => {
                grid.window(conv.kernel, conv.stride, conv.padding[0]);
            }
            Self::MaxPool(pool) => grid.window(pool.kernel, pool.stride, pool.padding),
            Self::Residual(residual) => residual.path.iter().for_each(|layer| layer.move_grid(grid)),
            Self::Embeddings(Embeddings { patches, .. }) => {
                grid.window(patches.kernel, patches.stride, patches.padding[0]);
            }
            Self::LayerNorm(_)
            | Self::Linear(_)
            | Self::Activation(_)
            | Self::SqueezeExcitation(_)
            | Self::Attention(_) => {}
        }
    }

    pub(super) fn has_norms(&self) -> bool {
        match self {
            Self::ConvNorm(_) | Self::LayerNorm(_) => true,
            Self::Residual(residual) => residual.projection.is_some() || residual.path.iter().any(Self::has_norms),
            _ => false,
        }
    }

    pub(super) fn batch_norm(&self) -> Option<&BatchNorm> {
        match self {
            Self::ConvNorm(ConvNorm { norm, .. }) => Some(norm),
            Self::Residual(residual) => residual.path.iter().find_map(Self::batch_norm),
            _ => None,
        }
    }
}

impl Conv {
    /// A 1x1 convolution with a bias.
    pub(super) fn pointwise(name: String, inputs: usize, outputs: usize) -> Self {
        Self { name, inputs, outputs, kernel: 1, stride: 1, padding: [0; 2], groups: 1, bias: true }
    }

    /// The size of its output.
    #[must_use]
    pub fn output(&self, input: Plane) -> Plane {
        input.window(self.kernel, self.stride, self.padding, self.outputs)
    }
}

impl Embeddings {
    /// The size of its output.
    #[must_use]
    pub fn output(&self, input: Plane) -> Plane {
        let Plane { channels, height, width } = self.patches.output(input);
        Plane { channels, height: 1 + height * width, width: 1 }
    }
}

impl MaxPool {
    /// The size of its output.
    #[must_use]
    pub fn output(&self, input: Plane) -> Plane {
        input.window(self.kernel, self.stride, [self.padding; 2], input.channels)
    }
}
