//! Activation checkpointing of the backbone (Chen et al. 2016): forward keeps only the inputs of its segments; backward
//! runs each segment again with a graph, last first.
//!
//! With `activation_checkpointing` each part is a segment; for a clip that is cut along time the whole backbone is
//! one. Batch norm normalises with the same statistics both times; only the first pass updates the running ones. This
//! file runs neither the head nor the loss: the caller passes the gradient of the features.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::detector::Detector;
use super::mode::Mode;
use crate::torch::{self, Autocast, Result};

/// The input of each segment of the backbone, first to last.
#[derive(Debug)]
pub struct SegmentInputs(Vec<Tensor>);

impl Detector {
    /// Whether parts are recomputed in backward, so that a step needs [`Detector::backward`].
    #[must_use]
    pub fn recomputes(&self) -> bool {
        self.parts_per_segment < self.backbone.parts()
    }

    /// Runs all segments but the last on normalised images `[N, 3, H, W]`, without a graph, and keeps their inputs.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn segment_inputs(&self, images_nchw: Tensor, mode: Mode) -> Result<SegmentInputs> {
        let _no_grad = tch::no_grad_guard();
        let mut inputs = vec![images_nchw];
        for segment in 0..self.backbone.parts().div_ceil(self.parts_per_segment) - 1 {
            inputs.push(self.segment(segment, &inputs[segment], mode)?);
        }
        Ok(SegmentInputs(inputs))
    }

    /// Runs the last segment, without a graph: the backbone's float32 features `[N, F]`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn features_of(&self, SegmentInputs(inputs): &SegmentInputs, mode: Mode) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        self.segment(inputs.len() - 1, &inputs[inputs.len() - 1], mode)
    }

    /// Backpropagates `gradient_nf`, the gradient of the features, and accumulates the weights' gradients. Each segment
    /// runs once more, and its input is freed after it; segments before the first trainable one do not run.
    ///
    /// # Errors
    /// Out of memory.
    pub fn backward(&self, SegmentInputs(inputs): SegmentInputs, gradient_nf: &Tensor, mode: Mode) -> Result<()> {
        let mut gradient = gradient_nf.shallow_clone();
        for (segment, input) in inputs.into_iter().enumerate().rev() {
            let parts = self.parts_of(segment);
            if parts.end <= self.backbone.first_trainable {
                break;
            }
            let is_first = parts.start <= self.backbone.first_trainable;
            let input = input.f_detach()?.f_set_requires_grad(!is_first)?;
            let output = self.segment(segment, &input, mode.recompute())?;
            torch::backward(&output, &gradient)?;
            if !is_first {
                gradient = input.f_grad()?;
            }
        }
        Ok(())
    }

    fn parts_of(&self, segment: usize) -> Range<usize> {
        let first = segment * self.parts_per_segment;
        first..(first + self.parts_per_segment).min(self.backbone.parts())
    }

    fn segment(&self, segment: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        // One autocast region per segment: autocast caches low-precision copies of weights, and a cached copy has a
        // graph only if its first use had one.
        let _autocast = Autocast::enter(self.device(), self.format())?;
        let parts = self.parts_of(segment);
        let is_last = parts.end == self.backbone.parts();
        let y = self.backbone.forward_parts(parts, x, mode)?;
        if is_last { y.f_to_kind(Kind::Float) } else { Ok(y) }
    }
}
