//! Convolution, batch norm, squeeze-and-excitation, linear, layer norm and LSTM on fallible operations, with PyTorch's names and
//! initialisation. Which layers the network has is decided in the room `backbone` and in `temporal.rs`.

use tch::Tensor;

use super::mode::Mode;
use super::parameters::{Init, Scope};
use crate::backbone::{self, Activation};
use crate::torch::{self, Result};

/// A convolution with a square kernel.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    /// Rows and columns of zeros before and after.
    padding: [i64; 2],
    /// 1, or as many as there are channels.
    groups: i64,
}

impl Conv {
    /// Initialised as in torchvision's ResNets: He normal, fan out; with groups, the fan out of one group. Its bias is 0.
    pub fn new(scope: &mut Scope, described: &backbone::Conv) -> Result<Self> {
        let &backbone::Conv { inputs, outputs, kernel, stride, padding, groups, bias, .. } = described;
        let deviation = (2.0 / (outputs / groups * kernel * kernel) as f64).sqrt();
        let shape = [outputs, inputs / groups, kernel, kernel].map(|size| size as i64);
        let weight = scope.weight("weight", &shape, Init::Normal(deviation))?;
        let bias = if bias { Some(scope.weight("bias", &shape[..1], Init::Constant(0.0))?) } else { None };
        let (stride, padding) = (stride as i64, padding.map(|zeros| zeros as i64));
        Ok(Self { weight, bias, stride, padding, groups: groups as i64 })
    }

    pub fn forward(&self, x_nchw: &Tensor) -> Result<Tensor> {
        let [before, after] = self.padding;
        if before != after {
            return self.convolve(&x_nchw.f_constant_pad_nd([before, after, before, after])?, 0);
        }
        self.convolve(x_nchw, before)
    }

    fn convolve(&self, x_nchw: &Tensor, padding: i64) -> Result<Tensor> {
        if self.groups > 1 && self.bias.is_none() {
            return torch::depthwise_convolution(x_nchw, &self.weight, self.stride, padding);
        }
        x_nchw.f_conv2d(&self.weight, self.bias.as_ref(), [self.stride; 2], [padding; 2], [1, 1], self.groups)
    }
}

/// Batch normalisation over `[N, C, H, W]`; where frozen, always with its running statistics.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    epsilon: f64,
    momentum: f64,
    frozen: bool,
}

