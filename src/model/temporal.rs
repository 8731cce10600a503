//! The temporal head: one logit for a clip of T frames, and one for each frame.
//!
//! A frame's logit is the classifier's output for that frame alone, on the same scale as the clip's. This file knows
//! nothing of pixels: its input is the features of the backbone.

use tch::Tensor;

use super::layers::{BiLstm, LayerNorm, Linear};
use super::logits::Logits;
use super::mode::Mode;
use super::parameters::{Init, Scope};
use crate::backbone;
use crate::config::{ModelConfig, Temporal};
use crate::torch::Result;

/// Self-attention over frames with residual and layer norm: `[B, T, D]` to `[B, T, D]`.
#[derive(Debug)]
struct Attention {
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj: Linear,
    norm: LayerNorm,
    heads: i64,
    dropout: f64,
}

impl Attention {
    fn new(scope: &mut Scope, width: i64, heads: i64, dropout: f64) -> Result<Self> {
        let described = backbone::LayerNorm { name: "norm".into(), width: width as usize, epsilon: 1e-5 };
        let norm = LayerNorm::new(scope, &described)?;
        let mut scope = scope.part("attention");
        // Glorot's uniform over the stacked projections, as PyTorch's MultiheadAttention starts.
        let bound = Init::Uniform((6.0 / (4 * width) as f64).sqrt());
        Ok(Self {
            in_proj_weight: scope.weight("in_proj_weight", &[3 * width, width], bound)?,
            in_proj_bias: scope.weight("in_proj_bias", &[3 * width], Init::Constant(0.0))?,
            out_proj: Linear::new(&mut scope, "out_proj", width, width)?,
            norm,
            heads,
            dropout,
        })
    }

    /// Queries, keys and values, each `[B, heads, T, D / heads]`.
    fn projected(&self, x_btd: &Tensor) -> Result<[Tensor; 3]> {
        let projected = x_btd.f_linear(&self.in_proj_weight, Some(&self.in_proj_bias))?;
        let by_head = projected.f_unflatten(-1, [3, self.heads, -1])?.f_permute([2, 0, 3, 1, 4])?;
        Ok([by_head.f_select(0, 0)?, by_head.f_select(0, 1)?, by_head.f_select(0, 2)?])
    }

    /// The attention weight of each frame, `[B, T]`: the mean over heads and queries.
    fn weights(&self, x_btd: &Tensor) -> Result<Tensor> {
        let [q, k, _] = self.projected(x_btd)?;
        let width = q.size()[3] as f64;
        let scores = q.f_matmul(&k.f_transpose(2, 3)?)?.f_div_scalar(width.sqrt())?;
        scores.f_softmax(-1, None)?.f_mean_dim([1_i64, 2].as_slice(), false, None)
    }

    fn forward(&self, x_btd: &Tensor, mode: Mode) -> Result<Tensor> {
        let [q, k, v] = self.projected(x_btd)?;
        let dropout = if mode.is_training() { self.dropout } else { 0.0 };
        let mixed = Tensor::f_scaled_dot_product_attention(&q, &k, &v, None::<Tensor>, dropout, false, None, false)?;
        let mixed_btd = mixed.f_transpose(1, 2)?.f_flatten(2, 3)?;
        self.norm.forward(&self.out_proj.forward(&mixed_btd)?.f_add(x_btd)?)
    }
}

/// The head that maps the features of a clip's frames to logits.
#[derive(Debug)]
pub(super) enum TemporalHead {
    /// A linear classifier on every frame; the clip's logit is their mean.
    Mean(Linear),
    /// LSTM, attention, mean over frames, classifier.
    LstmAttention(Box<LstmAttention>),
}

/// The layers of [`TemporalHead::LstmAttention`].
#[derive(Debug)]
pub(super) struct LstmAttention {
    lstm: BiLstm,
    attention: Option<Attention>,
    classifier: Vec<Linear>,
    classifier_dropout: f64,
}

impl TemporalHead {
    pub fn new(scope: &mut Scope, features: i64, config: &ModelConfig) -> Result<Self> {
        if config.temporal == Temporal::Mean {
            return Ok(Self::Mean(Linear::new(scope, "fc", features, 1)?));
        }
        let (hidden, layers) = (config.hidden_dim as i64, config.num_layers as i64);
        let (width, dropout) = (2 * hidden, config.dropout);
        let lstm = BiLstm::new(scope, "lstm", features, hidden, layers, dropout)?;
        let attention = match config.use_attention {
            true => Some(Attention::new(scope, width, config.attention_heads as i64, dropout)?),
            false => None,
        };
        // Named as in PyTorch's Sequential(Linear, ReLU, Dropout, Linear, ...).
        let mut scope = scope.part("classifier");
        let (mut classifier, mut inputs) = (Vec::new(), width);
        for (layer, outputs) in config.classifier_widths().into_iter().enumerate() {
            classifier.push(Linear::new(&mut scope, &(3 * layer).to_string(), inputs, outputs as i64)?);
            inputs = outputs as i64;
        }
        let classifier_dropout = config.classifier_dropout.unwrap_or(dropout);
        Ok(Self::LstmAttention(Box::new(LstmAttention { lstm, attention, classifier, classifier_dropout })))
    }

    /// Logits of float32 features `[B, T, F]`.
    pub fn forward(&self, features_btf: &Tensor, mode: Mode) -> Result<Logits> {
        match self {
            Self::Mean(fc) => {
                let frames_bt = fc.forward(features_btf)?.f_squeeze_dim(-1)?;
                Ok(Logits { clips_b: frames_bt.f_mean_dim(1, false, None)?, frames_bt })
            }
            Self::LstmAttention(head) => head.forward(features_btf, mode),
        }
    }

    /// The attention weight of each frame, `[B, T]`; `None` without attention.
    pub fn attention(&self, features_btf: &Tensor) -> Result<Option<Tensor>> {
        match self {
            Self::LstmAttention(head) => {
                let weights =
                    |attention: &Attention| attention.weights(&head.lstm.forward(features_btf, Mode::Evaluate)?);
                head.attention.as_ref().map(weights).transpose()
            }
            Self::Mean(_) => Ok(None),
        }
    }

    /// To be called after its weights moved to another device.
    pub fn flatten(&self) -> Result<()> {
        match self {
            Self::LstmAttention(head) => head.lstm.flatten(),
            Self::Mean(_) => Ok(()),
        }
    }
}

impl LstmAttention {
    fn forward(&self, features_btf: &Tensor, mode: Mode) -> Result<Logits> {
        let mut states_btd = self.lstm.forward(features_btf, mode)?;
        if let Some(attention) = &self.attention {
            states_btd = attention.forward(&states_btd, mode)?;
        }
        let pooled_bd = states_btd.f_mean_dim(1, false, None)?;
        // Frame logits get no gradients: without a graph they cost almost nothing.
        let frames_bt = {
            let _no_grad = tch::no_grad_guard();
            self.classify(&states_btd, Mode::Evaluate)?
        };
        Ok(Logits { clips_b: self.classify(&pooled_bd, mode)?, frames_bt })
    }

    fn classify(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = x.shallow_clone();
        for (number, layer) in self.classifier.iter().enumerate() {
            if number > 0 {
                x = x.f_relu_()?.f_dropout(self.classifier_dropout, mode.is_training())?;
            }
            x = layer.forward(&x)?;
        }
        x.f_squeeze_dim(-1)
    }
}
