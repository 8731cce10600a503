//! A trained network as one file for other programs: its weights under torchvision's and PyTorch's names, or the whole
//! computation as TorchScript or ONNX, pixels in and logits out.
//!
//! Makes bytes and knows of no paths; whoever calls writes them. Every file carries its [`Facts`].

mod facts;
mod onnx;
mod safetensors;
mod torchscript;

use clap::ValueEnum;
use tch::{Device, TchError, Tensor};

pub use facts::{Facts, NOTE, OUTPUTS};

use crate::model::Detector;
use crate::torch::Result as TorchResult;

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The weights alone, under torchvision's and PyTorch's names.
    Safetensors,
    /// The computation, for PyTorch and libtorch; no Python code of this program is needed.
    Torchscript,
    /// The computation, for ONNX Runtime and others that read the format.
    Onnx,
}

impl Format {
    /// Whether the file has the computation in it, or only weights.
    #[must_use]
    pub fn computes(self) -> bool {
        self != Self::Safetensors
    }

    /// What files of this kind end in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Torchscript => "pt",
            Self::Onnx => "onnx",
        }
    }
}

/// A network that cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// libtorch failed, or there is no memory.
    #[error("the network cannot be exported: {0}")]
    Torch(#[from] TchError),
    /// The writer of a format does not know the network; that would be a fault of this program.
    #[error("the network cannot be exported: {0}\n  hint: export another format, and report this")]
    Unknown(String),
}

/// The file of a network that is on the CPU and computes in float32.
///
/// # Errors
/// Out of memory, or the network has parts that the format's writer does not know.
pub fn file(detector: &Detector, facts: &Facts, format: Format) -> Result<Vec<u8>, ExportError> {
    match format {
        Format::Safetensors => safetensors::file(detector, facts),
        Format::Torchscript => torchscript::file(detector, facts),
        Format::Onnx => onnx::file(detector, facts),
    }
}

/// The float32 numbers of a tensor, in the order of its dimensions, whatever their order in memory.
fn bytes_of(tensor: &Tensor) -> TorchResult<Vec<u8>> {
    let values = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; values.numel() * 4];
    values.f_copy_data_u8(&mut bytes, values.numel())?;
    Ok(bytes)
}
