//! The parts of a description: layers, residual branches, and what surrounds them. Only data; architectures are in
//! a file for each family.

use super::plane::{CellGrid, Plane};

/// A network from normalised images `[N, 3, H, W]` to features `[N, F]`: its parts one after the other, then global
/// average pooling and dropout.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The units of freezing and of activation checkpointing, from the image on.
    pub parts: Vec<Part>,
    /// Settings of every batch norm.
    pub norm: Norm,
    /// How pixels are normalised.
    pub pixels: Pixels,
    /// Height and width of the images that published weights were trained on.
    pub input_side: usize,
    /// Width F of the features.
    pub features: usize,
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
    /// Name of the convolution in files of published weights.
    pub conv: String,
    /// Name of the batch norm.
    pub norm: String,
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
    /// What follows the batch norm.
    pub activation: Option<Activation>,
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

/// `activation(path(x) + shortcut(x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// Layers of the path.
    pub path: Vec<Layer>,
    /// A projection of the input; `None` is the input itself.
    pub projection: Option<ConvNorm>,
    /// Probability that the path of a sample is left out in training (stochastic depth, Huang et al. 2016).
    pub drop_probability: f64,
    /// What follows the sum.
    pub activation: Option<Activation>,
}

/// `x * sigmoid(fc2(silu(fc1(mean of x))))`, the mean being over height and width (Hu et al. 2018).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqueezeExcitation {
    /// What comes before `.fc1` and `.fc2`, its 1x1 convolutions with biases, in files of published weights.
    pub name: String,
    /// Input and output channels.
    pub channels: usize,
    /// Channels between `fc1` and `fc2`.
    pub squeezed: usize,
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
}

/// Settings of batch norms, in PyTorch's meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of the batch's statistics in the update of the running ones.
    pub momentum: f64,
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

    /// Whether the last feature maps of images of this height and width have a single cell: then batch norm gets one
    /// value a channel from a pass over a single image, which has no variance.
    #[must_use]
    pub fn has_one_cell(&self, frame_size: [usize; 2]) -> bool {
        let Plane { height, width, .. } = self.feature_plane(frame_size);
        height * width <= 1
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
            Self::ConvNorm(conv) => conv.output(input),
            Self::MaxPool(pool) => pool.output(input),
            Self::Residual(residual) => residual.path.iter().fold(input, |plane, layer| layer.output(plane)),
            Self::SqueezeExcitation(_) => input,
        }
    }

    fn move_grid(&self, grid: &mut CellGrid) {
        match self {
            Self::ConvNorm(conv) => grid.window(conv.kernel, conv.stride, conv.padding[0]),
            Self::MaxPool(pool) => grid.window(pool.kernel, pool.stride, pool.padding),
            Self::Residual(residual) => residual.path.iter().for_each(|layer| layer.move_grid(grid)),
            Self::SqueezeExcitation(_) => {}
        }
    }
}

impl ConvNorm {
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
