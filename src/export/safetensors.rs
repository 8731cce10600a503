//! Export of the weights alone. The computation is not in the file; that is `torchscript.rs` and `onnx`.
//!
//! The backbone's weights have torchvision's names, the head's those of PyTorch's layers after `head.`. A head of a
//! single layer is named as torchvision's `fc`, so that the file fits a `resnet18(num_classes=1)`.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

use super::error::ExportError;
use super::format::Format;
use super::metadata::{ExportMetadata, METADATA_KEY};
use super::tensor_bytes::float32_bytes;
use crate::model::Detector;
use crate::torch::Result as TorchResult;

pub(super) fn serialize(detector: &Detector, metadata: &ExportMetadata) -> Result<Vec<u8>, ExportError> {
    let parameters = detector.parameters().iter().map(|parameter| {
        let shape: Vec<_> = parameter.tensor.size().iter().map(|size| *size as usize).collect();
        Ok((torchvision_name(&parameter.name), shape, float32_bytes(&parameter.tensor)?))
    });
    let parameters = parameters.collect::<TorchResult<Vec<_>>>()?;
    let views = parameters.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        Ok((*name, view.map_err(|error| ExportError::Unknown(format!("{name}: {error}")))?))
    });
    let views = views.collect::<Result<Vec<_>, ExportError>>()?;
    // A single entry, because the order of several in the file would be random.
    let header = HashMap::from([(METADATA_KEY.to_owned(), metadata.json(Format::Safetensors))]);
    safetensors::serialize(views, Some(header)).map_err(|error| ExportError::Unknown(error.to_string()))
}

fn torchvision_name(name: &str) -> &str {
    let name = name.strip_prefix("backbone.").unwrap_or(name);
    name.strip_prefix("head.").filter(|layer| layer.starts_with("fc.")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_torchvisions() {
        for (ours, theirs) in [
            ("backbone.layer1.0.conv1.weight", "layer1.0.conv1.weight"),
            ("head.fc.bias", "fc.bias"),
            ("head.lstm.weight_ih_l0", "head.lstm.weight_ih_l0"),
        ] {
            assert_eq!(torchvision_name(ours), theirs);
        }
    }
}
