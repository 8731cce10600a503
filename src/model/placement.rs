//! Where a network runs and in which number format: what the configuration asks for against what this machine has.

use tch::Device;

use crate::config::{ConfigError, DeviceChoice, GpuConfig, Precision};
use crate::torch::{self, Format};

/// A decision, with the words to tell the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Where tensors live.
    pub device: Device,
    /// The format of the backbone's forward pass.
    pub format: Format,
    /// Why, for the log.
    pub reason: String,
}

impl Placement {
    /// Decides for this machine.
    ///
    /// # Errors
    /// A CUDA device is asked for by name and is not there.
    pub fn decide(config: &GpuConfig) -> Result<Self, ConfigError> {
        let devices = if torch::cuda_available() { usize::try_from(tch::Cuda::device_count()).unwrap_or(0) } else { 0 };
        let device = choose_device(config.device, devices)?;
        let (format, why) = choose_format(config.mixed_precision, device, torch::cpu_has_bf16());
        if device.is_cuda() {
            tch::Cuda::cudnn_set_benchmark(config.cudnn_benchmark);
        }
        let place = if device.is_cuda() { format!("{device:?}") } else { "CPU".to_owned() };
        Ok(Self { device, format, reason: format!("{place}, {} ({why})", format.name()) })
    }
}

fn choose_device(choice: DeviceChoice, cuda_devices: usize) -> Result<Device, ConfigError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto if cuda_devices == 0 => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(Device::Cuda(0)),
        DeviceChoice::Cuda(index) if index < cuda_devices => Ok(Device::Cuda(index)),
        DeviceChoice::Cuda(index) => Err(ConfigError {
            place: "configuration".into(),
            key: "gpu.device".into(),
            problem: format!("cuda:{index} is asked for, CUDA devices that work here: {cuda_devices}"),
            hint: Some("`gpu.device: auto` uses what is there; `dfdetect meminfo` shows it".into()),
        }),
    }
}

fn choose_format(precision: Precision, device: Device, cpu_has_bf16: bool) -> (Format, &'static str) {
    match precision {
        Precision::Off => (Format::F32, "mixed precision is off"),
        Precision::Fp16 => (Format::Fp16, "as configured"),
        Precision::Bf16 => (Format::Bf16, "as configured"),
        Precision::Auto if device.is_cuda() => (Format::Fp16, "automatic, with loss scaling"),
        Precision::Auto if cpu_has_bf16 => (Format::Bf16, "automatic, this CPU has bf16 instructions"),
        Precision::Auto => (Format::F32, "automatic, this CPU has no bf16 instructions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_what_is_there() {
        assert_eq!(choose_device(DeviceChoice::Auto, 0).unwrap(), Device::Cpu);
        assert_eq!(choose_device(DeviceChoice::Auto, 2).unwrap(), Device::Cuda(0));
        assert_eq!(choose_format(Precision::Auto, Device::Cuda(0), true).0, Format::Fp16);
        assert_eq!(choose_format(Precision::Auto, Device::Cpu, true).0, Format::Bf16);
        assert_eq!(choose_format(Precision::Auto, Device::Cpu, false).0, Format::F32);
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_with_its_key() {
        let error = choose_device(DeviceChoice::Cuda(1), 1).unwrap_err();
        assert_eq!(error.key, "gpu.device");
    }
}