impl BatchNorm {
    pub fn new(scope: &mut Scope, channels: i64, described: &backbone::BatchNorm) -> Result<Self> {
        Ok(Self {
            weight: scope.weight("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.weight("bias", &[channels], Init::Constant(0.0))?,
            running_mean: scope.buffer("running_mean", &[channels], 0.0)?,
            running_var: scope.buffer("running_var", &[channels], 1.0)?,
            epsilon: described.epsilon,
            momentum: described.momentum,
            frozen: scope.is_frozen(),
        })
    }

    pub fn forward(&self, x_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let mode = if self.frozen { Mode::Evaluate } else { mode };
        // In training mode without running statistics, batch norm still uses the batch's own.
        let running = |statistic| if matches!(mode, Mode::Recompute(_)) { None } else { Some(statistic) };
        let (mean, var) = (running(&self.running_mean), running(&self.running_var));
        x_nchw.f_batch_norm(weight, bias, mean, var, mode.is_training(), self.momentum, self.epsilon, true)
    }
}

/// Weights the channels of `[N, C, H, W]` by what their means say.
#[derive(Debug)]
pub(super) struct SqueezeExcitation {
    pub squeeze: Conv,
    pub excite: Conv,
}

impl SqueezeExcitation {
    pub fn forward(&self, x_nchw: &Tensor) -> Result<Tensor> {
        let mean_nc11 = x_nchw.f_adaptive_avg_pool2d([1, 1])?;
        let squeezed_ns11 = self.squeeze.forward(&mean_nc11)?.f_silu()?;
        x_nchw.f_mul(&self.excite.forward(&squeezed_ns11)?.f_sigmoid()?)
    }
}

/// What works on the last dimension, over the channels of each cell of `[N, C, H, W]`. In NHWC order nothing is copied.
pub(super) fn over_channels(x_nchw: &Tensor, layer: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    layer(&x_nchw.f_permute([0, 2, 3, 1])?)?.f_permute([0, 3, 1, 2])
}

/// QuickGELU is `x * sigmoid(1.702 x)`, which is `silu(1.702 x) / 1.702`.
const QUICK_GELU: f64 = 1.702;

/// The activation of `x`, which stays as it is.
pub(super) fn activated(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Relu => x.f_relu(),
        Activation::Relu6 => x.f_relu6(),
        Activation::Silu => x.f_silu(),
        Activation::Gelu => x.f_gelu("none"),
        // Of SiLU, backward needs the input alone; of the product that defines this, it needs both factors.
        Activation::QuickGelu => x.f_mul_scalar(QUICK_GELU)?.f_silu()?.f_mul_scalar_(1.0 / QUICK_GELU),
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

/// Layer normalisation over the last dimension.
#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    width: i64,
    epsilon: f64,
}

impl LayerNorm {
    pub fn new(scope: &mut Scope, described: &backbone::LayerNorm) -> Result<Self> {
        let (mut scope, width) = (scope.part(&described.name), described.width as i64);
        let weight = scope.weight("weight", &[width], Init::Constant(1.0))?;
        let bias = scope.weight("bias", &[width], Init::Constant(0.0))?;
        Ok(Self { weight, bias, width, epsilon: described.epsilon })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.f_layer_norm([self.width], Some(&self.weight), Some(&self.bias), self.epsilon, true)
    }
}

/// A bidirectional LSTM over `[B, T, inputs]`, giving `[B, T, 2 x hidden]`.
#[derive(Debug)]
pub(super) struct BiLstm {
    /// The eight tensors of each layer: weights and biases of both directions.
    layers: Vec<Vec<Tensor>>,
    hidden: i64,
    dropout: f64,
}

impl BiLstm {
    pub fn new(scope: &mut Scope, name: &str, inputs: i64, hidden: i64, layers: i64, dropout: f64) -> Result<Self> {
        let mut scope = scope.part(name);
        let width = |layer| if layer == 0 { inputs } else { 2 * hidden };
        let layers = (0..layers).map(|layer| Self::layer(&mut scope, layer, width(layer), hidden));
        Ok(Self { layers: layers.collect::<Result<_>>()?, hidden, dropout })
    }

    fn layer(scope: &mut Scope, layer: i64, inputs: i64, hidden: i64) -> Result<Vec<Tensor>> {
        let bound = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let mut weights = Vec::new();
        for direction in ["", "_reverse"] {
            let shapes: [(&str, &[i64]); 4] = [
                ("weight_ih", &[4 * hidden, inputs]),
                ("weight_hh", &[4 * hidden, hidden]),
                ("bias_ih", &[4 * hidden]),
                ("bias_hh", &[4 * hidden]),
            ];
            for (kind, shape) in shapes {
                weights.push(scope.weight(&format!("{kind}_l{layer}{direction}"), shape, bound)?);
            }
        }
        flatten_for_cudnn(&weights, hidden)?;
        Ok(weights)
    }

    /// To be called after its weights moved to another device.
    pub fn flatten(&self) -> Result<()> {
        self.layers.iter().try_for_each(|weights| flatten_for_cudnn(weights, self.hidden))
    }

