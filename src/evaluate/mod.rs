//! The one forward-only loop: validation, the final test and `evaluate` all come through here.
//!
//! Has its own guard, so that memory running out here never shrinks training.

mod frames;
mod pooling;

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

pub use frames::Frames;
pub use pooling::Pooling;

use crate::dataset::{DataError, Label, sequential_plan};
use crate::loader::Loader;
use crate::memory::{Attempt, Cut, Guard, GuardError};
use crate::metrics::{Metrics, Samples};
use crate::model::{Detector, Mode};
use crate::progress::Bar;
use crate::torch::{self, Result as TorchResult};
use crate::video::ClipSpec;

/// What one video got.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoScore {
    /// Index in the manifest.
    pub video: usize,
    /// What it is.
    pub label: Label,
    /// Probability of fake, of all its clips together.
    pub score: f64,
    /// Probability of fake of each clip, in the order of time.
    pub clip_scores: Vec<f64>,
    /// Probability of fake of each frame.
    pub frame_scores: Vec<f64>,
}

/// What one clip got.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipScore {
    /// Probability of fake.
    pub score: f64,
    /// Probability of fake of each frame.
    pub frame_scores: Vec<f64>,
}

/// The scores of a set of videos.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// In the order in which they were asked for.
    pub videos: Vec<VideoScore>,
    /// Videos that have no score, by index, with the reason.
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

/// Weights that are not finite, or a format that cannot hold what they make.
const NO_NUMBER: &str = "the network gave no number for it";

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
    /// How many clips, one after the other in time, the loader hands out as one for each video.
    pub clips_a_video: usize,
    /// What makes one score of them.
    pub pooling: Pooling,
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
        let long_spec = self.loader.spec();
        let spec = ClipSpec { frames: long_spec.frames / self.clips_a_video, ..*long_spec };
        let videos_a_batch = (self.batch_size / self.clips_a_video).max(1);
        let mut pass = self.loader.pass(sequential_plan(videos, videos_a_batch), None);
        while let Some(batch) = pass.next_batch()? {
            if self.stop.load(Ordering::Relaxed) {
                return Err(EvaluateError::Interrupted);
            }
            let frames = Frames { batch: &batch, spec: &spec, pin_memory: false };
            let mut scoring = Scoring { detector, frames, relieve: self.relieve };
            let clips = self.guard.run(batch.labels.len() * self.clips_a_video, &mut scoring)?;
            let of_videos = batch.videos.iter().zip(&batch.labels).zip(clips.chunks(self.clips_a_video));
            for score in of_videos.map(|((video, label), clips)| self.pooled(*video, *label, clips)) {
                match score.score.is_finite() {
                    true => evaluation.videos.push(score),
                    false => evaluation.skipped.push((score.video, NO_NUMBER.to_owned())),
                }
            }
            self.guard.step_done();
            bar.advance((batch.labels.len() + batch.skipped.len()) as u64, String::new);
            evaluation.skipped.extend(batch.skipped);
        }
        Ok(evaluation)
    }

    fn pooled(&self, video: usize, label: Label, clips: &[ClipScore]) -> VideoScore {
        let clip_scores: Vec<f64> = clips.iter().map(|clip| clip.score).collect();
        let frame_scores = clips.iter().flat_map(|clip| clip.frame_scores.iter().copied()).collect();
        VideoScore { video, label, score: self.pooling.of(&clip_scores), clip_scores, frame_scores }
    }
}

/// Scores the clips of one batch all at once, without a guard.
///
/// # Errors
/// Out of memory, or libtorch failed otherwise.
pub fn score_batch(detector: &Detector, frames: Frames) -> TorchResult<Vec<ClipScore>> {
    let clips = frames.batch.labels.len();
    Scoring { detector, frames, relieve: &mut || {} }.attempt(Cut::whole(clips))
}

/// The forward passes of one batch.
struct Scoring<'a> {
    detector: &'a Detector,
    frames: Frames<'a>,
    relieve: &'a mut dyn FnMut(),
}

impl Attempt for Scoring<'_> {
    type Output = Vec<ClipScore>;
    type Error = tch::TchError;

    /// Frames know nothing of each other in the backbone, so that cutting a clip along time changes no score.
    fn attempt(&mut self, cut: Cut) -> TorchResult<Vec<ClipScore>> {
        let _no_grad = tch::no_grad_guard();
        let all = self.frames.clips();
        let mut scores = Vec::with_capacity(all);
        for clips in cut.micro_batches(all) {
            let passes = cut.passes(self.frames.of_clips(&clips)).map(|pass| {
                let images_nchw = self.frames.images(self.detector, pass, cut)?;
                self.detector.features(&images_nchw, Mode::Evaluate)
            });
            let features_nf = Tensor::f_cat(&passes.collect::<TorchResult<Vec<_>>>()?, 0)?;
            let features_btf = features_nf.f_view([clips.len() as i64, self.frames.spec.frames as i64, -1])?;
            let logits = self.detector.logits(&features_btf, Mode::Evaluate)?;
            let scores_b = probabilities(&logits.clips_b)?;
            let scores_bt = probabilities(&logits.frames_bt)?;
            let of_clips = scores_b.into_iter().zip(scores_bt.chunks(self.frames.spec.frames));
            scores.extend(of_clips.map(|(score, of_frames)| ClipScore { score, frame_scores: of_frames.to_vec() }));
        }
        Ok(scores)
    }

    fn recover(&mut self, _next: Cut) -> TorchResult<()> {
        (self.relieve)();
        torch::release_cached_memory()
    }
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
    /// Frame and video metrics, without intervals.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        samples_of(&self.videos).metrics()
    }
}

/// The scores of some videos, for all that is said of scores.
pub fn samples_of<'v>(videos: impl IntoIterator<Item = &'v VideoScore>) -> Samples {
    let mut samples = Samples::default();
    for video in videos {
        samples.push(video.score, video.label == Label::Fake, &video.frame_scores, video.clip_scores.len());
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backbone, Config};
    use crate::loader::HostBatch;
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
        let mut scoring = Scoring {
            detector: &detector,
            frames: Frames { batch: &batch, spec: &spec, pin_memory: false },
            relieve: &mut || {},
        };
        let whole = scoring.attempt(Cut::whole(3)).unwrap();
        assert_eq!(whole.len(), 3);
        let chunks = |frames: usize| Cut { chunk_frames: Some(frames), ..Cut::whole(1) };
        let on_host = Cut { host_preprocessing: true, ..chunks(1) };
        for cut in [Cut::whole(2), Cut::whole(1), chunks(2), chunks(1), on_host] {
            for (score, expected) in scoring.attempt(cut).unwrap().iter().zip(&whole) {
                assert_eq!(score.frame_scores.len(), 5);
                assert!((score.score - expected.score).abs() < 1e-6, "{cut}");
                let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
                assert!(score.frame_scores.iter().zip(&expected.frame_scores).all(near), "{cut}");
            }
        }
    }
}
