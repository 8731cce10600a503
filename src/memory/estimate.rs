//! Predicts the peak memory of one training or evaluation step from the configuration alone.
//!
//! Walks through the network in the order of forward and backward, and adds up what is alive. Runs nothing, so it also
//! answers for a GPU that is somewhere else.

use std::ops::Range;

use serde::Serialize;

use super::advise::HostFacts;
use super::layers::{ConvNorm, Head, ResNet, network};
use crate::config::{AutoBytes, Config, OptimizerChoice, Switch};
use crate::torch::Format;

const MIB: u64 = 1 << 20;
const F32_BYTES: u64 = 4;
/// Positions of the maxima that max-pooling keeps are 64-bit.
const POOL_INDEX_BYTES: u64 = 8;

/// CUDA's own state and the kernels it loads, outside of libtorch's allocator. PyTorch users and developers report 290
/// to 400 MB since kernels are loaded when first used; cuDNN's and cuBLAS's are loaded by the first step.
const CUDA_CONTEXT_BYTES: u64 = 450 * MIB;
/// cuBLAS gets 8 MiB from libtorch, 32 MiB on Hopper, and cuBLASLt as much.
const CUBLAS_WORKSPACE_BYTES: u64 = 64 * MIB;
/// cuDNN's scratch for a convolution has no documented bound; autotuning also tries algorithms that take more.
const CUDNN_WORKSPACE_BYTES: u64 = 128 * MIB;
const CUDNN_AUTOTUNE_BYTES: u64 = 256 * MIB;
/// Share of a step's tensors that the caching allocator loses to rounding and to blocks of the wrong size.
const CUDA_FRAGMENTATION_PERCENT: u64 = 10;

/// Code and scratch of oneDNN that only a first step brings in, with backward and without. Fitted to the `fit` settings of
/// benches/estimate.rs on an AVX-512 CPU and judged by others, as are the shares below.
const ONEDNN_TRAINING_BYTES: u64 = 40 * MIB;
const ONEDNN_FORWARD_BYTES: u64 = 30 * MIB;
/// glibc keeps blocks below 32 MiB in a heap with holes: a share of the activations, which does not grow for ever, because
/// their blocks grow with them and large ones go back to the system. Recomputing leaves the same holes as keeping.
const HEAP_HOLES_TRAINING_PERCENT: u64 = 55;
const HEAP_HOLES_MOST_BYTES: u64 = 512 * MIB;
const HEAP_HOLES_FORWARD_PERCENT: u64 = 15;

/// What runs the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The host's processor and memory.
    Cpu,
    /// An NVIDIA GPU and its memory.
    Cuda,
}

/// Predicted peak memory of one step, above what the program takes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The sum of the parts.
    pub peak_bytes: u64,
    /// What it is made of.
    pub breakdown: Breakdown,
}

/// The parts of a step's peak, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// Parameters and running statistics in float32, and autocast's copies of the parameters.
    pub weights: u64,
    /// One float32 for each parameter.
    pub gradients: u64,
    /// AdamW's two moments in float32.
    pub optimizer: u64,
    /// The input and what the forward pass keeps for backward.
    pub activations: u64,
    /// What comes and goes at the fullest moment: gradients between layers, scratch of the libraries.
    pub workspace: u64,
    /// What the device's own software takes.
    pub context: u64,
    /// Margin for memory that an allocator cannot use.
    pub other: u64,
}

impl From<Breakdown> for Estimate {
    fn from(breakdown: Breakdown) -> Self {
        let Breakdown { weights, gradients, optimizer, activations, workspace, context, other } = breakdown;
        Self { peak_bytes: weights + gradients + optimizer + activations + workspace + context + other, breakdown }
    }
}

/// Peak of forward, backward and AdamW on `micro_batch` clips.
#[must_use]
pub fn training_step(config: &Config, micro_batch: usize, device: DeviceKind, format: Format) -> Estimate {
    let step = Step::new(config, micro_batch, config.data.training_frames(), format);
    let plain = step.plain_backward();
    let alive = if config.model.activation_checkpointing { step.recomputing_backward() } else { plain };
    let holes_bytes = (plain.0 + plain.1) * HEAP_HOLES_TRAINING_PERCENT / 100;
    step.estimate(config, device, alive, Some(holes_bytes.min(HEAP_HOLES_MOST_BYTES)))
}

