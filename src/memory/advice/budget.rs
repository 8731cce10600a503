//! The memory that a run may take, and what a configuration takes of it. Changes no setting; that is done in
//! `search.rs`.

use super::facts::{DeviceFacts, HostFacts};
use crate::config::Config;
use crate::memory::predict::{
    DeviceKind, Estimate, cache_budget_bytes, checkpoint_copy_bytes, copies_for_checkpoints, decode_window_bytes,
    evaluation_step, expected_speed, training_step,
};
use crate::torch::Format;

/// Percentage of free memory that is left free: estimates err, other programs grow, and a GPU that drives a screen
/// needs some memory.
const RESERVE_PERCENT: u64 = 10;
/// Below this percentage of the usable memory there is headroom that settings could use.
const HEADROOM_PERCENT: u64 = 60;

/// The bytes that a run may take where `free_bytes` are free.
#[must_use]
pub fn usable_bytes(free_bytes: u64) -> u64 {
    free_bytes - free_bytes / 100 * RESERVE_PERCENT
}

/// The memory that a run may take, on the device and on the host.
pub(super) struct MemoryBudget {
    pub(super) kind: DeviceKind,
    /// Compute capability of a GPU; `None` on the CPU.
    pub(super) capability: Option<[i32; 2]>,
    /// Bytes of the device that a run may take.
    pub(super) device_bytes: u64,
    pub(super) host: HostFacts,
    /// Bytes of the host that a run may take.
    pub(super) host_bytes: u64,
}

impl MemoryBudget {
    pub(super) fn new(device: &DeviceFacts, host: HostFacts) -> Self {
        let host_bytes = usable_bytes(host.free_bytes);
        Self {
            kind: device.kind(),
            capability: device.format_capability(),
            device_bytes: usable_bytes(device.memory_bytes),
            host,
            host_bytes,
        }
    }

    /// The number format that the configured precision means on the device.
    pub(super) fn format(&self, config: &Config) -> Format {
        Format::resolve(config.gpu.mixed_precision, self.capability)
    }

    /// The predicted training step.
    pub(super) fn step(&self, config: &Config) -> Estimate {
        training_step(config, config.training.batch_size.clips(), self.kind, self.format(config))
    }

    /// The predicted evaluation pass.
    pub(super) fn evaluation(&self, config: &Config) -> Estimate {
        evaluation_step(config, config.training.batch_size.clips(), self.kind, self.format(config))
    }

    /// Memory of the device during validation, which takes all frames of a clip; a step may draw only some of them. The
    /// gradients and moments of training stay meanwhile.
    pub(super) fn validation_bytes(&self, config: &Config) -> u64 {
        let training = self.step(config).breakdown;
        self.evaluation(config).peak_bytes + training.gradients + training.optimizer
    }

    /// Host memory of the loader without the frame cache.
    pub(super) fn loader_bytes(&self, config: &Config) -> u64 {
        decode_window_bytes(config, self.host.decoder_bytes)
    }

    /// Host memory besides that of steps, without the frame cache: the loader, and the copy for a checkpoint.
    fn besides_bytes(&self, config: &Config) -> u64 {
        self.loader_bytes(config) + self.checkpoint_bytes(config)
    }

    /// Host memory of the copy for a checkpoint; none is made on a host that is too small for one.
    pub(super) fn checkpoint_bytes(&self, config: &Config) -> u64 {
        let bytes = checkpoint_copy_bytes(config);
        if copies_for_checkpoints(bytes, self.host.free_bytes) { bytes } else { 0 }
    }

    /// Memory of the device that a run needs. On the CPU all of the host's work shares that memory with the step.
    pub(super) fn device_need_bytes(&self, config: &Config) -> u64 {
        let besides_bytes = if self.kind == DeviceKind::Cpu { self.besides_bytes(config) } else { 0 };
        self.step(config).peak_bytes.max(self.validation_bytes(config)) + besides_bytes
    }

    /// Whether a run fits on the device.
    pub(super) fn device_fits(&self, config: &Config) -> bool {
        self.device_need_bytes(config) <= self.device_bytes
    }

    /// The most bytes that the frame cache may take.
    pub(super) fn cache_bytes(&self, config: &Config) -> u64 {
        cache_budget_bytes(config, self.host.free_bytes, self.host.decoder_bytes)
    }

    /// Host memory that a run needs, without the frame cache.
    pub(super) fn host_work_bytes(&self, config: &Config) -> u64 {
        match self.kind {
            DeviceKind::Cpu => self.device_need_bytes(config),
            DeviceKind::Cuda => self.besides_bytes(config),
        }
    }

    /// Whether a run fits on the host, with its frame cache.
    pub(super) fn host_fits(&self, config: &Config) -> bool {
        self.host_work_bytes(config).saturating_add(self.cache_bytes(config)) <= self.host_bytes
    }

    /// Whether a run fits on the device and on the host.
    pub(super) fn fits(&self, config: &Config) -> bool {
        self.device_fits(config) && self.host_fits(config)
    }

    /// Expected clips a second, in a unit that only serves to compare.
    pub(super) fn speed(&self, config: &Config) -> f64 {
        expected_speed(config, self.kind, self.format(config))
    }

    /// Bytes of the device that one step may take; on the CPU, loader, checkpoint and cache take memory there too.
    pub(super) fn step_budget_bytes(&self, config: &Config) -> u64 {
        match self.kind {
            DeviceKind::Cuda => self.device_bytes,
            DeviceKind::Cpu => {
                let besides = self.besides_bytes(config).saturating_add(self.cache_bytes(config));
                self.device_bytes.min(self.host_bytes).saturating_sub(besides)
            }
        }
    }

    /// Whether a run leaves much of the device's memory unused.
    pub(super) fn has_headroom(&self, config: &Config) -> bool {
        self.device_need_bytes(config) < self.device_bytes / 100 * HEADROOM_PERCENT
    }
}

/// Bytes of the device that one step of `config` may take: its memory without the reserve and, on the CPU, without
/// loader, cache and the copy for a checkpoint.
#[must_use]
pub fn step_budget_bytes(config: &Config, device: &DeviceFacts, host: HostFacts) -> u64 {
    MemoryBudget::new(device, host).step_budget_bytes(config)
}
