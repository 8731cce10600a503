//! Names of the model's input and outputs. Names of weights are those of the network.

pub(super) const FRAMES: &str = "frames";
pub(super) const CLIP_LOGITS: &str = "clip_logits";
pub(super) const FRAME_LOGITS: &str = "frame_logits";