    pub fn forward(&self, x_bti: &Tensor, mode: Mode) -> Result<Tensor> {
        let train = mode.is_training();
        let mut y_tbh = x_bti.f_transpose(0, 1)?;
        let one_1b1 = y_tbh.f_narrow(0, 0, 1)?.f_narrow(2, 0, 1)?;
        let start = one_1b1.f_expand([2, -1, self.hidden], false)?.f_zeros_like()?.f_contiguous()?;
        for (number, weights) in self.layers.iter().enumerate() {
            // Between layers. cuDNN's own dropout has a state that each new seed would make it build again.
            if number > 0 && train && self.dropout > 0.0 {
                y_tbh = y_tbh.f_dropout(self.dropout, true)?;
            }
            let weights: Vec<_> = weights.iter().collect();
            (y_tbh, _, _) = y_tbh.f_lstm(&[&start, &start], &weights, true, 1, 0.0, train, true, false)?;
        }
        y_tbh.f_transpose(0, 1)
    }
}

/// Makes the tensors of one layer views of one buffer, on CUDA, so that cuDNN does not put them together in each call.
/// They stay the tensors that they are: what writes into them in place writes into the buffer.
fn flatten_for_cudnn(weights: &[Tensor], hidden: i64) -> Result<()> {
    if !weights[0].device().is_cuda() || !tch::Cuda::cudnn_is_available() {
        return Ok(());
    }
    let _no_grad = tch::no_grad_guard();
    let inputs = weights[0].size()[1];
    // Four tensors a direction; cuDNN's number for an LSTM is 2; no projection, one layer, both directions.
    Tensor::f_internal_cudnn_rnn_flatten_weight(weights, 4, inputs, 2, hidden, 0, 1, false, true).map(drop)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::model::draws::Draws;
    use crate::model::parameters::Parameters;
    use crate::torch::generator_lock;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Draws weights: hold [`generator_lock`].
    fn lstm(layers: i64, dropout: f64) -> BiLstm {
        let mut parameters = Parameters::default();
        let mut scope = Scope::root(&mut parameters, Device::Cpu, true);
        BiLstm::new(&mut scope, "lstm", 24, 16, layers, dropout).unwrap()
    }

    /// libtorch's own LSTM of all layers, with its own dropout between them: `[B, T, inputs]` to `[B, T, 2 x hidden]`.
    fn whole(lstm: &BiLstm, x_bti: &Tensor, train: bool) -> Tensor {
        let layers = lstm.layers.len() as i64;
        let start = Tensor::zeros([2 * layers, x_bti.size()[0], lstm.hidden], CPU);
        let weights: Vec<_> = lstm.layers.iter().flatten().collect();
        let dropout = if layers > 1 { lstm.dropout } else { 0.0 };
        x_bti.lstm(&[&start, &start], &weights, true, layers, dropout, train, true, true).0
    }

    /// The same bits, outputs and gradients, with dropout and without: also from the same seed.
    #[test]
    fn layers_one_by_one_are_libtorchs_lstm_with_the_same_dropout() {
        let _alone = generator_lock();
        for (layers, dropout, mode) in [
            (1, 0.5, Mode::Train(Draws::default())),
            (2, 0.0, Mode::Train(Draws::default())),
            (2, 0.5, Mode::Evaluate),
            (3, 0.4, Mode::Train(Draws::default())),
        ] {
            tch::manual_seed(11);
            let lstm = lstm(layers, dropout);
            let x_bti = Tensor::randn([3, 5, 24], CPU);
            let run = |forward: &dyn Fn() -> Tensor| {
                tch::manual_seed(12);
                lstm.layers.iter().flatten().for_each(|weight| weight.shallow_clone().zero_grad());
                let y = forward();
                (&y * Tensor::arange(y.numel() as i64, CPU).cos().view_as(&y)).sum(Kind::Float).backward();
                let gradients = lstm.layers.iter().flatten().map(|weight| weight.grad().copy());
                (y.detach(), gradients.collect::<Vec<_>>())
            };
            let (found, gradients) = run(&|| lstm.forward(&x_bti, mode).unwrap());
            let (expected, expected_gradients) = run(&|| whole(&lstm, &x_bti, mode.is_training()));
            let what = format!("{layers} layers, dropout {dropout}, {mode:?}");
            assert!(found.equal(&expected), "{what}");
            assert!(gradients.iter().zip(&expected_gradients).all(|(a, b)| a.equal(b)), "gradients, {what}");
        }
    }

    #[test]
    fn dropout_is_between_layers_in_training_alone_and_by_the_seed() {
        let _alone = generator_lock();
        tch::manual_seed(11);
        let (one, two) = (lstm(1, 0.5), lstm(2, 0.5));
        let x_bti = Tensor::randn([2, 4, 24], CPU);
        let run = |lstm: &BiLstm, seed, mode| {
            tch::manual_seed(seed);
            lstm.forward(&x_bti, mode).unwrap()
        };
        let train = Mode::Train(Draws::default());
        assert!(run(&two, 1, train).equal(&run(&two, 1, train)));
        assert!(!run(&two, 1, train).equal(&run(&two, 2, train)));
        assert!(run(&two, 1, Mode::Evaluate).equal(&run(&two, 2, Mode::Evaluate)));
        assert!(run(&one, 1, train).equal(&run(&one, 2, train)), "a single layer has none");
    }
}
