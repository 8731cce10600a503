//! Prediction of the peak memory of one training or evaluation step, from the configuration alone.
//!
//! The prediction walks through the network in the order of forward and backward, and adds up the tensors that are
//! alive. It runs nothing, so it also answers for a GPU of another machine. The sizes of single layers are in
//! `layers.rs`.

use std::ops::Range;

use super::estimate::{Breakdown, DeviceKind, Estimate};
use super::layers::{BackboneSizes, Head, LayerSizes, learning_parameter_count, network, parameter_count};
use crate::backbone::{Backbone, Pooling};
use crate::config::{Config, ModelConfig, OptimizerChoice};
use crate::torch::Format;

const MIB: u64 = 1 << 20;
const F32_BYTES: u64 = 4;
/// Max-pooling keeps the positions of the maxima as 64-bit numbers.
const POOL_INDEX_BYTES: u64 = 8;

/// The CUDA context and the kernels that it loads, outside of libtorch's allocator. PyTorch users and developers report
/// 290 to 400 MB since kernels are loaded when first used; the first step loads those of cuDNN and cuBLAS.
const CUDA_CONTEXT_BYTES: u64 = 450 * MIB;
/// libtorch gives cuBLAS a workspace of 8 MiB, 32 MiB on Hopper, and cuBLASLt as much.
const CUBLAS_WORKSPACE_BYTES: u64 = 64 * MIB;
/// Scratch of cuDNN for a convolution, which has no documented bound; autotuning also tries algorithms that take more.
const CUDNN_WORKSPACE_BYTES: u64 = 128 * MIB;
const CUDNN_AUTOTUNE_BYTES: u64 = 256 * MIB;
/// Percentage of a step's tensors that the caching allocator loses to rounding and to blocks of the wrong size.
const CUDA_FRAGMENTATION_PERCENT: u64 = 10;

/// Code and scratch of oneDNN that the first step loads, with backward and without. The numbers, and the percentages
/// below, were fitted to the `fit` settings of benches/estimate.rs on an AVX-512 CPU, and judged by the other settings.
const ONEDNN_TRAINING_BYTES: u64 = 40 * MIB;
const ONEDNN_FORWARD_BYTES: u64 = 30 * MIB;
/// glibc keeps blocks below 32 MiB in a heap with holes. The holes take a percentage of the activations, up to a limit:
/// blocks grow with the activations, and large blocks go back to the system. Activation checkpointing leaves the same
/// holes, or larger ones. The percentage hangs on the order of sizes, and so on the family: of ResNets, of Vision
/// Transformers, of EfficientNet-Lites (and the others without checkpointing), and of EfficientNets and ConvNeXt with it.
const HEAP_HOLES_RESNET_PERCENT: u64 = 55;
const HEAP_HOLES_TRANSFORMER_PERCENT: u64 = 40;
const HEAP_HOLES_LITE_PERCENT: u64 = 15;
const HEAP_HOLES_OTHERS_RECOMPUTING_PERCENT: u64 = 34;
const HEAP_HOLES_MOST_BYTES: u64 = 512 * MIB;
const HEAP_HOLES_FORWARD_PERCENT: u64 = 15;
const HEAP_HOLES_TRANSFORMER_FORWARD_PERCENT: u64 = 70;

/// Peak of forward, backward and the optimizer's update on `micro_batch` clips.
#[must_use]
pub fn training_step(config: &Config, micro_batch: usize, device: DeviceKind, format: Format) -> Estimate {
    let step = Step::new(config, micro_batch, config.data.training_frames(), format);
    let plain = step.plain_backward();
    let alive = if config.model.activation_checkpointing { step.recomputing_backward() } else { plain };
    let holes_bytes = (plain.0 + plain.1) * heap_holes_percent(&config.model) / 100;
    step.estimate(config, device, alive, Some(holes_bytes.min(HEAP_HOLES_MOST_BYTES)))
}

