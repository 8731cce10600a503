//! The one forward-only loop: validation, the final test and `evaluate` all come through here.
//!
//! Has its own guard, so that memory running out here never shrinks training.

mod frames;

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

pub use frames::Frames;

use crate::data::{DataError, Label, Loader, sequential_plan};
use crate::memory::{Attempt, Cut, Guard, GuardError, MemoryManager, Reason};
use crate::metrics::{self, Metrics};
use crate::model::{Detector, Mode};
use crate::progress::Bar;
use crate::torch::Result as TorchResult;

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
    /// Cleans up between batches where memory is short, and where it ran out.
    pub memory: &'a MemoryManager,
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
            let frames = Frames { batch: &batch, spec: &spec, pin_memory: false };
            let mut scoring = Scoring { detector, frames, memory: self.memory };
            evaluation.videos.extend(self.guard.run(batch.labels.len(), &mut scoring)?);
            self.guard.step_done();
            if self.memory.within_step() {
                self.guard.shrink();
            }
            bar.advance((batch.labels.len() + batch.skipped.len()) as u64, String::new);
            evaluation.skipped.extend(batch.skipped);
        }
        Ok(evaluation)
    }
}

/// Scores the clips of one batch all at once, without a guard.
///
/// # Errors
/// Out of memory, or libtorch failed otherwise.
pub fn score_batch(detector: &Detector, frames: Frames) -> TorchResult<Vec<VideoScore>> {
    let clips = frames.batch.labels.len();
    score(detector, frames, Cut::whole(clips))
}

/// The forward passes of one batch.
struct Scoring<'a> {
    detector: &'a Detector,
    frames: Frames<'a>,
    memory: &'a MemoryManager,
}

impl Attempt for Scoring<'_> {
    type Output = Vec<VideoScore>;
    type Error = tch::TchError;

    fn attempt(&mut self, cut: Cut) -> TorchResult<Vec<VideoScore>> {
        score(self.detector, self.frames, cut)
    }

    fn recover(&mut self, _next: Cut) -> TorchResult<()> {
        self.memory.clean(Reason::OutOfMemory);
        Ok(())
    }
}

/// Frames know nothing of each other in the backbone, so that cutting a clip along time changes no score.
fn score(detector: &Detector, frames: Frames, cut: Cut) -> TorchResult<Vec<VideoScore>> {
    let _no_grad = tch::no_grad_guard();
    let batch = frames.batch;
    let mut scores = Vec::with_capacity(batch.labels.len());
    for clips in cut.micro_batches(batch.labels.len()) {
        let passes = cut.passes(frames.of_clips(&clips)).map(|pass| {
            let images_nchw = frames.images(detector, pass, cut)?;
            detector.features(&images_nchw, Mode::Evaluate)
        });
        let features_nf = Tensor::f_cat(&passes.collect::<TorchResult<Vec<_>>>()?, 0)?;
        let features_btf = features_nf.f_view([clips.len() as i64, frames.spec.frames as i64, -1])?;
        let logits = detector.logits(&features_btf, Mode::Evaluate)?;
        let scores_b = probabilities(&logits.clips_b)?;
        let scores_bt = probabilities(&logits.frames_bt)?;
        for ((clip, score), frame_scores) in clips.zip(scores_b).zip(scores_bt.chunks(frames.spec.frames)) {
            let (video, label) = (batch.videos[clip], batch.labels[clip]);
            scores.push(VideoScore { video, label, score, frame_scores: frame_scores.to_vec() });
        }
    }
    Ok(scores)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backbone, Config};
    use crate::data::{ClipSpec, HostBatch};
    use crate::torch::{Format, generator_lock};

    /// Cutting a batch, or a clip along time, or making floats on the host, changes no score.
    #[test]
    fn every_cut_gives_the_same_scores() {
        let _alone = generator_lock();
        let mut config = Config::default();
        (config.model.backbone, config.model.hidden_dim) = (Backbone::Resnet18, 16);
        (config.data.max_frames, config.data.frame_size) = (5, [32, 32]);
        tch::manual_seed(5);
        let detector = Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap();
        let spec = ClipSpec::of(&config.data);
        let batch = HostBatch {
            index: 0,
            frames_bthwc: (0..3 * spec.clip_bytes()).map(|i| (i * 7919 % 251) as u8).collect(),
            labels: vec![Label::Real, Label::Fake, Label::Real],
            videos: vec![4, 7, 9],
            skipped: vec![],
        };
        let frames = Frames { batch: &batch, spec: &spec, pin_memory: false };
        let whole = score(&detector, frames, Cut::whole(3)).unwrap();
        assert_eq!(whole.iter().map(|score| score.video).collect::<Vec<_>>(), batch.videos);
        let chunks = |frames: usize| Cut { chunk_frames: Some(frames), ..Cut::whole(1) };
        let on_host = Cut { host_preprocessing: true, ..chunks(1) };
        for cut in [Cut::whole(2), Cut::whole(1), chunks(2), chunks(1), on_host] {
            for (score, expected) in score(&detector, frames, cut).unwrap().iter().zip(&whole) {
                assert_eq!((score.video, score.label, score.frame_scores.len()), (expected.video, expected.label, 5));
                assert!((score.score - expected.score).abs() < 1e-6, "{cut}");
                let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
                assert!(score.frame_scores.iter().zip(&expected.frame_scores).all(near), "{cut}");
            }
        }
    }
}
