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
        if config.deterministic
            && config.device != DeviceChoice::Cpu
            && let Some(own) = torch::fix_cublas_workspace()
        {
            tracing::warn!(
                "gpu.deterministic: with CUBLAS_WORKSPACE_CONFIG={own} of the environment, cuBLAS may sum in another \
                 order each time, in the LSTM and in matrix products; :4096:8 and :16:8 do not"
            );
        }
        let capabilities = torch::compute_capabilities();
        let device = choose_device(config.device, &capabilities)?;
        let capability = match device {
            Device::Cuda(index) => Some(capabilities[index].unwrap_or(torch::AMPERE)),
            _ => None,
        };
        let format = Format::resolve(config.mixed_precision, capability);
        let why = reason(config.mixed_precision, format, device.is_cuda());
        if device.is_cuda() {
            set_modes(config)?;
        }
        let place = if device.is_cuda() { format!("{device:?}") } else { "CPU".to_owned() };
        Ok(Self { device, format, reason: format!("{place}, {} ({why})", format.name()) })
    }
}

/// Sets libtorch's modes on CUDA.
fn set_modes(config: &GpuConfig) -> Result<(), ConfigError> {
    let refused = |key: &str, problem: String, hint: Option<&str>| ConfigError {
        place: "configuration".into(),
        key: key.into(),
        problem,
        hint: hint.map(str::to_owned),
    };
    torch::let_cudnn_time_algorithms(config.cudnn_benchmark && !config.deterministic);
    config
        .allow_tf32
        .map_or(Ok(()), torch::allow_tf32)
        .map_err(|error| refused("gpu.allow_tf32", format!("libtorch refuses it: {error}"), None))?;
    if config.deterministic {
        torch::be_deterministic().map_err(|error| {
            let problem = format!("libtorch cannot be made deterministic: {error}");
            refused("gpu.deterministic", problem, Some("set gpu.deterministic: false"))
        })?;
    }
    Ok(())
}

/// The device that is asked for. `auto` is the first one that libtorch has kernels for; `capabilities` are those of the
/// CUDA devices.
fn choose_device(choice: DeviceChoice, capabilities: &[Option<[i32; 2]>]) -> Result<Device, ConfigError> {
    let refused = |problem: String, hint: &str| ConfigError {
        place: "configuration".into(),
        key: "gpu.device".into(),
        problem,
        hint: Some(hint.into()),
    };
    let DeviceChoice::Cuda(index) = choice else {
        let found = if choice == DeviceChoice::Cpu { None } else { first_usable(capabilities) };
        return Ok(found.map_or(Device::Cpu, Device::Cuda));
    };
    match capabilities.get(index) {
        Some(Some(capability)) if !torch::has_kernels_for(*capability) => {
            let [major, minor] = capability;
            Err(refused(
                format!("cuda:{index} has compute capability {major}.{minor}, for which this libtorch has no kernels"),
                "a newer GPU, `gpu.device: cpu`, or this program built with a libtorch for an older CUDA",
            ))
        }
        Some(_) => Ok(Device::Cuda(index)),
        None => Err(refused(
            format!("cuda:{index} is asked for, CUDA devices that work here: {}", capabilities.len()),
            "`gpu.device: auto` uses what is there; `dfdetect meminfo` shows it",
        )),
    }
}

/// The first CUDA device that libtorch has kernels for, of devices with these compute capabilities.
#[must_use]
pub fn first_usable(capabilities: &[Option<[i32; 2]>]) -> Option<usize> {
    capabilities.iter().position(|capability| capability.is_none_or(torch::has_kernels_for))
}

/// The reason for the format.
fn reason(precision: Precision, format: Format, cuda: bool) -> &'static str {
    match (precision, format) {
        (Precision::Auto, Format::Fp16) => "automatic, with loss scaling: this GPU is slow in bf16",
        (Precision::Auto, Format::Bf16) if cuda => "automatic, this GPU multiplies bf16 in hardware",
        (Precision::Auto, Format::Bf16) => "automatic, this CPU has bf16 instructions",
        (Precision::Auto, Format::F32) => "automatic, no bf16 instructions are used on this CPU",
        (Precision::Off, _) => "mixed precision is off",
        _ => "as configured",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURING: Option<[i32; 2]> = Some([7, 5]);

    #[test]
    fn auto_takes_what_is_there_and_has_kernels() {
        let auto = |capabilities: &[_]| choose_device(DeviceChoice::Auto, capabilities).unwrap();
        assert_eq!((auto(&[]), auto(&[TURING, None])), (Device::Cpu, Device::Cuda(0)));
        assert_eq!((auto(&[Some([6, 1]), TURING]), auto(&[Some([7, 0])])), (Device::Cuda(1), Device::Cpu));
        assert_eq!(auto(&[None]), Device::Cuda(0), "what is not known is tried");
        assert_eq!(choose_device(DeviceChoice::Cpu, &[TURING]).unwrap(), Device::Cpu);
    }

    #[test]
    fn a_device_that_is_not_there_or_has_no_kernels_is_an_error_with_its_key() {
        let error = |capabilities: &[_]| choose_device(DeviceChoice::Cuda(1), capabilities).unwrap_err();
        assert_eq!(error(&[TURING]).key, "gpu.device");
        let old = error(&[TURING, Some([6, 1])]);
        assert!(old.problem.contains("compute capability 6.1") && old.hint.unwrap().contains("older CUDA"));
        assert_eq!(choose_device(DeviceChoice::Cuda(1), &[TURING; 2]).unwrap(), Device::Cuda(1));
    }
}
