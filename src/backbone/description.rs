//! The description of a network: its parts, and what surrounds them. Only data; the layers are in `layer.rs`,
//! architectures in a file for each family.

use super::layer::{BatchNorm, Layer, LayerNorm};
use super::plane::{CellGrid, Plane};

/// A network from normalised images `[N, 3, H, W]` to features `[N, F]`: its parts one after the other, then pooling
/// and dropout.
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
    /// How features come of the cells of the last layer.
    pub pooling: Pooling,
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

/// How features come of the cells of the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all cells.
    Average,
    /// The first cell, which is the class token of a Vision Transformer.
    ClassToken,
}

/// Normalisation of pixels in 0 to 1: `(pixel - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pixels {
    /// Mean of red, green and blue.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue.
    pub std: [f32; 3],
}

impl Part {
    /// Whether a norm is among its layers.
    #[must_use]
    pub fn has_norms(&self) -> bool {
        self.layers.iter().any(Layer::has_norms)
    }
}

impl Description {
    /// The grid of the last feature maps over the image; of a Vision Transformer, that of its patches.
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

    /// Height and width of the patches of a Vision Transformer, in pixels; rows and columns beyond whole patches are
    /// not seen.
    #[must_use]
    pub fn patch_side(&self) -> Option<usize> {
        self.parts.iter().flat_map(|part| &part.layers).find_map(|layer| match layer {
            Layer::Embeddings(embeddings) => Some(embeddings.patches.stride),
            _ => None,
        })
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