/// Peak of a forward pass without gradients on `micro_batch` clips: validation, testing, prediction.
#[must_use]
pub fn evaluation_step(config: &Config, micro_batch: usize, device: DeviceKind, format: Format) -> Estimate {
    let step = Step::new(config, micro_batch, config.data.max_frames, format);
    let transient = step.forward_peak_bytes(!config.gpu.channels_last);
    step.estimate(config, device, (step.input_bytes, transient), None)
}

/// The most that clips kept in memory may take on a host as it is at the start: what the loader leaves of
/// `dataloader.host_memory_budget`.
#[must_use]
pub(super) fn cache_budget_bytes(config: &Config, host: &HostFacts) -> u64 {
    let budget_bytes = match config.dataloader.host_memory_budget {
        AutoBytes::Auto => host.free_bytes / 2,
        AutoBytes::Bytes(bytes) => bytes,
    };
    let left_bytes = budget_bytes.saturating_sub(decode_window_bytes(config, host.decoder_bytes));
    match (config.cache.enable_cache, config.cache.memory_bytes) {
        (Switch::Off, _) => 0,
        (_, AutoBytes::Auto) => left_bytes,
        (_, AutoBytes::Bytes(bytes)) => bytes.min(left_bytes),
    }
}

/// Host memory of the loader: clips that wait, one batch in use, and in every worker a decoder of so many bytes.
#[must_use]
pub(super) fn decode_window_bytes(config: &Config, decoder_bytes: u64) -> u64 {
    let loader = &config.dataloader;
    let workers = loader.num_workers.max(1) as u64;
    let batches = if loader.num_workers == 0 { 1 } else { workers * loader.prefetch_factor as u64 + 1 };
    let [height, width] = config.data.frame_size;
    let clip_bytes = (config.data.max_frames * 3 * height * width) as u64;
    batches * config.training.batch_size.clips() as u64 * clip_bytes + workers * decoder_bytes
}

/// A network and what one forward pass of it works on.
struct Step {
    resnet: ResNet,
    head: Head,
    clips: u64,
    frames: u64,
    format: Format,
    input_bytes: u64,
}

impl Step {
    fn new(config: &Config, micro_batch: usize, clip_frames: usize, format: Format) -> Self {
        let (resnet, head) = network(&config.model, config.data.frame_size, clip_frames);
        let clips = micro_batch as u64;
        let frames = clips * clip_frames as u64;
        let [height, width] = config.data.frame_size;
        // Normalised in float32, and the copy in another format that convolutions want.
        let pixel_bytes = F32_BYTES + if format == Format::F32 { 0 } else { format.bytes() };
        let input_bytes = frames * 3 * (height * width) as u64 * pixel_bytes;
        Self { resnet, head, clips, frames, format, input_bytes }
    }

    /// Bytes of `elements` of every frame.
    fn bytes(&self, elements: u64) -> u64 {
        elements * self.frames * self.format.bytes()
    }

    /// The convolutions of some parts of the network.
    fn convs(&self, parts: Range<usize>) -> impl Iterator<Item = &ConvNorm> {
        self.resnet.convs.iter().filter(move |conv| parts.contains(&conv.part))
    }

    /// What the pool behind the first convolution keeps for backward.
    fn pool_bytes(&self, parts: &Range<usize>) -> u64 {
        let pooled = self.resnet.pooled_elements;
        if parts.contains(&0) { self.bytes(pooled) + pooled * self.frames * POOL_INDEX_BYTES } else { 0 }
    }

    /// What some parts keep for backward.
    fn kept_bytes(&self, parts: Range<usize>) -> u64 {
        let elements = self.convs(parts.clone()).map(|conv| conv.kept_elements).sum();
        self.bytes(elements) + self.pool_bytes(&parts)
    }

    fn head_bytes(&self) -> u64 {
        // The head runs in float32 whatever the format.
        self.clips * self.head.kept_elements * F32_BYTES
    }

    /// The fullest moment of backward through some parts, on top of which `held_bytes` are alive. What a layer kept is
    /// freed behind it, while the layers in front of it are larger.
    fn backward_peak_bytes(&self, parts: Range<usize>, held_bytes: u64) -> u64 {
        let mut kept_bytes = held_bytes + self.pool_bytes(&parts);
        let mut peak_bytes = 0;
        for conv in self.convs(parts) {
            kept_bytes += self.bytes(conv.kept_elements);
            // Gradients of the normalised output, of the convolution's output, and of its input.
            peak_bytes = peak_bytes.max(kept_bytes + self.bytes(2 * conv.out_elements + conv.in_elements));
        }
        peak_bytes
    }

