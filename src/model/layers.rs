//! Convolution, batch norm, linear, layer norm and LSTM on fallible operations, with PyTorch's names and
//! initialisation. Which layers the network has is decided in the room `backbone` and in `temporal.rs`.

use tch::Tensor;

use super::mode::Mode;
use super::parameters::{Init, Scope};
use crate::backbone::{ConvNorm, Norm};
use crate::torch::{self, Result};

/// A convolution without bias, with a square kernel.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    stride: i64,
    /// Rows and columns of zeros before and after.
    padding: [i64; 2],
    /// 1, or as many as there are channels.
    groups: i64,
}

impl Conv {
    /// Initialised as in torchvision's ResNets: He normal, fan out; with groups, the fan out of one group.
    pub fn new(scope: &mut Scope, described: &ConvNorm) -> Result<Self> {
        let &ConvNorm { inputs, outputs, kernel, stride, padding, groups, .. } = described;
        let deviation = (2.0 / (outputs / groups * kernel * kernel) as f64).sqrt();
        let shape = [outputs, inputs / groups, kernel, kernel].map(|size| size as i64);
        let weight = scope.weight("weight", &shape, Init::Normal(deviation))?;
        Ok(Self { weight, stride: stride as i64, padding: padding.map(|zeros| zeros as i64), groups: groups as i64 })
    }

    pub fn forward(&self, x_nchw: &Tensor) -> Result<Tensor> {
        let [before, after] = self.padding;
        if before != after {
            return self.convolve(&x_nchw.f_constant_pad_nd([before, after, before, after])?, 0);
        }
        self.convolve(x_nchw, before)
    }

    fn convolve(&self, x_nchw: &Tensor, padding: i64) -> Result<Tensor> {
        if self.groups > 1 {
            return torch::depthwise_convolution(x_nchw, &self.weight, self.stride, padding);
        }
        x_nchw.f_conv2d(&self.weight, None::<Tensor>, [self.stride; 2], [padding; 2], [1, 1], 1)
    }
}

/// Batch normalisation over `[N, C, H, W]`; where frozen, always with its running statistics.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    settings: Norm,
    frozen: bool,
}

impl BatchNorm {
    pub fn new(scope: &mut Scope, channels: i64, settings: Norm) -> Result<Self> {
        Ok(Self {
            weight: scope.weight("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.weight("bias", &[channels], Init::Constant(0.0))?,
            running_mean: scope.buffer("running_mean", &[channels], 0.0)?,
            running_var: scope.buffer("running_var", &[channels], 1.0)?,
            settings,
            frozen: scope.is_frozen(),
        })
    }

    pub fn forward(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let mode = if self.frozen { Mode::Evaluate } else { mode };
        // In training mode without running statistics, batch norm still uses the batch's own.
        let running = |statistic| if matches!(mode, Mode::Recompute(_)) { None } else { Some(statistic) };
        let (mean, var) = (running(&self.running_mean), running(&self.running_var));
        let Norm { epsilon, momentum } = self.settings;
        x_nchw.f_batch_norm(weight, bias, mean, var, mode.is_training(), momentum, epsilon, true)
    }
}

/// `y = x W^T + b` over the last dimension.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub fn new(scope: &mut Scope, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        let bound = Init::Uniform(1.0 / (inputs as f64).sqrt());
        let mut scope = scope.part(name);
        let weight = scope.weight("weight", &[outputs, inputs], bound)?;
        Ok(Self { weight, bias: scope.weight("bias", &[outputs], bound)? })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.f_linear(&self.weight, Some(&self.bias))
    }
}

/// Layer normalisation over the last dimension, epsilon 1e-5.
#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    width: i64,
}

impl LayerNorm {
    pub fn new(scope: &mut Scope, name: &str, width: i64) -> Result<Self> {
        let mut scope = scope.part(name);
        let weight = scope.weight("weight", &[width], Init::Constant(1.0))?;
        Ok(Self { weight, bias: scope.weight("bias", &[width], Init::Constant(0.0))?, width })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.f_layer_norm([self.width], Some(&self.weight), Some(&self.bias), 1e-5, true)
    }
}

/// A bidirectional LSTM over `[B, T, inputs]`, giving `[B, T, 2 x hidden]`.
#[derive(Debug)]
pub(super) struct BiLstm {
    weights: Vec<Tensor>,
    hidden: i64,
    layers: i64,
    dropout: f64,
}

impl BiLstm {
    pub fn new(scope: &mut Scope, name: &str, inputs: i64, hidden: i64, layers: i64, dropout: f64) -> Result<Self> {
        let bound = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let mut scope = scope.part(name);
        let mut weights = Vec::new();
        for layer in 0..layers {
            let width = if layer == 0 { inputs } else { 2 * hidden };
            for direction in ["", "_reverse"] {
                let shapes: [(&str, &[i64]); 4] = [
                    ("weight_ih", &[4 * hidden, width]),
                    ("weight_hh", &[4 * hidden, hidden]),
                    ("bias_ih", &[4 * hidden]),
                    ("bias_hh", &[4 * hidden]),
                ];
                for (kind, shape) in shapes {
                    weights.push(scope.weight(&format!("{kind}_l{layer}{direction}"), shape, bound)?);
                }
            }
        }
        Ok(Self { weights, hidden, layers, dropout })
    }

    pub fn forward(&self, x_bti: &Tensor, mode: Mode) -> Result<Tensor> {
        let one_1b1 = x_bti.f_narrow(1, 0, 1)?.f_narrow(2, 0, 1)?.f_transpose(0, 1)?;
        let start = one_1b1.f_expand([2 * self.layers, -1, self.hidden], false)?.f_zeros_like()?.f_contiguous()?;
        // Dropout applies between layers: with a single layer there is none.
        let dropout = if self.layers > 1 { self.dropout } else { 0.0 };
        let weights: Vec<_> = self.weights.iter().collect();
        let train = mode.is_training();
        let (y_bth, _, _) = x_bti.f_lstm(&[&start, &start], &weights, true, self.layers, dropout, train, true, true)?;
        Ok(y_bth)
    }
}