/// Peak of a forward pass without gradients on `micro_batch` clips: validation, testing, prediction.
#[must_use]
pub fn evaluation_step(config: &Config, micro_batch: usize, device: DeviceKind, format: Format) -> Estimate {
    let step = Step::new(config, micro_batch, config.data.max_frames, format);
    let transient = step.forward_peak_bytes(!config.gpu.channels_last);
    step.estimate(config, device, (step.input_bytes, transient), None)
}

/// Host memory of the copy of weights, running statistics, their average and the optimizer's state that is written as a
/// checkpoint while training goes on.
#[must_use]
pub fn checkpoint_copy_bytes(config: &Config) -> u64 {
    let (backbone, _) = network(&config.model, config.data.training_frames(), config.data.frame_size);
    trained_networks_bytes(config, &backbone) + optimizer_bytes(config)
}

/// Whether a run copies so many bytes for a checkpoint where `host_free_bytes` are free; else training waits until it is
/// written. Half is left to the loader and the steps, as the system may promise memory that it does not have.
#[must_use]
pub fn copies_for_checkpoints(copy_bytes: u64, host_free_bytes: u64) -> bool {
    copy_bytes <= host_free_bytes / 2
}

/// Bytes of the network and, where one is kept, of the average of its weights, a second network.
fn trained_networks_bytes(config: &Config, backbone: &BackboneSizes) -> u64 {
    let networks = if config.training.ema_decay.is_some() { 2 } else { 1 };
    networks * network_bytes(config, backbone)
}

/// Bytes of the parameters and running statistics of a network.
fn network_bytes(config: &Config, backbone: &BackboneSizes) -> u64 {
    (parameter_count(&config.model) + backbone.buffers()) * F32_BYTES
}

/// Bytes of the optimizer's state.
fn optimizer_bytes(config: &Config) -> u64 {
    let moments = match config.training.optimizer {
        OptimizerChoice::Adamw | OptimizerChoice::Adam => 2,
        OptimizerChoice::Sgd | OptimizerChoice::Sam => 1,
    };
    moments * learning_parameter_count(&config.model) * F32_BYTES
}

/// Bytes of SAM's copy of the weights, to which they return after the climb.
fn sam_bytes(config: &Config) -> u64 {
    let climbs = config.training.optimizer == OptimizerChoice::Sam;
    if climbs { learning_parameter_count(&config.model) * F32_BYTES } else { 0 }
}

fn heap_holes_percent(model: &ModelConfig) -> u64 {
    match model.backbone {
        Backbone::Resnet18 | Backbone::Resnet34 | Backbone::Resnet50 | Backbone::Resnet101 => HEAP_HOLES_RESNET_PERCENT,
        Backbone::EfficientnetB0
        | Backbone::EfficientnetB4
        | Backbone::TfEfficientnetB4
        | Backbone::DeepfakebenchEfficientnetB4
        | Backbone::ConvnextTiny
            if model.activation_checkpointing =>
        {
            HEAP_HOLES_OTHERS_RECOMPUTING_PERCENT
        }
        _ if is_transformer(model) => HEAP_HOLES_TRANSFORMER_PERCENT,
        _ => HEAP_HOLES_LITE_PERCENT,
    }
}

fn is_transformer(model: &ModelConfig) -> bool {
    model.backbone.description().pooling == Pooling::ClassToken
}

/// A network, and the clips that one forward pass works on.
struct Step {
    backbone: BackboneSizes,
    head: Head,
    clips: u64,
    frames: u64,
    format: Format,
    input_bytes: u64,
}

impl Step {
    fn new(config: &Config, micro_batch: usize, clip_frames: usize, format: Format) -> Self {
        let (backbone, head) = network(&config.model, clip_frames, config.data.frame_size);
        let clips = micro_batch as u64;
        let frames = clips * clip_frames as u64;
        let [height, width] = config.data.frame_size;
        // Normalised pixels in float32, and in half precision a copy that the convolutions read.
        let pixel_bytes = F32_BYTES + if format == Format::F32 { 0 } else { format.bytes() };
        let input_bytes = frames * 3 * (height * width) as u64 * pixel_bytes;
        Self { backbone, head, clips, frames, format, input_bytes }
    }

