//! How fast settings can be expected to run: a number to rank settings of the same device by, not a time.
//!
//! Counts the multiplications of a step. How much faster half precision is was measured on the CPU (libtorch 2.11,
//! AVX-512 bf16, ResNet-18 and ResNet-50 at 224 x 224: 1.8 to 1.9); on CUDA the same is assumed, which tensor cores
//! exceed rather than miss.

use super::estimate::DeviceKind;
use super::layers::network;
use crate::config::Config;
use crate::torch::Format;

/// How many times faster than float32.
const HALF_PRECISION: f64 = 1.9;
/// NHWC order, for convolutions.
const CHANNELS_LAST: f64 = 1.1;
/// What a forward and backward pass costs on top of its frames, in frames: starting kernels, filling the device.
const OVERHEAD_FRAMES: (f64, f64) = (0.5, 8.0);

/// Expected clips a second, in units that only compare.
pub(super) fn expected_speed(config: &Config, device: DeviceKind, format: Format) -> f64 {
    let (resnet, _) = network(&config.model, config.data.frame_size, config.data.training_frames());
    let frames = config.data.training_frames() as f64;
    let frames_at_once = frames * config.training.batch_size.clips() as f64;
    let overhead = match device {
        DeviceKind::Cpu => OVERHEAD_FRAMES.0,
        DeviceKind::Cuda => OVERHEAD_FRAMES.1,
    };
    let half = if format == Format::F32 { 1.0 } else { HALF_PRECISION };
    let layout = if config.gpu.channels_last { CHANNELS_LAST } else { 1.0 };
    // Forward once more, beside forward and twice as much in backward.
    let passes = if config.model.activation_checkpointing { 4.0 } else { 3.0 };
    half * layout / (passes * resnet.multiplications() as f64 * frames * (1.0 + overhead / frames_at_once))
}
