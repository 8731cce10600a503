//! Predicts the peak memory of one training or evaluation step from the configuration alone.
//!
//! Walks through the network in the order of forward and backward, and adds up what is alive. Runs nothing, so it also
//! answers for a GPU that is somewhere else.

use serde::Serialize;

use super::layers::{Head, ResNet, network};
use crate::config::{Config, Precision};

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
/// Share of the tensors that the caching allocator loses to rounding and to blocks of the wrong size.
const CUDA_FRAGMENTATION_PERCENT: u64 = 10;

/// Code and scratch of oneDNN that only a first step brings in; measured with PyTorch 2.11 on an AVX-512 CPU.
const ONEDNN_BYTES: u64 = 48 * MIB;
/// glibc gives blocks from this size on back to the system at once; smaller ones share a heap with holes in it.
const HEAP_BLOCK_BYTES: u64 = 32 * MIB;
/// What those holes add to the smaller blocks; measured as above, on steps of 4 to 64 frames.
const HEAP_FRAGMENTATION_PERCENT: u64 = 45;

/// What runs the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The host's processor and memory.
    Cpu,
    /// An NVIDIA GPU and its memory.
    Cuda,
}

/// The number format of the forward pass; weights, gradients and moments are always float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// float32 throughout.
    F32,
    /// Autocast to half precision.
    Fp16,
    /// Autocast to bfloat16.
    Bf16,
}

impl NumberFormat {
    /// What a configured precision means on a device; `Auto` looks at this machine's CPU.
    #[must_use]
    pub fn resolve(precision: Precision, device: DeviceKind) -> Self {
        match (precision, device) {
            (Precision::Off, _) => Self::F32,
            (Precision::Fp16, _) | (Precision::Auto, DeviceKind::Cuda) => Self::Fp16,
            (Precision::Bf16, _) => Self::Bf16,
            (Precision::Auto, DeviceKind::Cpu) if cpu_has_bf16() => Self::Bf16,
            (Precision::Auto, DeviceKind::Cpu) => Self::F32,
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::F32 => F32_BYTES,
            Self::Fp16 | Self::Bf16 => 2,
        }
    }
}

/// Whether this CPU computes in bfloat16 rather than emulating it.
#[must_use]
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
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
pub fn training_step(config: &Config, micro_batch: usize, device: DeviceKind, format: NumberFormat) -> Estimate {
    let step = Step::new(config, micro_batch, format);
    let activations = step.input_bytes + step.kept_bytes(step.resnet.convs.len()) + step.head_bytes();
    let transient = step.backward_peak_bytes().saturating_sub(activations);
    let parameters = super::parameter_count(&config.model);
    step.estimate(config, device, activations, transient, 3 * F32_BYTES * parameters)
}

/// Peak of a forward pass without gradients on `micro_batch` clips: validation, testing, prediction.
#[must_use]
pub fn evaluation_step(config: &Config, micro_batch: usize, device: DeviceKind, format: NumberFormat) -> Estimate {
    let step = Step::new(config, micro_batch, format);
    let transient = step.forward_peak_bytes();
    step.estimate(config, device, step.input_bytes, transient, 0)
}

/// Host memory of the loader: clips that wait, one batch in use, and a decoder in every worker.
#[must_use]
pub fn decode_window_bytes(config: &Config) -> u64 {
    // A 1080p H.264 decoder holds up to 17 reference frames of 3 MiB, and the scaler's buffers.
    const DECODER_BYTES: u64 = 64 * MIB;
    let loader = &config.dataloader;
    let workers = loader.num_workers.max(1) as u64;
    let batches = if loader.num_workers == 0 { 1 } else { workers * loader.prefetch_factor as u64 + 1 };
    let [height, width] = config.data.frame_size;
    let clip_bytes = (config.data.max_frames * 3 * height * width) as u64;
    batches * config.training.batch_size as u64 * clip_bytes + workers * DECODER_BYTES
}

/// A network and what one forward pass of it works on.
struct Step {
    resnet: ResNet,
    head: Head,
    clips: u64,
    frames: u64,
    format: NumberFormat,
    input_bytes: u64,
}

