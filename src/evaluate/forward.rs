//! The forward passes of one batch: from frames to scores, cut as memory requires. Knows nothing of videos and labels;
//! the scores of a video's clips are pooled in `pooling.rs`.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::batch_frames::Frames;
use super::scores::ClipScore;
use super::uploads::{Feed, Uploads};
use crate::memory::{Attempt, MicroBatchSize};
use crate::model::{Detector, Logits, Mode};
use crate::torch::{self, Result as TorchResult};

/// Scores the clips of one batch in a single forward pass, without a guard.
///
/// # Errors
/// Out of memory, or libtorch failed otherwise.
pub fn score_batch(detector: &Detector, frames: Frames) -> TorchResult<Vec<ClipScore>> {
    let clips = frames.batch.labels.len();
    let scoring = &mut Scoring { detector, frames, next: None, uploads: &mut Uploads::default(), clean_up: &mut || {} };
    scoring.attempt(MicroBatchSize::whole(clips))
}

/// The forward passes of one batch.
pub(super) struct Scoring<'a> {
    pub detector: &'a Detector,
    pub frames: Frames<'a>,
    /// Those of the batch after it.
    pub next: Option<Frames<'a>>,
    pub uploads: &'a mut Uploads,
    /// Frees memory of the rest of the program after memory ran out.
    pub clean_up: &'a mut dyn FnMut(),
}

impl<'a> Attempt for Scoring<'a> {
    type Output = Vec<ClipScore>;
    type Error = tch::TchError;

    /// The backbone sees each frame by itself, so cutting a clip along time changes no score.
    fn attempt(&mut self, size: MicroBatchSize) -> TorchResult<Vec<ClipScore>> {
        let _no_grad = tch::no_grad_guard();
        let Self { detector, frames, .. } = *self;
        let micro_batches: Vec<_> = size.micro_batches(frames.clips()).collect();
        let passes_of = |frames: Frames<'a>, clips: &Range<usize>| {
            size.passes(frames.of_clips(clips)).map(move |rows| (frames, rows))
        };
        let after = self.next.and_then(|next| passes_of(next, &size.micro_batches(next.clips()).next()?).next());
        let passes = micro_batches.iter().flat_map(|clips| passes_of(frames, clips)).chain(after);
        let mut feed = self.uploads.feed(passes);
        let (mut of_clips, mut of_frames) = (Vec::new(), Vec::new());
        for clips in &micro_batches {
            let logits = logits(detector, &mut feed, &frames, clips, size)?;
            of_clips.push(probabilities(&logits.clips_b)?);
            of_frames.push(probabilities(&logits.frames_bt)?);
        }
        // The device is waited for once, at the end.
        of_clips.append(&mut of_frames);
        let scores = torch::read(&of_clips)?;
        let (of_clips, of_frames) = scores.split_at(frames.clips());
        let of_clips = of_clips.iter().zip(of_frames.chunks(frames.spec.frames));
        Ok(of_clips.map(|(score, of_frames)| ClipScore { score: *score, frame_scores: of_frames.to_vec() }).collect())
    }

    fn recover(&mut self, _next: MicroBatchSize) -> TorchResult<()> {
        self.uploads.clear();
        (self.clean_up)();
        torch::release_cached_memory()
    }
}

/// The logits of some clips of a batch, whose frames come next in the feed. Where the detector looks at mirror images,
/// too, they are the mean of both.
fn logits(
    detector: &Detector,
    feed: &mut Feed,
    frames: &Frames,
    clips: &Range<usize>,
    size: MicroBatchSize,
) -> TorchResult<Logits> {
    let (mut features, mut mirrored) = (Vec::new(), Vec::new());
    for _ in size.passes(frames.of_clips(clips)) {
        let images_nchw = feed.images(detector, size)?;
        features.push(detector.features(&images_nchw, Mode::Evaluate)?);
        if detector.mirrors_at_test() {
            mirrored.push(detector.features(&images_nchw.f_flip([3])?, Mode::Evaluate)?);
        }
        feed.send_next(detector, size)?;
    }
    let of_features = |features: &[Tensor]| {
        let features_btf = Tensor::f_cat(features, 0)?.f_view([clips.len() as i64, frames.spec.frames as i64, -1])?;
        detector.logits(&features_btf, Mode::Evaluate)
    };
    let logits = of_features(&features)?;
    if mirrored.is_empty() { Ok(logits) } else { mean(&logits, &of_features(&mirrored)?) }
}

