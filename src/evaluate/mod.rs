//! The one forward-only loop: validation, the final test and `evaluate` all come through here.
//!
//! Has its own guard, so that memory running out here never shrinks training.

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

use crate::data::{ClipSpec, DataError, HostBatch, Label, Loader, sequential_plan};
use crate::memory::{Guard, GuardError};
use crate::metrics::{self, Metrics};
use crate::model::Detector;
use crate::progress::Bar;
use crate::torch::{self, Result as TorchResult};

/// What one video got.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoScore {
    /// Index in the manifest.
    pub video: usize,
    /// What it is.
    pub label: Label,
    /// Mean probability of fake over its clips.
    pub score: f64,
    /// Probability of fake of each frame.
    pub frame_scores: Vec<f64>,
}

/// The scores of a set of videos.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// In the order in which they were asked for.
    pub videos: Vec<VideoScore>,
    /// Videos that could not be read, by index, with the reason.
    pub skipped: Vec<(usize, String)>,
}

/// Why a set of videos could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The network could not run.
    #[error(transparent)]
    Guard(#[from] GuardError<tch::TchError>),
    /// Reading videos failed as a whole, not one of them.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// How to score: everything but the network and the videos.
pub struct Evaluator<'a> {
    /// Where clips come from.
    pub loader: &'a Loader,
    /// Cuts batches where memory is short.
    pub guard: &'a mut Guard,
    /// Frees what the rest of the program can spare, when memory ran out.
    pub relieve: &'a mut dyn FnMut(),
    /// Clips a batch.
    pub batch_size: usize,
    /// Set when the user wants to stop.
    pub stop: &'a AtomicBool,
    /// What the progress bar is called.
    pub label: &'a str,
}

impl Evaluator<'_> {
    /// Scores `videos` (indices in the loader's manifest) with running statistics and without dropout.
    ///
    /// # Errors
    /// Interrupted, or the network cannot run with even one clip. A video that cannot be read is no error: it is in
    /// [`Evaluation::skipped`].
    pub fn run(&mut self, detector: &Detector, videos: &[usize]) -> Result<Evaluation, EvaluateError> {
        let mut evaluation = Evaluation::default();
        let bar = Bar::new(self.label, videos.len() as u64, (videos.len() as u64).max(1));
        let spec = *self.loader.spec();
        let mut pass = self.loader.pass(sequential_plan(videos, self.batch_size), None);
        while let Some(batch) = pass.next_batch()? {
            if self.stop.load(Ordering::Relaxed) {
                return Err(EvaluateError::Interrupted);
            }
            let attempt = |micro_batch| score_batch(detector, &spec, &batch, micro_batch);
            let recover = || {
                (self.relieve)();
                torch::release_cached_memory()
            };
            let scores = self.guard.run(batch.labels.len(), attempt, recover)?;
            evaluation.videos.extend(scores);
            bar.advance((batch.labels.len() + batch.skipped.len()) as u64, String::new);
            evaluation.skipped.extend(batch.skipped);
        }
        Ok(evaluation)
    }
}

/// Scores the clips of one batch, `micro_batch` at a time, with running statistics and without dropout.
///
/// # Errors
/// Out of memory, or libtorch failed otherwise.
pub fn score_batch(
    detector: &Detector,
    spec: &ClipSpec,
    batch: &HostBatch,
    micro_batch: usize,
) -> TorchResult<Vec<VideoScore>> {
    let _no_grad = tch::no_grad_guard();
    let mut scores = Vec::with_capacity(batch.labels.len());
    for start in (0..batch.labels.len()).step_by(micro_batch) {
        let range = start..(start + micro_batch).min(batch.labels.len());
        let frames_bthwc = clips_to_device(batch, spec, range.clone(), detector.device(), false)?;
        let logits = detector.forward(&frames_bthwc, false)?;
        let clips = probabilities(&logits.clips_b)?;
        let frames = probabilities(&logits.frames_bt)?;
        let frames_a_clip = frames.len() / clips.len();
        for (offset, clip) in range.enumerate() {
            scores.push(VideoScore {
                video: batch.videos[clip],
                label: batch.labels[clip],
                score: clips[offset],
                frame_scores: frames[offset * frames_a_clip..(offset + 1) * frames_a_clip].to_vec(),
            });
        }
    }
    Ok(scores)
}

/// Some clips of a batch as a u8 tensor `[B, T, H, W, 3]` on `device`, through page-locked memory if `pin`.
///
/// # Errors
/// Out of memory.
pub fn clips_to_device(
    batch: &HostBatch,
    spec: &ClipSpec,
    clips: std::ops::Range<usize>,
    device: Device,
    pin: bool,
) -> TorchResult<Tensor> {
    let clip_bytes = spec.clip_bytes();
    let bytes = &batch.frames_bthwc[clips.start * clip_bytes..clips.end * clip_bytes];
    let shape = [clips.len(), spec.frames, spec.height, spec.width, 3].map(|size| size as i64);
    let frames_bthwc = Tensor::f_from_data_size(bytes, &shape, Kind::Uint8)?;
    if pin && device.is_cuda() {
        return frames_bthwc.f_pin_memory(device)?.f_to_device_(device, Kind::Uint8, true, false);
    }
    frames_bthwc.f_to_device(device)
}

/// Sigmoid of logits of any shape, flattened.
///
/// # Errors
/// Out of memory, or the device failed.
pub fn probabilities(logits: &Tensor) -> TorchResult<Vec<f64>> {
    let flat = logits.f_detach()?.f_to_kind(Kind::Double)?.f_sigmoid()?.f_to_device(Device::Cpu)?.f_flatten(0, -1)?;
    Vec::<f64>::try_from(flat)
}

impl Evaluation {
    /// Frame and video metrics.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        metrics_of(self.videos.iter())
    }

    /// Metrics of all real videos and those fakes that `keep` accepts by index.
    #[must_use]
    pub fn metrics_of_fakes(&self, keep: impl Fn(usize) -> bool) -> Metrics {
        metrics_of(self.videos.iter().filter(|video| video.label == Label::Real || keep(video.video)))
    }
}

fn metrics_of<'v>(videos: impl Iterator<Item = &'v VideoScore> + Clone) -> Metrics {
    let scores: Vec<_> = videos.clone().map(|video| video.score).collect();
    let is_fake: Vec<_> = videos.clone().map(|video| video.label == Label::Fake).collect();
    let frames: Vec<_> = videos.clone().flat_map(|video| video.frame_scores.iter().copied()).collect();
    let frame_is_fake: Vec<_> =
        videos.flat_map(|video| std::iter::repeat_n(video.label == Label::Fake, video.frame_scores.len())).collect();
    Metrics { frame_auc: metrics::auc(&frames, &frame_is_fake), ..Metrics::of_videos(&scores, &is_fake) }
}