impl Step {
    fn new(config: &Config, micro_batch: usize, format: NumberFormat) -> Self {
        let (resnet, head) = network(&config.model, &config.data);
        let clips = micro_batch as u64;
        let frames = clips * config.data.max_frames as u64;
        let [height, width] = config.data.frame_size;
        // The decoded bytes, their float32 form, and the copy in the order and format that convolutions want.
        let reordered = config.gpu.channels_last || format != NumberFormat::F32;
        let pixel_bytes = 1 + F32_BYTES + if reordered { format.bytes() } else { 0 };
        let input_bytes = frames * 3 * (height * width) as u64 * pixel_bytes;
        Self { resnet, head, clips, frames, format, input_bytes }
    }

    /// Bytes of `elements` of every frame.
    fn bytes(&self, elements: u64) -> u64 {
        elements * self.frames * self.format.bytes()
    }

    /// What the first `convs` convolutions keep for backward, with the pool behind the first one.
    fn kept_bytes(&self, convs: usize) -> u64 {
        let elements: u64 = self.resnet.convs[..convs].iter().map(|conv| conv.kept_elements).sum();
        let pooled = self.resnet.pooled_elements;
        self.bytes(elements + pooled) + pooled * self.frames * POOL_INDEX_BYTES
    }

    fn head_bytes(&self) -> u64 {
        self.clips * self.head.kept_elements * self.format.bytes()
    }

    /// The fullest moment of backward. What a layer kept is freed behind it, while the layers in front of it are larger.
    fn backward_peak_bytes(&self) -> u64 {
        let mut kept_bytes = self.input_bytes + self.kept_bytes(0);
        let mut peak_bytes = 0;
        for conv in &self.resnet.convs {
            kept_bytes += self.bytes(conv.kept_elements);
            // Gradients of the normalised output, of the convolution's output, and of its input.
            peak_bytes = peak_bytes.max(kept_bytes + self.bytes(2 * conv.out_elements + conv.in_elements));
        }
        peak_bytes
    }

    /// Without gradients only a layer's input, its output, the normalised output and a shortcut are alive.
    fn forward_peak_bytes(&self) -> u64 {
        let alive = self.resnet.convs.iter().map(|conv| conv.in_elements + 2 * conv.out_elements);
        self.bytes(alive.max().unwrap_or(0))
    }

    /// Adds what follows from the device. `training_bytes` are gradients and moments.
    fn estimate(
        &self,
        config: &Config,
        device: DeviceKind,
        activations: u64,
        transient: u64,
        training_bytes: u64,
    ) -> Estimate {
        let parameters = super::parameter_count(&config.model);
        let copies = if self.format == NumberFormat::F32 { 0 } else { parameters * self.format.bytes() };
        let (scratch, context, other) = match device {
            DeviceKind::Cuda => {
                let tuning = if config.gpu.cudnn_benchmark { CUDNN_AUTOTUNE_BYTES } else { CUDNN_WORKSPACE_BYTES };
                let margin = (activations + transient) * CUDA_FRAGMENTATION_PERCENT / 100;
                (CUBLAS_WORKSPACE_BYTES + tuning, CUDA_CONTEXT_BYTES, margin)
            }
            DeviceKind::Cpu => (ONEDNN_BYTES, 0, self.heap_bytes() * HEAP_FRAGMENTATION_PERCENT / 100),
        };
        Estimate::from(Breakdown {
            weights: (parameters + self.resnet.buffers()) * F32_BYTES + copies,
            gradients: training_bytes / 3,
            optimizer: training_bytes - training_bytes / 3,
            activations,
            workspace: transient + scratch,
            context,
            other,
        })
    }

    /// What is kept in blocks that the C library does not give back one by one.
    fn heap_bytes(&self) -> u64 {
        let small = |conv: &&super::layers::ConvNorm| self.bytes(conv.out_elements) < HEAP_BLOCK_BYTES;
        self.bytes(self.resnet.convs.iter().filter(small).map(|conv| conv.kept_elements).sum())
    }
}
