//! The weights alone. The backbone's have torchvision's names behind `backbone.`, the head's those of PyTorch's layers.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

use super::{ExportError, Facts, Format, NOTE, bytes_of};
use crate::model::Detector;
use crate::torch::Result as TorchResult;

pub(super) fn file(detector: &Detector, facts: &Facts) -> Result<Vec<u8>, ExportError> {
    let parameters = detector.parameters().iter().map(|parameter| {
        let shape: Vec<_> = parameter.tensor.size().iter().map(|size| *size as usize).collect();
        Ok((parameter.name.as_str(), shape, bytes_of(&parameter.tensor)?))
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
