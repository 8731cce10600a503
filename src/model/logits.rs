//! The output of the detector. Only data: `evaluate` turns logits into probabilities.

use tch::Tensor;

/// The detector's output; a positive logit means fake.
#[derive(Debug)]
pub struct Logits {
    /// One a clip, `[B]`.
    pub clips_b: Tensor,
    /// One a frame, `[B, T]`; for reading, not for training.
    pub frames_bt: Tensor,
}
