//! Expected speed of settings: a number that ranks settings of the same device, not a time. Memory is predicted in
//! `step.rs`.
//!
//! The number follows from the multiplications of a step. The factor of half precision was measured on the CPU
//! (libtorch 2.11, AVX-512 bf16, ResNet-18 and ResNet-50 at 224 x 224: 1.8 to 1.9). The same factor is assumed on CUDA,
//! where tensor cores are rather faster.

use super::estimate::DeviceKind;
use super::layers::network;
use crate::config::{Config, OptimizerChoice};
use crate::torch::Format;

/// Speed of half precision, relative to float32.
const HALF_PRECISION: f64 = 1.9;
/// Speed of convolutions in NHWC order, relative to NCHW.
const CHANNELS_LAST: f64 = 1.1;
/// Fixed cost of a forward and backward pass, in frames, on the CPU and on CUDA: starting kernels, filling the device.
const OVERHEAD_FRAMES: (f64, f64) = (0.5, 8.0);

/// Expected clips a second, in a unit that only serves to compare.
pub fn expected_speed(config: &Config, device: DeviceKind, format: Format) -> f64 {
    let frames = config.data.training_frames();
    let (backbone, _) = network(&config.model, frames, config.data.frame_size);
    let frames = frames as f64;
    let frames_at_once = frames * config.training.batch_size.clips() as f64;
    let overhead = match device {
        DeviceKind::Cpu => OVERHEAD_FRAMES.0,
        DeviceKind::Cuda => OVERHEAD_FRAMES.1,
    };
    let half = if format == Format::F32 { 1.0 } else { HALF_PRECISION };
    let layout = if config.gpu.channels_last { CHANNELS_LAST } else { 1.0 };
    // Backward costs as much as two forward passes; activation checkpointing adds a third.
    let passes = if config.model.activation_checkpointing { 4.0 } else { 3.0 };
    let times = if config.training.optimizer == OptimizerChoice::Sam { 2.0 } else { 1.0 };
    half * layout / (times * passes * backbone.multiplications() as f64 * frames * (1.0 + overhead / frames_at_once))
}
