//! The sections `training` and `loss`: epochs, batches, optimizer, schedule, early stopping and the loss. Keys and
//! defaults only: limits are in `validate.rs`, and the optimizers and losses themselves in `optim`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalars::BatchSize;

/// The training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Times through the training videos.
    pub epochs: u32,
    /// Clips in a batch: a number, or `auto` for as many as fit, at most 32.
    pub batch_size: BatchSize,
    /// Batches in one optimizer step.
    pub gradient_accumulation: usize,
    /// What moves the weights.
    pub optimizer: OptimizerChoice,
    /// How far the weights climb along their gradient before the gradient is taken that moves them (`sam` only).
    pub sam_rho: f64,
    /// Highest learning rate, reached after the warm-up.
    pub learning_rate: f64,
    /// Share of the learning rate that the backbone gets; 0.1 is usual for one that is already trained.
    pub backbone_lr_scale: f64,
    /// Each part of the backbone learns at this share of the rate of the part behind it; 1 = all alike, 0.65 to 0.9 is usual.
    pub layer_decay: f64,
    /// Weight decay, from which norms and biases are spared: decoupled with `adamw`, else as a part of the gradient.
    pub weight_decay: f64,
    /// How the learning rate goes on after the warm-up.
    pub scheduler: Scheduler,
    /// Epochs over which the learning rate rises; fractions are allowed.
    pub warmup_epochs: f64,
    /// Epochs from one restart to the next (`cosine_with_restarts` only); fractions are allowed.
    pub restart_period: f64,
    /// Last epochs, in which the learning rate falls in a line to `min_lr` (`warmup_stable_decay` only); fractions are allowed.
    pub decay_epochs: f64,
    /// Lowest learning rate after the warm-up (not for `constant`).
    pub min_lr: f64,
    /// Gradients are scaled down to this global L2 norm; 0 = never.
    pub gradient_clip_norm: f64,
    /// Validate, test and keep a running average of the weights as well, of which each step keeps this share; 0.999 is usual.
    pub ema_decay: Option<f64>,
    /// Test the mean of the weights of so many best epochs, with batch norm's statistics measured anew; 0 = one epoch's weights.
    pub average_best: usize,
    /// When to stop before the last epoch, and which epoch is the best.
    pub early_stopping: EarlyStopping,
    /// Only this many batches an epoch, for smoke runs.
    pub limit_batches: Option<usize>,
    /// Stop at the first backward pass in which a gradient is no number, and name the function that gave it. Slower.
    pub detect_anomaly: bool,
}

impl TrainingConfig {
    /// Clips in one optimizer step.
    #[must_use]
    pub fn effective_batch(&self) -> usize {
        self.batch_size.clips() * self.gradient_accumulation
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: BatchSize::Clips(12),
            gradient_accumulation: 1,
            optimizer: OptimizerChoice::Adamw,
            sam_rho: 0.05,
            learning_rate: 5e-4,
            backbone_lr_scale: 1.0,
            layer_decay: 1.0,
            weight_decay: 1e-4,
            scheduler: Scheduler::Cosine,
            warmup_epochs: 2.0,
            restart_period: 10.0,
            decay_epochs: 10.0,
            min_lr: 1e-6,
            gradient_clip_norm: 1.0,
            ema_decay: None,
            average_best: 0,
            early_stopping: EarlyStopping::default(),
            limit_batches: None,
            detect_anomaly: false,
        }
    }
}

/// What moves the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerChoice {
    /// Adam with decoupled weight decay, betas 0.9 and 0.999.
    Adamw,
    /// Adam, betas 0.9 and 0.999.
    Adam,
    /// Stochastic gradient descent with momentum 0.9.
    Sgd,
    /// Sharpness-aware minimisation (Foret et al. 2021) around `sgd`: two passes a step.
    Sam,
}

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    /// Linear warm-up, then half a cosine down to `min_lr`.
    Cosine,
    /// Linear warm-up, then half a cosine down to `min_lr` again and again, each `restart_period` epochs long.
    CosineWithRestarts,
    /// Linear warm-up, then halved after more than 3 epochs in which `early_stopping.monitor` gained less than `min_delta`.
    Plateau,
    /// From a 25th up along half a cosine (the warm-up), then down to `min_lr` along another.
    OneCycle,
    /// Linear warm-up, then the same to the end.
    Constant,
    /// Linear warm-up, then the same, and over the last `decay_epochs` in a line down to `min_lr`.
    WarmupStableDecay,
}

