//! Facts about the device and the host, as the caller found them. Only data: nothing is measured here.

use serde::Serialize;

use crate::memory::predict::DeviceKind;

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
