//! The device and the number format of a network, from the configuration and the hardware of this machine. Also sets
//! the modes of cuDNN. Creates and moves no tensor.

use tch::Device;

use crate::config::{ConfigError, DeviceChoice, GpuConfig, Precision};
use crate::torch::{self, Format};

/// The decision, with its reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The device of the tensors.
    pub device: Device,
    /// The format of the backbone's forward pass.
    pub format: Format,
    /// The reason, for the log.
    pub reason: String,
}

impl Placement {
    /// Decides for this machine; sets libtorch's modes on CUDA.
    ///
    /// # Errors
    /// The configuration names a CUDA device that does not exist.
    pub fn decide(config: &GpuConfig) -> Result<Self, ConfigError> {
        let devices = if torch::cuda_available() { usize::try_from(tch::Cuda::device_count()).unwrap_or(0) } else { 0 };
        let device = choose_device(config.device, devices)?;
        let format = Format::resolve(config.mixed_precision, device.is_cuda());
        let why = reason(config.mixed_precision, format);
        if device.is_cuda() {
            tch::Cuda::cudnn_set_benchmark(config.cudnn_benchmark && !config.deterministic);
            config.allow_tf32.map_or(Ok(()), torch::allow_tf32).map_err(|error| ConfigError {
                place: "configuration".into(),
                key: "gpu.allow_tf32".into(),
                problem: format!("libtorch refuses it: {error}"),
                hint: None,
            })?;
            if config.deterministic {
                torch::be_deterministic().map_err(|error| ConfigError {
                    place: "configuration".into(),
                    key: "gpu.deterministic".into(),
                    problem: format!("libtorch cannot be made deterministic: {error}"),
                    hint: Some("set gpu.deterministic: false".into()),
                })?;
            }
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

/// The reason for the format.
fn reason(precision: Precision, format: Format) -> &'static str {
    match (precision, format) {
        (Precision::Auto, Format::Fp16) => "automatic, with loss scaling",
        (Precision::Auto, Format::Bf16) => "automatic, this CPU has bf16 instructions",
        (Precision::Auto, Format::F32) => "automatic, no bf16 instructions are used on this CPU",
        (Precision::Off, _) => "mixed precision is off",
        _ => "as configured",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_what_is_there() {
        assert_eq!(choose_device(DeviceChoice::Auto, 0).unwrap(), Device::Cpu);
        assert_eq!(choose_device(DeviceChoice::Auto, 2).unwrap(), Device::Cuda(0));
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_with_its_key() {
        let error = choose_device(DeviceChoice::Cuda(1), 1).unwrap_err();
        assert_eq!(error.key, "gpu.device");
    }
}