    /// Bytes of `elements` numbers of every frame.
    fn bytes(&self, elements: u64) -> u64 {
        elements * self.frames * self.format.bytes()
    }

    /// The layers of some parts of the network.
    fn layers(&self, parts: Range<usize>) -> impl Iterator<Item = &LayerSizes> {
        self.backbone.layers.iter().filter(move |layer| parts.contains(&layer.part))
    }

    /// Bytes that max pooling keeps for backward.
    fn pool_bytes(&self, parts: &Range<usize>) -> u64 {
        let pools = self.backbone.pools.iter().filter(|(part, _)| parts.contains(part));
        pools.map(|(_, elements)| self.bytes(*elements) + elements * self.frames * POOL_INDEX_BYTES).sum()
    }

    /// Bytes that a layer keeps for backward.
    fn layer_bytes(&self, layer: &LayerSizes) -> u64 {
        self.bytes(layer.kept_elements) + layer.kept_float_elements * self.frames * F32_BYTES
    }

    /// Bytes that some parts of the network keep for backward.
    fn kept_bytes(&self, parts: Range<usize>) -> u64 {
        let layers = self.layers(parts.clone()).map(|layer| self.layer_bytes(layer));
        layers.sum::<u64>() + self.pool_bytes(&parts)
    }

    /// Bytes that the head keeps for backward. The head runs in float32, whatever the format.
    fn head_bytes(&self) -> u64 {
        self.clips * self.head.kept_elements * F32_BYTES
    }

    /// Bytes at the fullest moment of backward through some parts, with `held_bytes` alive besides. Backward frees what
    /// a layer kept once it is past that layer; the layers still ahead of it, which come earlier in forward, are
    /// larger.
    fn backward_peak_bytes(&self, parts: Range<usize>, held_bytes: u64) -> u64 {
        let mut kept_bytes = held_bytes + self.pool_bytes(&parts);
        let mut peak_bytes = 0;
        for layer in self.layers(parts) {
            kept_bytes += self.layer_bytes(layer);
            let transient = if layer.part < self.backbone.first_trainable() {
                layer.in_elements + layer.own_elements
            } else {
                // Gradients of the normalised output, of the convolution's output, and of its input.
                2 * layer.out_elements + layer.in_elements.max(layer.padded_elements)
            };
            peak_bytes = peak_bytes.max(kept_bytes + self.bytes(transient));
        }
        peak_bytes
    }

    /// Bytes of the activations that stay from forward to backward, and of the tensors that are alive only for a moment
    /// on top of them.
    fn plain_backward(&self) -> (u64, u64) {
        let all = 0..self.backbone.part_inputs.len();
        let activations = self.input_bytes + self.kept_bytes(all.clone()) + self.head_bytes();
        (activations, self.backward_peak_bytes(all, self.input_bytes).saturating_sub(activations))
    }

    /// As [`Step::plain_backward`], with activation checkpointing: only the input of each part is kept, and backward
    /// runs the part again from it. The result is what is alive during backward of the part that takes most, or of the
    /// head.
    fn recomputing_backward(&self) -> (u64, u64) {
        let mut held_bytes = 0;
        let mut fullest = (0, 0);
        for (part, elements) in self.backbone.part_inputs.iter().enumerate() {
            held_bytes += if part == 0 { self.input_bytes } else { self.bytes(*elements) };
            let activations = held_bytes + self.kept_bytes(part..part + 1);
            let transient = self.backward_peak_bytes(part..part + 1, held_bytes).saturating_sub(activations);
            fullest = std::cmp::max_by_key(fullest, (activations, transient), |(kept, more)| kept + more);
        }
        std::cmp::max_by_key(fullest, (held_bytes + self.head_bytes(), 0), |(kept, more)| kept + more)
    }

