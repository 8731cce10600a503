//! The device that a run would take on this machine, and its memory, for predictions of what fits. Predicts nothing;
//! that is `memory`. A run's real device is decided in `model/placement.rs`.

use crate::config::{Config, ConfigError, DeviceChoice};
use crate::loader::DECODER_BYTES;
use crate::memory::{DeviceFacts, DeviceSource, HostFacts, Snapshot};

/// The host around the device.
pub(crate) fn host_facts(memory: &Snapshot) -> HostFacts {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    HostFacts { free_bytes: memory.host_free_bytes(), cores, decoder_bytes: DECODER_BYTES }
}

/// The device that a run with this configuration would take on this machine.
pub(crate) fn detected_device(
    config: &Config,
    memory: &Snapshot,
    cuda_available: bool,
) -> Result<DeviceFacts, ConfigError> {
    let cpu = || DeviceFacts { name: "CPU".into(), memory_bytes: memory.host_free_bytes(), source: DeviceSource::Cpu };
    let cuda_index = match config.gpu.device {
        DeviceChoice::Cpu => return Ok(cpu()),
        DeviceChoice::Auto if !cuda_available => return Ok(cpu()),
        DeviceChoice::Auto => 0,
        DeviceChoice::Cuda(index) => index,
    };
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let index = driver_index(cuda_index, visible.as_deref());
    match memory.gpus.iter().find(|gpu| gpu.index as usize == index) {
        Some(gpu) => {
            let allowed_bytes = allowed_bytes(config, gpu.memory_total_bytes);
            let memory_bytes = gpu.memory_free_bytes.min(allowed_bytes);
            Ok(DeviceFacts { name: gpu.name.clone(), memory_bytes, source: DeviceSource::Detected })
        }
        None => Err(ConfigError {
            place: "this machine".into(),
            key: "gpu.device".into(),
            problem: format!("found {}, but the driver shows no such GPU", config.gpu.device),
            hint: Some("`dfdetect suggest` judges another machine with --gpu NAME or --gpu-memory SIZE".into()),
        }),
    }
}

/// What `gpu.memory_fraction` leaves of a device's memory.
pub(crate) fn allowed_bytes(config: &Config, total_bytes: u64) -> u64 {
    config.gpu.memory_fraction.map_or(total_bytes, |share| (total_bytes as f64 * share) as u64)
}

/// CUDA counts only the devices that `CUDA_VISIBLE_DEVICES` lists; the driver counts them all.
fn driver_index(cuda_index: usize, visible: Option<&str>) -> usize {
    let listed = visible.and_then(|list| list.split(',').nth(cuda_index)?.trim().parse().ok());
    listed.unwrap_or(cuda_index)
}
