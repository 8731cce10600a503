//! The file formats of exported networks: which there are, and their extensions. How each is written is in
//! `safetensors.rs`, `torchscript.rs` and `onnx`.

use clap::ValueEnum;

/// The format of an exported file.
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
    /// Whether the file contains the computation, and not only weights.
    #[must_use]
    pub fn computes(self) -> bool {
        self != Self::Safetensors
    }

    /// The file extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Torchscript => "pt",
            Self::Onnx => "onnx",
        }
    }
}