/// When to stop before the last epoch, and which epoch is the best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without a gain before training stops; 0 = never stop early.
    pub patience: u32,
    /// What counts as a gain.
    pub min_delta: f64,
    /// What is looked at, and what makes an epoch the best.
    pub monitor: Monitor,
    /// Test with the weights of the best epoch; `false` takes those of the last.
    pub restore_best_weights: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 8, min_delta: 0.001, monitor: Monitor::ValAuc, restore_best_weights: true }
    }
}

/// A number that is logged each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// AUC over validation videos.
    #[serde(alias = "video_auc")]
    ValAuc,
    /// Log-loss over validation videos; less is better.
    #[serde(alias = "log_loss")]
    ValLoss,
    /// AUC over validation frames.
    FrameAuc,
    /// Equal error rate over validation videos; less is better.
    Eer,
    /// Average precision over validation videos.
    Ap,
    /// Accuracy over validation videos.
    Acc,
    /// Accuracy over real validation videos.
    AccReal,
    /// Accuracy over fake validation videos.
    AccFake,
    /// Loss over training clips; less is better.
    TrainLoss,
    /// AUC over training clips.
    TrainAuc,
}

impl Monitor {
    /// Whether a smaller number is a better one.
    #[must_use]
    pub fn less_is_better(self) -> bool {
        matches!(self, Self::ValLoss | Self::Eer | Self::TrainLoss)
    }
}

/// What is minimised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// Which loss.
    #[serde(rename = "type")]
    pub kind: LossKind,
    /// Weight of fakes, of which reals get the rest to 1 (`focal` only); null weighs both the same.
    pub alpha: Option<f64>,
    /// How much clips that are right already count less (`focal` only); 0 = as much.
    pub gamma: f64,
    /// 0.1 makes 0.05 and 0.95 of the targets 0 and 1.
    pub label_smoothing: f64,
    /// Weights of the classes: `none`, `balanced` (both count the same), or `[real, fake]`.
    pub class_weights: ClassWeights,
    /// Weight of a loss that spreads the features of all clips of a step over the sphere; 0 = none, 0.5 is GenD's. A third more time.
    pub uniformity: f64,
    /// Weight of a loss that brings the features of a class together; 0 = none, 0.1 is GenD's. A third more time.
    pub alignment: f64,
}

impl LossConfig {
    /// Whether the loss of a clip depends on the other clips of the step.
    #[must_use]
    pub fn sees_pairs(&self) -> bool {
        (self.uniformity, self.alignment) != (0.0, 0.0)
    }
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            kind: LossKind::Bce,
            alpha: Some(0.25),
            gamma: 2.0,
            label_smoothing: 0.0,
            class_weights: ClassWeights::None,
            uniformity: 0.0,
            alignment: 0.0,
        }
    }
}

/// Which loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Binary cross-entropy.
    Bce,
    /// Focal loss (Lin et al., 2017).
    Focal,
}

/// Weights of the classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "WordOrWeights", into = "WordOrWeights")]
#[schemars(with = "WordOrWeights")]
pub enum ClassWeights {
    /// Every clip counts the same.
    None,
    /// Both classes count the same.
    Balanced,
    /// A real and a fake clip count this much.
    RealFake([f64; 2]),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum WordOrWeights {
    Word(String),
    Weights([f64; 2]),
}

impl TryFrom<WordOrWeights> for ClassWeights {
    type Error = String;
    fn try_from(weights: WordOrWeights) -> Result<Self, String> {
        match weights {
            WordOrWeights::Word(word) if word == "none" => Ok(Self::None),
            WordOrWeights::Word(word) if word == "balanced" => Ok(Self::Balanced),
            WordOrWeights::Word(word) => Err(format!("found `{word}`, expected none, balanced or [real, fake]")),
            WordOrWeights::Weights(weights) => Ok(Self::RealFake(weights)),
        }
    }
}

impl From<ClassWeights> for WordOrWeights {
    fn from(weights: ClassWeights) -> Self {
        match weights {
            ClassWeights::None => Self::Word("none".into()),
            ClassWeights::Balanced => Self::Word("balanced".into()),
            ClassWeights::RealFake(weights) => Self::Weights(weights),
        }
    }
}
