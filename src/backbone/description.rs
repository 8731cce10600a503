//! The parts of a description: layers, residual branches, and what surrounds them. Only data; architectures are in
//! a file for each family.

use super::plane::{CellGrid, Plane};

/// A network from normalised images `[N, 3, H, W]` to features `[N, F]`: its parts one after the other, then global
/// average pooling and dropout.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The units of freezing and of activation checkpointing, from the image on.
    pub parts: Vec<Part>,
    /// How pixels are normalised.
    pub pixels: Pixels,
    /// Height and width of the images that published weights were trained on.
    pub input_side: usize,
    /// Width F of the features.
    pub features: usize,
    /// Normalises the features after pooling.
    pub feature_norm: Option<LayerNorm>,
    /// Probability of dropout after pooling, in training.
    pub feature_dropout: f64,
    /// Name of the classifier behind the features in the files of published weights.
    pub classifier: &'static str,
}

/// Layers that are frozen and recomputed together.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name in `model.freeze`.
    pub name: String,
    /// Its layers, one after the other.
    pub layers: Vec<Layer>,
}

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
    /// Name of the scale of each channel in files of published weights, `[C, 1, 1]` (layer scale, Touvron et al. 2021).
    pub scale: Option<String>,
    /// A projection of the input; `None` is the input itself.
    pub projection: Option<ConvNorm>,
    /// Probability that the path of a sample is left out in training (stochastic depth, Huang et al. 2016).
    pub drop_probability: f64,
    /// What follows the sum.
    pub activation: Option<Activation>,
}

/// `x * sigmoid(excite(silu(squeeze(mean of x))))`, the mean being over height and width (Hu et al. 2018).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqueezeExcitation {
    /// To fewer channels.
    pub squeeze: Conv,
    /// Back to all channels.
    pub excite: Conv,
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
}

/// Normalisation of pixels in 0 to 1: `(pixel - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pixels {
    /// Mean of red, green and blue.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue.
    pub std: [f32; 3],
}

impl Description {
    /// The grid of the last feature maps over the image.
    #[must_use]
    pub fn cell_grid(&self) -> CellGrid {
        let mut grid = CellGrid::pixels();
        for layer in self.parts.iter().flat_map(|part| &part.layers) {
            layer.move_grid(&mut grid);
        }
        grid
    }

    /// Whether the last feature maps of images of this height and width have a single cell, and a batch norm: that gets
    /// one value a channel from a pass over a single image, which has no variance.
    #[must_use]
    pub fn has_one_cell(&self, frame_size: [usize; 2]) -> bool {
        let Plane { height, width, .. } = self.feature_plane(frame_size);
        height * width <= 1 && self.batch_norm().is_some()
    }

    /// The first batch norm, whose settings are those of all; `None` where there is none.
    #[must_use]
    pub fn batch_norm(&self) -> Option<&BatchNorm> {
        self.parts.iter().flat_map(|part| &part.layers).find_map(Layer::batch_norm)
    }

    /// The size of the last feature maps of images of this height and width.
    #[must_use]
    pub fn feature_plane(&self, frame_size: [usize; 2]) -> Plane {
        let layers = self.parts.iter().flat_map(|part| &part.layers);
        layers.fold(Plane::image(frame_size), |plane, layer| layer.output(plane))
    }
}

impl Layer {
    /// The size of its output.
    #[must_use]
    pub fn output(&self, input: Plane) -> Plane {
        match self {
            Self::ConvNorm(ConvNorm { conv, .. }) | Self::Conv(conv) => conv.output(input),
            Self::Linear(linear) => Plane { channels: linear.outputs, ..input },
            Self::MaxPool(pool) => pool.output(input),
            Self::Residual(residual) => residual.path.iter().fold(input, |plane, layer| layer.output(plane)),
            Self::LayerNorm(_) | Self::Activation(_) | Self::SqueezeExcitation(_) => input,
        }
    }

    fn move_grid(&self, grid: &mut CellGrid) {
        match self {
            Self::ConvNorm(ConvNorm { conv, .. }) | Self::Conv(conv) => {
                grid.window(conv.kernel, conv.stride, conv.padding[0]);
            }
            Self::MaxPool(pool) => grid.window(pool.kernel, pool.stride, pool.padding),
            Self::Residual(residual) => residual.path.iter().for_each(|layer| layer.move_grid(grid)),
            Self::LayerNorm(_) | Self::Linear(_) | Self::Activation(_) | Self::SqueezeExcitation(_) => {}
        }
    }

    fn batch_norm(&self) -> Option<&BatchNorm> {
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

impl MaxPool {
    /// The size of its output.
    #[must_use]
    pub fn output(&self, input: Plane) -> Plane {
        input.window(self.kernel, self.stride, [self.padding; 2], input.channels)
    }
}
