//! The frames of a batch, and their conversion from bytes to images on the network's device. Runs no network; that is
//! `forward.rs`.

use std::ops::Range;

use tch::{Device, Tensor};

use crate::loader::HostBatch;
use crate::memory::MicroBatchSize;
use crate::model::Detector;
use crate::torch::{self, Result, Upload};
use crate::video::ClipSpec;

/// The frames of a batch, counted through all of its clips.
#[derive(Clone, Copy)]
pub struct Frames<'a> {
    /// Their bytes.
    pub batch: &'a HostBatch,
    /// Their shape.
    pub spec: &'a ClipSpec,
    /// Copy them through page-locked memory to a CUDA device.
    pub pin_memory: bool,
}

impl Frames<'_> {
    /// Number of clips: one per video, or several where the batch was read with longer clips.
    #[must_use]
    pub fn clips(&self) -> usize {
        self.batch.bytes() / self.spec.clip_bytes()
    }

    /// The range of frames of some clips.
    #[must_use]
    pub fn of_clips(&self, clips: &Range<usize>) -> Range<usize> {
        clips.start * self.spec.frames..clips.end * self.spec.frames
    }

    /// Normalised images `[N, 3, H, W]` on the detector's device. Pixels are transferred as bytes and converted to
    /// floats there; with `size.host_preprocessing` they are converted first.
    ///
    /// # Errors
    /// Out of memory.
    pub fn images(&self, detector: &Detector, frames: Range<usize>, size: MicroBatchSize) -> Result<Tensor> {
        let device = if size.host_preprocessing { Device::Cpu } else { detector.device() };
        let pixels_nhwc = self.pixels(frames, device)?;
        detector.images(&Upload::start(&pixels_nhwc, device)?.finish()?)
    }

    /// u8 RGB `[N, H, W, 3]` on the host, on the way to `device`: in page-locked memory, if wanted, for a GPU.
    pub(super) fn pixels(&self, frames: Range<usize>, device: Device) -> Result<Tensor> {
        let frame_bytes = self.spec.clip_bytes() / self.spec.frames;
        let parts = self.batch.parts(frames.start * frame_bytes..frames.end * frame_bytes);
        let shape = [frames.len(), self.spec.height, self.spec.width, 3].map(|size| size as i64);
        torch::tensor_of_bytes(&parts, &shape, self.pin_memory && device.is_cuda())
    }
}
