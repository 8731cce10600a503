//! Export as TorchScript: a trace of the network that is valid for any number of clips and frames. Returns bytes and
//! writes no file. Does not call libtorch's tracing itself; `torch/trace.rs` does.

use tch::{Kind, Tensor};

use super::error::ExportError;
use super::format::Format;
use super::metadata::{ExportMetadata, METADATA_KEY};
use crate::model::{Detector, Mode};
use crate::torch::trace::{Named, traced};

/// Size of the traced input. Both are above 1, because a trace could specialise on a dimension of size 1.
const CLIPS: i64 = 2;
const FRAMES: i64 = 3;

pub(super) fn serialize(detector: &Detector, metadata: &ExportMetadata) -> Result<Vec<u8>, ExportError> {
    let _no_grad = tch::no_grad_guard();
    let shape = [CLIPS, FRAMES, metadata.height as i64, metadata.width as i64, 3];
    let frames_bthwc = Tensor::f_zeros(shape, (Kind::Uint8, detector.device()))?;
    let parameters = detector.parameters().iter().map(|parameter| Named {
        name: &parameter.name,
        tensor: &parameter.tensor,
        // Running statistics of batch norm are buffers.
        is_parameter: !parameter.name.contains(".running_"),
    });
    let constants = detector.constants().map(|(name, tensor)| Named { name, tensor, is_parameter: false });
    let named: Vec<_> = parameters.chain(constants).collect();
    let mut forward = |frames_bthwc: &Tensor| {
        let logits = detector.forward(frames_bthwc, Mode::Evaluate)?;
        Ok([logits.clips_b, logits.frames_bt])
    };
    Ok(traced(&named, &frames_bthwc, (METADATA_KEY, &metadata.json(Format::Torchscript)), &mut forward)?)
}
