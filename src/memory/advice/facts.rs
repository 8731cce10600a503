//! Facts about the device and the host, as the caller found them. Only data: nothing is measured here.

use serde::Serialize;

use crate::memory::predict::DeviceKind;
use crate::torch::AMPERE;

/// The source of the facts about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSource {
    /// A GPU of this machine; its memory is the memory that is free now.
    Detected,
    /// A GPU that the user named; its memory is all that it has.
    Given,
    /// The CPU of this machine, with the host memory that is free now.
    Cpu,
}

/// The device that training would run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceFacts {
    /// Product name.
    pub name: String,
    /// Compute capability of a GPU, which decides the number format; `None` where it is not known.
    pub capability: Option<[i32; 2]>,
    /// Memory that training may count on, before the reserve.
    pub memory_bytes: u64,
    /// The source of these facts.
    pub source: DeviceSource,
}

impl DeviceFacts {
    /// The kind of device.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        if self.source == DeviceSource::Cpu { DeviceKind::Cpu } else { DeviceKind::Cuda }
    }

    /// The compute capability to choose a number format for; `None` on the CPU. A GPU that is not known is taken for
    /// one of today.
    pub(super) fn format_capability(&self) -> Option<[i32; 2]> {
        (self.kind() == DeviceKind::Cuda).then(|| self.capability.unwrap_or(AMPERE))
    }
}

/// The machine around the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// Host memory that a run may still take.
    pub free_bytes: u64,
    /// Processor cores that a run may use.
    pub cores: usize,
    /// Memory of one decoding thread of the loader.
    pub decoder_bytes: u64,
}
