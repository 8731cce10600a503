//! ResNet-18/34/50/101 without the classifier: one feature vector per frame (He et al. 2015; the stride is in the 3x3
//! convolution as in torchvision). Knows nothing of clips. `detector.rs` normalises the pixels.

use std::ops::Range;

use tch::Tensor;

use super::layers::{BatchNorm, Conv};
use super::mode::Mode;
use super::parameters::{Frozen, Scope};
use crate::config::{BACKBONE_PARTS, Backbone, Freeze};
use crate::torch::Result;

/// A convolution and its batch norm.
#[derive(Debug)]
struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(scope: &mut Scope, names: (&str, &str), channels: (i64, i64), kernel: i64, stride: i64) -> Result<Self> {
        let conv = Conv::new(scope, names.0, channels.0, channels.1, kernel, stride)?;
        Ok(Self { conv, norm: BatchNorm::new(scope, names.1, channels.1)? })
    }

    fn forward(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x_nchw)?, mode)
    }
}

/// A basic block (two 3x3 convolutions) or a bottleneck (1x1, 3x3, 1x1), with an identity or a projection shortcut.
#[derive(Debug)]
struct Block {
    path: Vec<ConvNorm>,
    shortcut: Option<ConvNorm>,
}

impl Block {
    fn new(scope: &mut Scope, inputs: i64, width: i64, stride: i64, bottleneck: bool) -> Result<Self> {
        let outputs = if bottleneck { 4 * width } else { width };
        let path = if bottleneck {
            vec![
                ConvNorm::new(scope, ("conv1", "bn1"), (inputs, width), 1, 1)?,
                ConvNorm::new(scope, ("conv2", "bn2"), (width, width), 3, stride)?,
                ConvNorm::new(scope, ("conv3", "bn3"), (width, outputs), 1, 1)?,
            ]
        } else {
            vec![
                ConvNorm::new(scope, ("conv1", "bn1"), (inputs, width), 3, stride)?,
                ConvNorm::new(scope, ("conv2", "bn2"), (width, width), 3, 1)?,
            ]
        };
        let shortcut = if stride != 1 || inputs != outputs {
            Some(ConvNorm::new(&mut scope.part("downsample"), ("0", "1"), (inputs, outputs), 1, stride)?)
        } else {
            None
        };
        Ok(Self { path, shortcut })
    }

    fn forward(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut y_nchw = x_nchw.shallow_clone();
        for (index, layer) in self.path.iter().enumerate() {
            y_nchw = layer.forward(&y_nchw, mode)?;
            if index + 1 < self.path.len() {
                y_nchw = y_nchw.f_relu_()?;
            }
        }
        let shortcut_nchw = match &self.shortcut {
            Some(projection) => projection.forward(x_nchw, mode)?,
            None => x_nchw.shallow_clone(),
        };
        y_nchw.f_add_(&shortcut_nchw)?.f_relu_()
    }
}

/// Number of parts: the stem with its max pooling, and the four stages, of which the last includes global average
/// pooling.
pub(super) const PARTS: usize = BACKBONE_PARTS.len();

/// Pixels between the centres of neighbouring cells of the last feature maps. Kernels have odd sizes and are padded by
/// half of that, so cell (i, j) sees the pixels around row `i * FEATURE_MAP_STRIDE` and column
/// `j * FEATURE_MAP_STRIDE`.
pub const FEATURE_MAP_STRIDE: i64 = 32;

/// The backbone: `[N, 3, H, W]` to `[N, features]`.
#[derive(Debug)]
pub(super) struct ResNet {
    stem: ConvNorm,
    stages: Vec<Vec<Block>>,
    /// Width of the feature vector: 512, or 2048 with bottlenecks.
    pub features: i64,
    /// The first of the [`PARTS`] that is not frozen; [`PARTS`] where all are.
    pub first_trainable: usize,
}

impl ResNet {
    pub fn new(scope: &mut Scope, backbone: Backbone, freeze: &Freeze) -> Result<Self> {
        let (depths, bottleneck) = match backbone {
            Backbone::Resnet18 => ([2, 2, 2, 2], false),
            Backbone::Resnet34 => ([3, 4, 6, 3], false),
            Backbone::Resnet50 => ([3, 4, 6, 3], true),
            Backbone::Resnet101 => ([3, 4, 23, 3], true),
        };
        let frozen = |part: usize| Frozen { all: freeze.parts[part], norms: freeze.batch_norm };
        let stem = ConvNorm::new(scope.freeze(frozen(0)), ("conv1", "bn1"), (3, 64), 7, 2)?;
        let mut stages = Vec::new();
        let mut inputs = 64;
        for (stage, depth) in depths.into_iter().enumerate() {
            let width = 64 << stage;
            let mut scope = scope.freeze(frozen(stage + 1)).part(&format!("layer{}", stage + 1));
            let mut blocks = Vec::new();
            for index in 0..depth {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                blocks.push(Block::new(&mut scope.part(&index.to_string()), inputs, width, stride, bottleneck)?);
                inputs = if bottleneck { 4 * width } else { width };
            }
            stages.push(blocks);
        }
        let first_trainable = freeze.parts.iter().take_while(|frozen| **frozen).count();
        Ok(Self { stem, stages, features: inputs, first_trainable })
    }

    /// Runs some of the [`PARTS`]: `x` is the input of the first, the result is the output of the last.
    pub fn forward_parts(&self, parts: Range<usize>, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for part in parts {
            y = match part.checked_sub(1) {
                None => self.stem(&y, mode)?,
                Some(stage) => self.stage(stage, y, mode)?,
            };
        }
        Ok(y)
    }

    fn stem(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let y_nchw = self.stem.forward(x_nchw, mode)?.f_relu_()?;
        y_nchw.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)
    }

    fn stage(&self, stage: usize, x_nchw: Tensor, mode: Mode) -> Result<Tensor> {
        let y_nchw = self.blocks(stage, x_nchw, mode)?;
        let is_last = stage + 1 == self.stages.len();
        if is_last { global_average_pool(&y_nchw) } else { Ok(y_nchw) }
    }

    fn blocks(&self, stage: usize, mut y_nchw: Tensor, mode: Mode) -> Result<Tensor> {
        for block in &self.stages[stage] {
            y_nchw = block.forward(&y_nchw, mode)?;
        }
        Ok(y_nchw)
    }

    /// The last stage's output before global average pooling: `[N, features, H / 32, W / 32]`.
    pub fn feature_maps(&self, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let last = self.stages.len() - 1;
        self.blocks(last, self.forward_parts(0..PARTS - 1, images_nchw, mode)?, mode)
    }
}

/// Global average pooling: feature maps `[N, F, h, w]` to features `[N, F]`.
pub(super) fn global_average_pool(x_nchw: &Tensor) -> Result<Tensor> {
    x_nchw.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)
}