    /// Activations that stay from forward to backward, and what comes and goes on top of them.
    fn plain_backward(&self) -> (u64, u64) {
        let all = 0..self.resnet.part_inputs.len();
        let activations = self.input_bytes + self.kept_bytes(all.clone()) + self.head_bytes();
        (activations, self.backward_peak_bytes(all, self.input_bytes).saturating_sub(activations))
    }

    /// As [`Step::plain_backward`] where each part is run again in backward from its input, which alone was kept: what is
    /// alive while the part that takes most has its turn, or while the head has.
    fn recomputing_backward(&self) -> (u64, u64) {
        let mut held_bytes = 0;
        let mut fullest = (0, 0);
        for (part, elements) in self.resnet.part_inputs.iter().enumerate() {
            held_bytes += if part == 0 { self.input_bytes } else { self.bytes(*elements) };
            let activations = held_bytes + self.kept_bytes(part..part + 1);
            let transient = self.backward_peak_bytes(part..part + 1, held_bytes).saturating_sub(activations);
            fullest = std::cmp::max_by_key(fullest, (activations, transient), |(kept, more)| kept + more);
        }
        std::cmp::max_by_key(fullest, (held_bytes + self.head_bytes(), 0), |(kept, more)| kept + more)
    }

    /// Without gradients only a layer's input, its output, the normalised output and a shortcut are alive, and a copy of
    /// the layer's weights. Autocast keeps the copies that it made so far only where weights are no views; those that lie
    /// in NHWC order are. The first layer's input is the frames.
    fn forward_peak_bytes(&self, keeps_copies: bool) -> u64 {
        let mut copied = 0;
        let alive = self.resnet.convs.iter().enumerate().map(|(index, conv)| {
            copied = conv.parameters() + if keeps_copies { copied } else { 0 };
            let besides = if index == 0 { 0 } else { conv.in_elements + conv.out_elements };
            self.bytes(2 * conv.out_elements + besides) + self.copies_bytes(copied)
        });
        alive.max().unwrap_or(0)
    }

    /// Autocast's copies of so many weights.
    fn copies_bytes(&self, weights: u64) -> u64 {
        if self.format == Format::F32 { 0 } else { weights * self.format.bytes() }
    }

