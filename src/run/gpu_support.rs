//! Why a GPU of this machine cannot be used by this libtorch, said where a run would go without it. Which device a run
//! takes is decided in `model/placement.rs`.

use crate::config::{ConfigError, DeviceChoice, GpuConfig};
use crate::memory::{GpuMemory, Snapshot};
use crate::model::Placement;
use crate::torch;

/// Why the GPUs that the driver shows cannot be used: one sentence for each, or for their driver. Empty where nothing
/// speaks against them.
#[must_use]
pub fn unusable_gpus(gpus: &[GpuMemory], driver: Option<&str>) -> Vec<String> {
    let number = driver.and_then(|driver| driver.split('.').next()?.parse::<u32>().ok());
    if let (false, Some(number), Some(driver)) = (gpus.is_empty(), number, driver)
        && number < torch::LEAST_DRIVER
    {
        let least = torch::LEAST_DRIVER;
        return vec![format!(
            "NVIDIA's driver here is {driver}, this libtorch needs {least} or newer: update it, or use the CPU"
        )];
    }
    let reason = |gpu: &GpuMemory| {
        let [major, minor] = gpu.compute_capability.filter(|capability| !torch::has_kernels_for(*capability))?;
        Some(format!(
            "GPU {}, {}, has compute capability {major}.{minor}, for which this libtorch has no kernels (7.5, Turing, \
             and newer): use the CPU, or this program built with a libtorch for an older CUDA",
            gpu.index, gpu.name
        ))
    };
    gpus.iter().filter_map(reason).collect()
}

/// Decides on device and number format as [`Placement::decide`] does, and says why a GPU is left out.
///
/// # Errors
/// The configuration names a CUDA device that does not work here.
pub(super) fn decide_placement(config: &GpuConfig) -> Result<Placement, ConfigError> {
    let placement = Placement::decide(config);
    let goes_without = match &placement {
        Ok(placement) => !placement.device.is_cuda() && config.device == DeviceChoice::Auto,
        Err(error) => error.key == "gpu.device",
    };
    if goes_without {
        let memory = Snapshot::take();
        for reason in unusable_gpus(&memory.gpus, memory.driver.as_deref()) {
            tracing::warn!("{reason}");
        }
    }
    placement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::device_facts::tests::gpu;

    #[test]
    fn old_cards_and_old_drivers_are_named() {
        let old = GpuMemory { name: "GTX 1080".into(), compute_capability: Some([6, 1]), ..gpu(1, 0x65) };
        let new = GpuMemory { compute_capability: Some([7, 5]), ..gpu(0, 0x17) };
        let unknown = gpu(2, 0x99);
        let reasons = unusable_gpus(&[new.clone(), old, unknown], Some("580.65.06"));
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].contains("GPU 1, GTX 1080, has compute capability 6.1"), "{reasons:?}");
        let reasons = unusable_gpus(std::slice::from_ref(&new), Some("535.104.05"));
        assert!(reasons[0].contains("driver here is 535.104.05, this libtorch needs 580"), "{reasons:?}");
        assert!(unusable_gpus(&[new], None).is_empty() && unusable_gpus(&[], Some("470.1")).is_empty());
    }
}
