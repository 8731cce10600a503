//! The device that a run would take on this machine, and its memory, for predictions of what fits. Predicts nothing;
//! that is `memory`. A run's real device is decided in `model/placement.rs`.

use crate::config::{Config, ConfigError, DeviceChoice};
use crate::loader::DECODER_BYTES;
use crate::memory::{DeviceFacts, DeviceSource, GpuMemory, HostFacts, Snapshot, bus_id};
use crate::model::first_usable;
use crate::torch;

/// The host around the device.
pub(crate) fn host_facts(memory: &Snapshot) -> HostFacts {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    HostFacts { free_bytes: memory.host_free_bytes(), cores, decoder_bytes: DECODER_BYTES }
}

/// The device that a run with this configuration would take on this machine, whose CUDA devices have these compute
/// capabilities.
pub(crate) fn detected_device(
    config: &Config,
    memory: &Snapshot,
    capabilities: &[Option<[i32; 2]>],
) -> Result<DeviceFacts, ConfigError> {
    let cuda_index = match config.gpu.device {
        DeviceChoice::Cpu => None,
        DeviceChoice::Auto => first_usable(capabilities),
        DeviceChoice::Cuda(index) => Some(index),
    };
    let Some(cuda_index) = cuda_index else {
        let (name, memory_bytes) = ("CPU".into(), memory.host_free_bytes());
        return Ok(DeviceFacts { name, capability: None, memory_bytes, source: DeviceSource::Cpu });
    };
    let place = torch::pci_place(cuda_index);
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    match the_same(&memory.gpus, cuda_index, place, visible.as_deref()) {
        Some(gpu) => {
            let allowed_bytes = allowed_bytes(config, gpu.memory_total_bytes);
            let memory_bytes = gpu.memory_free_bytes.min(allowed_bytes);
            Ok(DeviceFacts {
                name: gpu.name.clone(),
                capability: gpu.compute_capability,
                memory_bytes,
                source: DeviceSource::Detected,
            })
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

/// The GPU that CUDA counts as this one: by its place on the bus, or where that is not known, by what
/// `CUDA_VISIBLE_DEVICES` lists. CUDA counts only the devices there, and otherwise the fastest first.
fn the_same<'g>(
    gpus: &'g [GpuMemory],
    cuda_index: usize,
    place: Option<[u32; 3]>,
    visible: Option<&str>,
) -> Option<&'g GpuMemory> {
    let by_place = place.and_then(|[domain, bus, device]| {
        let place = bus_id(domain, bus, device);
        gpus.iter().find(|gpu| gpu.bus_id.as_ref() == Some(&place))
    });
    let listed = visible.and_then(|list| list.split(',').nth(cuda_index)).map(str::trim);
    let by_list = |listed: &str| match listed.parse::<u32>() {
        Ok(index) => gpus.iter().find(|gpu| gpu.index == index),
        // The beginning of its unique name is enough for CUDA.
        Err(_) => gpus.iter().find(|gpu| gpu.uuid.as_ref().is_some_and(|uuid| uuid.starts_with(listed))),
    };
    by_place.or_else(|| match listed {
        Some(listed) => by_list(listed),
        None => gpus.iter().find(|gpu| gpu.index as usize == cuda_index),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::run) fn gpu(index: u32, bus: u32) -> GpuMemory {
        GpuMemory {
            index,
            bus_id: Some(bus_id(0, bus, 0)),
            uuid: Some(format!("GPU-{bus:08x}-1234")),
            compute_capability: None,
            name: String::new(),
            memory_total_bytes: 1,
            memory_used_bytes: 0,
            memory_free_bytes: 1,
            utilization_percent: None,
            temperature_c: None,
            power_w: None,
            power_limit_w: None,
            processes: vec![],
        }
    }

    #[test]
    fn a_gpu_is_found_by_its_place_then_by_what_is_visible() {
        let gpus = [gpu(0, 0x17), gpu(1, 0x65), gpu(2, 0xca)];
        let found = |index, place, visible| the_same(&gpus, index, place, visible).map(|gpu| gpu.index);
        assert_eq!(found(0, Some([0, 0x65, 0]), Some("2")), Some(1), "the place decides");
        assert_eq!(found(0, Some([0, 0x99, 0]), None), Some(0), "a place that the driver does not know");
        assert_eq!([0, 1].map(|index| found(index, None, Some("2, 0"))), [Some(2), Some(0)]);
        assert_eq!(found(0, None, Some("GPU-00000065")), Some(1));
        assert_eq!((found(0, None, Some("MIG-1")), found(1, None, Some("2"))), (None, Some(1)));
        assert_eq!((found(2, None, None), found(3, None, None)), (Some(2), None));
    }
}