    /// Bytes at the fullest moment of a forward pass without gradients. Only a layer's input, its output, the
    /// normalised output (or before it, a padded copy of the input) and what a residual holds are alive, and a copy of
    /// the layer's weights. Autocast keeps the copies of earlier layers where weights are not views; weights in NHWC
    /// order are views. The input of the first layer, the frames, is counted apart.
    fn forward_peak_bytes(&self, keeps_copies: bool) -> u64 {
        let mut copied = 0;
        let alive = self.backbone.layers.iter().enumerate().map(|(index, layer)| {
            copied = layer.parameters() + if keeps_copies { copied } else { 0 };
            let besides = if index == 0 { 0 } else { layer.in_elements + layer.held_elements };
            self.bytes(layer.own_elements + besides) + self.copies_bytes(copied)
        });
        alive.max().unwrap_or(0)
    }

    /// Bytes of autocast's copies of `weights` weights.
    fn copies_bytes(&self, weights: u64) -> u64 {
        if self.format == Format::F32 { 0 } else { weights * self.format.bytes() }
    }

    /// Scratch of cuDNN's LSTM: the gates of a layer of all frames at once and, in backward, a buffer of the gradients
    /// of its weights, beside those that they are added to. The weights themselves lie in one buffer a layer, and not
    /// twice.
    fn cudnn_lstm_bytes(&self, training: bool) -> u64 {
        let gradients = if training { self.head.lstm_parameters } else { 0 };
        (self.clips * self.head.gate_elements + gradients) * F32_BYTES
    }

    /// Adds weights, gradients, optimizer state, and memory that depends on the device. `training_holes` are the bytes
    /// of holes in the heap in training; `None` in evaluation.
    fn estimate(
        &self,
        config: &Config,
        device: DeviceKind,
        (activations, transient): (u64, u64),
        training_holes: Option<u64>,
    ) -> Estimate {
        let training = training_holes.is_some();
        // The head runs in float32 and needs no copies. In evaluation, the transient memory includes the copies.
        let copies = if training { self.copies_bytes(self.backbone.parameters()) } else { 0 };
        let networks = if training { trained_networks_bytes } else { network_bytes };
        let weights = networks(config, &self.backbone) + copies;
        let gradients = if training { learning_parameter_count(&config.model) * F32_BYTES } else { 0 };
        let optimizer = if training { optimizer_bytes(config) + sam_bytes(config) } else { 0 };
        let (scratch, context, other) = match device {
            DeviceKind::Cuda => {
                // Algorithms are timed in training alone.
                let times = training && config.gpu.cudnn_benchmark && !config.gpu.deterministic;
                let cudnn = if times { CUDNN_AUTOTUNE_BYTES } else { CUDNN_WORKSPACE_BYTES };
                let margin = (activations + transient) * CUDA_FRAGMENTATION_PERCENT / 100;
                let scratch = CUBLAS_WORKSPACE_BYTES + cudnn + self.cudnn_lstm_bytes(training);
                (scratch, CUDA_CONTEXT_BYTES, margin)
            }
            DeviceKind::Cpu => {
                let percent = match is_transformer(&config.model) {
                    true => HEAP_HOLES_TRANSFORMER_FORWARD_PERCENT,
                    false => HEAP_HOLES_FORWARD_PERCENT,
                };
                let forward_holes = transient * percent / 100;
                // Backward through an LSTM collects the gradients of its weights in scratch of oneDNN, which is not
                // freed.
                let lstm_bytes = self.head.lstm_parameters * F32_BYTES;
                let scratch = if training { ONEDNN_TRAINING_BYTES + lstm_bytes } else { ONEDNN_FORWARD_BYTES };
                (scratch, 0, training_holes.unwrap_or(forward_holes))
            }
        };
        let workspace = transient + scratch;
        Estimate::from(Breakdown { weights, gradients, optimizer, activations, workspace, context, other })
    }
}

#[cfg(test)]
mod tests;