fn mean(a: &Logits, b: &Logits) -> TorchResult<Logits> {
    let mean = |a: &Tensor, b: &Tensor| a.f_add(b)?.f_mul_scalar(0.5);
    Ok(Logits { clips_b: mean(&a.clips_b, &b.clips_b)?, frames_bt: mean(&a.frames_bt, &b.frames_bt)? })
}

/// Sigmoid of logits of any shape, in double precision, on their device.
///
/// # Errors
/// Out of memory.
pub fn probabilities(logits: &Tensor) -> TorchResult<Tensor> {
    logits.f_detach()?.f_to_kind(Kind::Double)?.f_sigmoid()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::backbone::Backbone;
    use crate::config::Config;
    use crate::dataset::Label;
    use crate::loader::HostBatch;
    use crate::torch::{Format, generator_lock};
    use crate::video::ClipSpec;

    /// Frames of three clips, and their mirror images.
    fn batches(spec: &ClipSpec) -> [HostBatch; 2] {
        let bytes: Vec<_> = (0..3 * spec.clip_bytes()).map(|i| (i * 7919 % 251) as u8).collect();
        let rows = bytes.chunks(spec.width * 3);
        let mirrored: Vec<_> = rows.flat_map(|row| row.chunks(3).rev().flatten().copied()).collect();
        [bytes, mirrored].map(|bytes| {
            let labels = vec![Label::Real, Label::Fake, Label::Real];
            HostBatch { videos: vec![4, 7, 9], ..HostBatch::of_bytes(&bytes, labels) }
        })
    }

    /// A clip and its mirror image get one score, which lies between those of the two without.
    #[test]
    fn with_mirrored_views_a_clip_and_its_mirror_image_score_alike() {
        let _alone = generator_lock();
        let mut config = Config::default();
        (config.model.backbone, config.model.hidden_dim) = (Backbone::Resnet18, 16);
        (config.data.max_frames, config.data.frame_size) = (5, [32, 32]);
        let spec = ClipSpec::of(&config.data);
        let mut scores = |mirror_at_test: bool| {
            config.model.mirror_at_test = mirror_at_test;
            tch::manual_seed(5);
            let detector = Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap();
            batches(&spec).map(|batch| {
                let frames = Frames { batch: &batch, spec: &spec, pin_memory: false };
                score_batch(&detector, frames).unwrap().into_iter().map(|clip| clip.score).collect::<Vec<_>>()
            })
        };
        let ([plain, flipped], [both, both_flipped]) = (scores(false), scores(true));
        for clip in 0..3 {
            assert!((both[clip] - both_flipped[clip]).abs() < 1e-6);
            assert!((plain[clip] - flipped[clip]).abs() > 1e-5, "{plain:?} {flipped:?}");
            assert!((both[clip] - (plain[clip] + flipped[clip]) / 2.0).abs() < 1e-3);
        }
    }

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
        let [batch, _] = batches(&spec);
        let mut scoring = Scoring {
            detector: &detector,
            frames: Frames { batch: &batch, spec: &spec, pin_memory: false },
            next: None,
            uploads: &mut Uploads::default(),
            clean_up: &mut || {},
        };
        let whole = scoring.attempt(MicroBatchSize::whole(3)).unwrap();
        assert_eq!(whole.len(), 3);
        let chunks = |frames: usize| MicroBatchSize { chunk_frames: Some(frames), ..MicroBatchSize::whole(1) };
        let on_host = MicroBatchSize { host_preprocessing: true, ..chunks(1) };
        for size in [MicroBatchSize::whole(2), MicroBatchSize::whole(1), chunks(2), chunks(1), on_host] {
            for (score, expected) in scoring.attempt(size).unwrap().iter().zip(&whole) {
                assert_eq!(score.frame_scores.len(), 5);
                assert!((score.score - expected.score).abs() < 1e-6, "{size}");
                let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
                assert!(score.frame_scores.iter().zip(&expected.frame_scores).all(near), "{size}");
            }
        }
    }
}