    /// Adds weights, and what follows from the device. `training_holes` are the heap's in training; `None` in evaluation.
    fn estimate(
        &self,
        config: &Config,
        device: DeviceKind,
        (activations, transient): (u64, u64),
        training_holes: Option<u64>,
    ) -> Estimate {
        let training = training_holes.is_some();
        let parameters = super::parameter_count(&config.model);
        // The head runs in float32. Without gradients, copies are among what comes and goes.
        let copies = if training { self.copies_bytes(self.resnet.parameters()) } else { 0 };
        // The average is a second network.
        let networks = if training && config.training.ema_decay.is_some() { 2 } else { 1 };
        let weights = networks * (parameters + self.resnet.buffers()) * F32_BYTES + copies;
        let gradients = if training { super::learning_parameter_count(&config.model) * F32_BYTES } else { 0 };
        let optimizer = match config.training.optimizer {
            OptimizerChoice::Adamw | OptimizerChoice::Adam => 2 * gradients,
            OptimizerChoice::Sgd => gradients,
        };
        let (scratch, context, other) = match device {
            DeviceKind::Cuda => {
                let cudnn = if config.gpu.cudnn_benchmark { CUDNN_AUTOTUNE_BYTES } else { CUDNN_WORKSPACE_BYTES };
                let margin = (activations + transient) * CUDA_FRAGMENTATION_PERCENT / 100;
                (CUBLAS_WORKSPACE_BYTES + cudnn, CUDA_CONTEXT_BYTES, margin)
            }
            DeviceKind::Cpu => {
                let forward_holes = transient * HEAP_HOLES_FORWARD_PERCENT / 100;
                // Backward through an LSTM collects the gradients of its weights in oneDNN's scratch, which stays.
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Backbone, BatchSize, Temporal};

    fn config(backbone: Backbone, frames: usize, side: usize) -> Config {
        let mut config = Config::default();
        config.model.backbone = backbone;
        config.model.temporal = Temporal::Mean;
        config.data.max_frames = frames;
        config.data.frame_size = [side, side];
        config
    }

    /// What real steps of this program took in MiB, printed by benches/estimate.rs on a 2-core AVX-512 CPU on 2026-11-25: in
    /// use, and resident with the holes of the heap. The share for holes was fitted to other settings. The one that is
    /// further off, resident memory of a ResNet-34 in f32 on 2 x 8 x 192, is in docs/benchmarks.md with all others.
    #[test]
    fn predictions_are_what_was_measured() {
        use Backbone::{Resnet18, Resnet34, Resnet50, Resnet101};
        use Format::{Bf16, F32};
        use Temporal::{LstmAttention, Mean};
        type Predict = fn(&Config, usize, DeviceKind, Format) -> Estimate;
        let (train, evaluate): (Predict, Predict) = (training_step, evaluation_step);
        for (predict, backbone, clips, frames, side, format, temporal, in_use_mib, resident_mib) in [
            (train, Resnet18, 2, 4, 96, F32, Mean, 257, 274),
            (train, Resnet18, 3, 8, 160, F32, Mean, 486, 638),
            (train, Resnet18, 1, 16, 224, Bf16, Mean, 431, 551),
            (train, Resnet18, 6, 8, 128, F32, LstmAttention, 822, 1001),
            (train, Resnet18, 4, 16, 112, Bf16, LstmAttention, 708, 798),
            (train, Resnet34, 4, 8, 128, Bf16, LstmAttention, 865, 919),
            (train, Resnet50, 1, 8, 160, F32, Mean, 758, 824),
            (train, Resnet50, 3, 4, 224, F32, LstmAttention, 1782, 2114),
            (train, Resnet50, 2, 12, 160, Bf16, LstmAttention, 1366, 1674),
            (train, Resnet101, 2, 4, 160, F32, Mean, 1218, 1332),
            (train, Resnet34, 1, 8, 160, Bf16, LstmAttention, 763, 776),
            (evaluate, Resnet101, 2, 8, 160, Bf16, Mean, 228, 242),
            (evaluate, Resnet34, 6, 8, 128, F32, Mean, 206, 212),
            (evaluate, Resnet50, 6, 8, 128, Bf16, LstmAttention, 288, 337),
        ] {
            let mut config = config(backbone, frames, side);
            config.model.temporal = temporal;
            let estimate = predict(&config, clips, DeviceKind::Cpu, format);
            let ratio = |bytes: u64, measured_mib: u32| bytes as f64 / f64::from(measured_mib) / MIB as f64;
            let in_use = ratio(estimate.peak_bytes - estimate.breakdown.other, in_use_mib);
            let resident = ratio(estimate.peak_bytes, resident_mib);
            let what = format!("{backbone:?}, {clips} x {frames} x {side}, {format:?}: {in_use:.3} and {resident:.2}");
            assert!((0.93..1.08).contains(&in_use), "{what}: {:?}", estimate.breakdown);
            assert!((0.85..1.15).contains(&resident), "{what}: {:?}", estimate.breakdown);
        }
    }

    #[test]
    fn recomputing_halves_the_activations() {
        let share = |backbone| {
            let mut config = config(backbone, 8, 224);
            let plain = training_step(&config, 4, DeviceKind::Cuda, Format::F32).breakdown;
            config.model.activation_checkpointing = true;
            let recomputing = training_step(&config, 4, DeviceKind::Cuda, Format::F32).breakdown;
            assert_eq!(recomputing.weights + recomputing.optimizer, plain.weights + plain.optimizer);
            recomputing.activations as f64 / plain.activations as f64
        };
        for backbone in [Backbone::Resnet18, Backbone::Resnet101] {
            assert!((0.4..0.55).contains(&share(backbone)), "{backbone:?}: {:.2}", share(backbone));
        }
    }

    #[test]
    fn the_parts_add_up_and_follow_their_meaning() {
        let config = Config::default();
        let parameters = super::super::parameter_count(&config.model);
        let f32 = training_step(&config, 2, DeviceKind::Cuda, Format::F32);
        let fp16 = training_step(&config, 2, DeviceKind::Cuda, Format::Fp16);
        for estimate in [f32, fp16] {
            let parts = estimate.breakdown;
            let sum = parts.weights + parts.gradients + parts.optimizer + parts.activations;
            assert_eq!(estimate.peak_bytes, sum + parts.workspace + parts.context + parts.other);
            assert_eq!((parts.gradients, parts.optimizer), (4 * parameters, 8 * parameters));
        }
        let (resnet, _) = network(&config.model, config.data.frame_size, 1);
        assert_eq!(fp16.breakdown.weights - f32.breakdown.weights, 2 * resnet.parameters());
        let share = fp16.breakdown.activations as f64 / f32.breakdown.activations as f64;
        assert!((0.5..0.55).contains(&share), "pool positions and input stay as they are: {share}");
    }

    #[test]
    fn fewer_frames_a_step_need_less_in_training_alone() {
        let config = Config::default();
        let mut fewer = config.clone();
        fewer.data.frames_per_epoch = Some(config.data.max_frames / 2);
        let peaks = |config: &Config| {
            let of = |predict: fn(&Config, usize, DeviceKind, Format) -> Estimate| {
                predict(config, 2, DeviceKind::Cuda, Format::F32).peak_bytes
            };
            (of(training_step), of(evaluation_step))
        };
        let ((train, evaluate), (fewer_train, same_evaluate)) = (peaks(&config), peaks(&fewer));
        assert!(fewer_train < train && evaluate == same_evaluate, "{fewer_train} of {train}");
    }

    #[test]
    fn evaluation_needs_far_less_than_training() {
        let config = Config::default();
        for device in [DeviceKind::Cpu, DeviceKind::Cuda] {
            let train = training_step(&config, 4, device, Format::F32);
            let evaluate = evaluation_step(&config, 4, device, Format::F32);
            assert_eq!((evaluate.breakdown.gradients, evaluate.breakdown.optimizer), (0, 0));
            assert!(evaluate.peak_bytes < train.peak_bytes / 3, "{device:?}");
        }
    }

    #[test]
    fn only_cuda_has_a_context_and_autotuning_costs_workspace() {
        let mut config = Config::default();
        let part = |config: &Config, device| training_step(config, 1, device, Format::F32).breakdown;
        assert_eq!(part(&config, DeviceKind::Cpu).context, 0);
        assert!(part(&config, DeviceKind::Cuda).context > 0);
        let tuned = part(&config, DeviceKind::Cuda).workspace;
        config.gpu.cudnn_benchmark = false;
        assert!(part(&config, DeviceKind::Cuda).workspace < tuned);
    }

    #[test]
    fn the_loader_holds_a_window_of_batches() {
        let mut config = Config::default();
        config.training.batch_size = BatchSize::Clips(4);
        config.data.max_frames = 10;
        config.data.frame_size = [100, 50];
        let batch_bytes = 4 * 10 * 3 * 100 * 50;
        for (workers, prefetch, batches, decoders) in [(2, 3, 7, 2), (0, 3, 1, 1)] {
            config.dataloader.num_workers = workers;
            config.dataloader.prefetch_factor = prefetch;
            assert_eq!(decode_window_bytes(&config, 64 * MIB), batches * batch_bytes + decoders * 64 * MIB);
        }
    }

    proptest! {
        #[test]
        fn more_clips_frames_or_pixels_need_more(
            clips in 1usize..40, frames in 1usize..40, height in 32usize..400, width in 32usize..400,
            deep in any::<bool>(), on_cuda in any::<bool>(), half in any::<bool>(), lstm in any::<bool>(),
        ) {
            let backbone = if deep { Backbone::Resnet50 } else { Backbone::Resnet18 };
            let device = if on_cuda { DeviceKind::Cuda } else { DeviceKind::Cpu };
            let format = if half { Format::Fp16 } else { Format::F32 };
            let mut config = config(backbone, frames, 32);
            config.data.frame_size = [height, width];
            config.model.temporal = if lstm { Temporal::LstmAttention } else { Temporal::Mean };
            let peak = |config: &Config, clips| training_step(config, clips, device, format).peak_bytes;
            let here = peak(&config, clips);
            prop_assert!(peak(&config, clips + 1) > here);
            let mut longer = config.clone();
            longer.data.max_frames += 1;
            prop_assert!(peak(&longer, clips) > here);
            for side in [0, 1] {
                let mut larger = config.clone();
                larger.data.frame_size[side] += 1;
                prop_assert!(peak(&larger, clips) > here);
            }
        }
    }
}
