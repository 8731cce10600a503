//! The weights alone. The backbone's have torchvision's names, the head's those of PyTorch's layers behind `head.`; with a
//! single layer as the head, it is that of torchvision's own network, and the file is that of a `resnet18(num_classes=1)`.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

use super::{ExportError, Facts, Format, NOTE, bytes_of};
use crate::model::Detector;
use crate::torch::Result as TorchResult;

pub(super) fn file(detector: &Detector, facts: &Facts) -> Result<Vec<u8>, ExportError> {
    let parameters = detector.parameters().iter().map(|parameter| {
        let shape: Vec<_> = parameter.tensor.size().iter().map(|size| *size as usize).collect();
        Ok((torchvision_name(&parameter.name), shape, bytes_of(&parameter.tensor)?))
    });
    let parameters = parameters.collect::<TorchResult<Vec<_>>>()?;
    let views = parameters.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        Ok((*name, view.map_err(|error| ExportError::Unknown(format!("{name}: {error}")))?))
    });
    let views = views.collect::<Result<Vec<_>, ExportError>>()?;
    // One entry only: of several, the order in the file would be chance.
    let metadata = HashMap::from([(NOTE.to_owned(), facts.json(Format::Safetensors))]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| ExportError::Unknown(error.to_string()))
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
