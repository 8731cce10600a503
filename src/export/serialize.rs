//! Serialises a network in one of the formats. Only chooses the writer; each format has a file or folder of its own.

use super::error::ExportError;
use super::format::Format;
use super::metadata::ExportMetadata;
use super::{onnx, safetensors, torchscript};
use crate::model::Detector;

/// The bytes of the file of a network, which must be on the CPU and compute in float32.
///
/// # Errors
/// Out of memory, or the network has parts that the format's writer does not support.
pub fn serialize(detector: &Detector, metadata: &ExportMetadata, format: Format) -> Result<Vec<u8>, ExportError> {
    match format {
        Format::Safetensors => safetensors::serialize(detector, metadata),
        Format::Torchscript => torchscript::serialize(detector, metadata),
        Format::Onnx => onnx::serialize(detector, metadata),
    }
}
