//! A trace of the network: what it does, recorded once, for any number of clips and frames.

use tch::{Kind, Tensor};

use super::{ExportError, Facts, Format, NOTE};
use crate::model::{Detector, Mode};
use crate::torch::trace::{Named, traced};

/// Of both more than one: what is computed of a single clip or frame may be another thing than of several.
const CLIPS: i64 = 2;
const FRAMES: i64 = 3;

pub(super) fn file(detector: &Detector, facts: &Facts) -> Result<Vec<u8>, ExportError> {
    let _no_grad = tch::no_grad_guard();
    let shape = [CLIPS, FRAMES, facts.height as i64, facts.width as i64, 3];
    let frames_bthwc = Tensor::f_zeros(shape, (Kind::Uint8, detector.device()))?;
    let parameters = detector.parameters().iter().map(|parameter| Named {
        name: &parameter.name,
        tensor: &parameter.tensor,
        is_parameter: !parameter.name.contains(".running_"),
    });
    let constants = detector.constants().map(|(name, tensor)| Named { name, tensor, is_parameter: false });
    let named: Vec<_> = parameters.chain(constants).collect();
    let mut forward = |frames_bthwc: &Tensor| {
        let logits = detector.forward(frames_bthwc, Mode::Evaluate)?;
        Ok([logits.clips_b, logits.frames_bt])
    };
    Ok(traced(&named, &frames_bthwc, (NOTE, &facts.json(Format::Torchscript)), &mut forward)?)
}
