//! Export of a trained network as one file for other programs: its weights under torchvision's and PyTorch's names, or
//! the whole computation as TorchScript or ONNX, from pixels to logits.
//!
//! The result is bytes; the caller writes the file. Every file carries its [`ExportMetadata`]. This room knows nothing
//! of runs and checkpoints.

mod error;
mod format;
mod metadata;
mod onnx;
mod safetensors;
mod serialize;
mod tensor_bytes;
mod torchscript;

pub use error::ExportError;
pub use format::Format;
pub use metadata::{ExportMetadata, METADATA_KEY, OUTPUTS};
pub use serialize::serialize;
