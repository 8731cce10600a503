//! Memory, load and processes of every NVIDIA GPU, through the driver's management library (NVML). Knows nothing of
//! libtorch; its allocator is in `torch/allocator.rs`.
//!
//! A machine without GPU, driver or library is a normal answer with a reason, not an error.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use serde::{Deserialize, Serialize};

/// One NVIDIA GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuMemory {
    /// The driver's number for it.
    pub index: u32,
    /// Where it is on the bus, `domain:bus:device`, hexadecimal: the same for the driver, for CUDA and after a restart,
    /// unlike numbers.
    pub bus_id: Option<String>,
    /// The driver's unique name for it, `GPU-...`.
    pub uuid: Option<String>,
    /// Compute capability, major and minor.
    pub compute_capability: Option<[i32; 2]>,
    /// Product name.
    pub name: String,
    /// Installed bytes.
    pub memory_total_bytes: u64,
    /// Bytes in use by all processes.
    pub memory_used_bytes: u64,
    /// Bytes that are free for new allocations.
    pub memory_free_bytes: u64,
    /// Percentage of the last sample period in which a kernel ran.
    pub utilization_percent: Option<u32>,
    /// Core temperature in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Power draw now, watts.
    pub power_w: Option<f64>,
    /// Power limit of the driver, watts.
    pub power_limit_w: Option<f64>,
    /// Processes that hold memory on it, as far as this user may see them.
    pub processes: Vec<GpuProcess>,
}

/// A process that holds memory on a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// Process id.
    pub pid: u32,
    /// Bytes of GPU memory that it holds.
    pub used_bytes: Option<u64>,
    /// Name of its program.
    pub name: Option<String>,
}

/// One reading of all GPUs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuReading {
    /// The GPUs that could be read.
    pub gpus: Vec<GpuMemory>,
    /// The driver's version, such as `580.65.06`.
    pub driver: Option<String>,
    /// Why there is no GPU, or which one could not be read.
    pub note: Option<String>,
}

/// A source of readings of GPU memory.
pub trait GpuMemorySource {
    /// Reads every GPU once.
    fn read(&self) -> GpuReading;
}

/// NVML, the driver's management library.
pub struct Nvml(Result<nvml_wrapper::Nvml, String>);

impl Nvml {
    /// Loads the library; if it is missing, every reading has that as its reason.
    #[must_use]
    pub fn load() -> Self {
        Self(nvml_wrapper::Nvml::init().map_err(|error| reason(&error)))
    }
}

impl GpuMemorySource for Nvml {
    fn read(&self) -> GpuReading {
        let nvml = match &self.0 {
            Ok(nvml) => nvml,
            Err(reason) => return GpuReading { note: Some(reason.clone()), ..GpuReading::default() },
        };
        let mut reading = GpuReading { driver: nvml.sys_driver_version().ok(), ..GpuReading::default() };
        let count = match nvml.device_count() {
            Ok(0) => return GpuReading { note: Some("the driver shows no device".into()), ..reading },
            Ok(count) => count,
            Err(error) => return GpuReading { note: Some(reason(&error)), ..reading },
        };
        for index in 0..count {
            match nvml.device_by_index(index).and_then(|device| read_device(nvml, &device, index)) {
                Ok(gpu) => reading.gpus.push(gpu),
                Err(error) => reading.note = Some(format!("GPU {index} cannot be read: {}", reason(&error))),
            }
        }
        reading
    }
}

/// Reads one GPU. Its memory is required; other numbers that it does not report stay absent.
fn read_device(nvml: &nvml_wrapper::Nvml, device: &Device, index: u32) -> Result<GpuMemory, NvmlError> {
    let memory = device.memory_info()?;
    let mut found = device.running_compute_processes().unwrap_or_default();
    found.extend(device.running_graphics_processes().unwrap_or_default());
    found.sort_by_key(|process| process.pid);
    // A process that computes and also draws is in both lists.
    found.dedup_by_key(|process| process.pid);
    let processes = found.into_iter().map(|process| GpuProcess {
        pid: process.pid,
        used_bytes: match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
        name: nvml.sys_process_name(process.pid, 256).ok(),
    });
    let capability = device.cuda_compute_capability().ok();
    Ok(GpuMemory {
        index,
        bus_id: device.pci_info().ok().map(|pci| bus_id(pci.domain, pci.bus, pci.device)),
        uuid: device.uuid().ok(),
        compute_capability: capability.map(|capability| [capability.major, capability.minor]),
        name: device.name().unwrap_or_else(|_| "NVIDIA GPU".into()),
        memory_total_bytes: memory.total,
        memory_used_bytes: memory.used,
        memory_free_bytes: memory.free,
        utilization_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
        temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
        power_w: device.power_usage().ok().map(watts),
        power_limit_w: device.enforced_power_limit().ok().map(watts),
        processes: processes.collect(),
    })
}

/// A place on the bus in the form of [`GpuMemory::bus_id`].
#[must_use]
pub fn bus_id(domain: u32, bus: u32, device: u32) -> String {
    format!("{domain:04x}:{bus:02x}:{device:02x}")
}

fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1000.0
}

fn reason(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            "the NVIDIA driver is not installed here (libnvidia-ml.so.1 was not found)".into()
        }
        NvmlError::DriverNotLoaded => "the NVIDIA driver is installed but not loaded".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A source of readings with GPUs that a test makes up.
    pub(in crate::memory) struct FakeGpus(pub Vec<GpuMemory>);

    impl GpuMemorySource for FakeGpus {
        fn read(&self) -> GpuReading {
            GpuReading { gpus: self.0.clone(), ..GpuReading::default() }
        }
    }

    pub(in crate::memory) fn fake_gpu(index: u32, total_bytes: u64, used_bytes: u64) -> GpuMemory {
        GpuMemory {
            index,
            bus_id: Some(bus_id(0, index + 1, 0)),
            uuid: None,
            compute_capability: None,
            name: format!("Fake {index}"),
            memory_total_bytes: total_bytes,
            memory_used_bytes: used_bytes,
            memory_free_bytes: total_bytes - used_bytes,
            utilization_percent: None,
            temperature_c: None,
            power_w: None,
            power_limit_w: None,
            processes: vec![GpuProcess { pid: 7, used_bytes: None, name: None }],
        }
    }

    #[test]
    fn no_driver_is_an_answer_with_a_reason() {
        let reading = Nvml::load().read();
        assert!(!reading.gpus.is_empty() || reading.note.is_some(), "{reading:?}");
        let missing = nvml_wrapper::Nvml::builder().lib_path("/nonexistent/libnvidia-ml.so".as_ref()).init();
        let reading = Nvml(missing.map_err(|error| reason(&error))).read();
        assert_eq!(reading.gpus, vec![]);
        assert!(reading.note.unwrap().contains("driver is not installed"));
    }
}
