//! Export of the weights alone. The computation is not in the file; that is `torchscript.rs` and `onnx`.
//!
//! The backbone's weights have the names of the package that published it, the head's those of PyTorch's layers after
//! `head.`. A head of a single layer is named as the package's classifier, so that the file fits torchvision's
//! `resnet18(num_classes=1)`.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

use super::error::ExportError;
use super::format::Format;
use super::metadata::{ExportMetadata, METADATA_KEY};
use super::tensor_bytes::float32_bytes;
use crate::model::Detector;
use crate::torch::Result as TorchResult;

pub(super) fn serialize(detector: &Detector, metadata: &ExportMetadata) -> Result<Vec<u8>, ExportError> {
    let classifier = metadata.model.backbone.description().classifier;
    let parameters = detector.parameters().iter().map(|parameter| {
        let shape: Vec<_> = parameter.tensor.size().iter().map(|size| *size as usize).collect();
        Ok((published_name(&parameter.name, classifier), shape, float32_bytes(&parameter.tensor)?))
    });
    let parameters = parameters.collect::<TorchResult<Vec<_>>>()?;
    let views = parameters.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        Ok((name.as_str(), view.map_err(|error| ExportError::Unknown(format!("{name}: {error}")))?))
    });
    let views = views.collect::<Result<Vec<_>, ExportError>>()?;
    // A single entry, because the order of several in the file would be random.
    let header = HashMap::from([(METADATA_KEY.to_owned(), metadata.json(Format::Safetensors))]);
    safetensors::serialize(views, Some(header)).map_err(|error| ExportError::Unknown(error.to_string()))
}

fn published_name(name: &str, classifier: &str) -> String {
    match name.strip_prefix("head.fc.") {
        Some(tensor) => format!("{classifier}.{tensor}"),
        None => name.strip_prefix("backbone.").unwrap_or(name).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_backbones_package() {
        for (ours, classifier, theirs) in [
            ("backbone.layer1.0.conv1.weight", "fc", "layer1.0.conv1.weight"),
            ("head.fc.bias", "fc", "fc.bias"),
            ("head.fc.bias", "_fc", "_fc.bias"),
            ("head.lstm.weight_ih_l0", "_fc", "head.lstm.weight_ih_l0"),
        ] {
            assert_eq!(published_name(ours, classifier), theirs);
        }
    }
}
