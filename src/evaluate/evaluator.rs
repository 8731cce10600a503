//! The evaluation loop: forward passes only, for validation, the final test and `evaluate`. Runs no forward pass
//! itself; that is `forward.rs`. Computes no metric.
//!
//! It has its own guard, so that memory running out here never shrinks training.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::batch_frames::Frames;
use super::error::EvaluateError;
use super::forward::Scoring;
use super::pooling::Pooling;
use super::scores::{ClipScore, Evaluation, VideoScore};
use super::uploads::Uploads;
use crate::dataset::{Label, sequential_plan};
use crate::loader::Loader;
use crate::memory::{Guard, GuardError};
use crate::model::Detector;
use crate::progress::Bar;
use crate::video::ClipSpec;

/// Scores videos: everything it needs but the network and the videos.
pub struct Evaluator<'a, 'g> {
    /// The source of clips.
    pub loader: &'a Loader,
    /// Splits batches where memory is short.
    pub guard: &'a mut Guard<'g>,
    /// Frees memory of the rest of the program after memory ran out.
    pub clean_up: &'a mut dyn FnMut(),
    /// Clips per batch.
    pub batch_size: usize,
    /// Consecutive clips per video and face, which the loader returns as one long clip.
    pub clips_a_video: usize,
    /// Frames are copied through page-locked memory to a CUDA device.
    pub pin_memory: bool,
    /// Pools the scores of a video's clips.
    pub pooling: Pooling,
    /// Set when the user wants to stop.
    pub stop: &'a AtomicBool,
    /// Label of the progress bar.
    pub label: &'a str,
}

impl Evaluator<'_, '_> {
    /// Scores `videos` (indices in the loader's manifest) with running statistics and without dropout.
    ///
    /// # Errors
    /// Interrupted, or the network cannot run with even one clip. A video that cannot be read is no error: it is in
    /// [`Evaluation::skipped`].
    pub fn run(&mut self, detector: &Detector, videos: &[usize]) -> Result<Evaluation, EvaluateError> {
        let videos: Vec<_> = videos.iter().flat_map(|video| self.loader.clips_of(*video)).collect();
        let (mut scores, mut skipped) = (Vec::with_capacity(videos.len()), Vec::new());
        let bar = Bar::new(self.label, videos.len() as u64, (videos.len() as u64).max(1));
        let long_spec = self.loader.spec();
        let spec = ClipSpec { frames: long_spec.frames / self.clips_a_video, ..*long_spec };
        let videos_a_batch = (self.batch_size / self.clips_a_video).max(1);
        let mut pass = self.loader.pass(sequential_plan(&videos, videos_a_batch), None);
        let mut uploads = Uploads::default();
        let mut coming = pass.next_batch();
        while let Some(batch) = coming {
            // Asked for before this one is scored, so that its first frames travel meanwhile.
            coming = pass.next_batch();
            if self.stop.load(Ordering::Relaxed) {
                return Err(EvaluateError::Interrupted);
            }
            let frames = |batch| Frames { batch, spec: &spec, pin_memory: self.pin_memory };
            let mut scoring = Scoring {
                detector,
                frames: frames(&batch),
                next: coming.as_ref().map(frames),
                uploads: &mut uploads,
                clean_up: self.clean_up,
            };
            let clips = match self.guard.run(batch.labels.len() * self.clips_a_video, &mut scoring) {
                Err(GuardError::Interrupted) => return Err(EvaluateError::Interrupted),
                clips => clips?,
            };
            let of_faces = batch.videos.iter().zip(&batch.labels).zip(clips.chunks(self.clips_a_video));
            scores.extend(of_faces.map(|((clip, label), clips)| FaceScore {
                place: self.loader.face_of(*clip),
                label: *label,
                clips: clips.to_vec(),
            }));
            self.guard.step_done();
            bar.advance((batch.labels.len() + batch.skipped.len()) as u64, String::new);
            skipped.extend(batch.skipped.into_iter().map(|(clip, reason)| (self.loader.face_of(clip).0, reason)));
        }
        Ok(evaluation(&scores, skipped, self.pooling))
    }
}

/// The scores of the faces of each video become one. `skipped` has the video of each face that could not be read; such
/// a video has no score, because the face that is missing may be the fake.
fn evaluation(scores: &[FaceScore], skipped: Vec<(usize, String)>, pooling: Pooling) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let mut unread = HashSet::new();
    evaluation.skipped = skipped.into_iter().filter(|(video, _)| unread.insert(*video)).collect();
    let by_video = scores.chunk_by(|a, b| a.place.0 == b.place.0);
    for faces in by_video.filter(|faces| !unread.contains(&faces[0].place.0)) {
        let score = pooled(faces, pooling);
        match score.score.is_finite() {
            true => evaluation.videos.push(score),
            false => evaluation.not_finite.push(score.video),
        }
    }
    evaluation
}

fn pooled(faces: &[FaceScore], pooling: Pooling) -> VideoScore {
    let clips = || faces.iter().flat_map(|face| &face.clips);
    let clip_scores: Vec<f64> = clips().map(|clip| clip.score).collect();
    VideoScore {
        video: faces[0].place.0,
        label: faces[0].label,
        score: pooling.pool(&clip_scores),
        faces: faces.iter().map(|face| face.place.1).collect(),
        clip_scores,
        frame_scores: clips().flat_map(|clip| clip.frame_scores.iter().copied()).collect(),
    }
}

/// The scores of the clips of one face.
struct FaceScore {
    /// The video, and which of its faces.
    place: (usize, usize),
    label: Label,
    clips: Vec<ClipScore>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_is_scored_by_all_of_its_faces_or_not_at_all() {
        let score = |video, face, score| FaceScore {
            place: (video, face),
            label: Label::Fake,
            clips: vec![ClipScore { score, frame_scores: vec![score; 2] }],
        };
        let scores = [score(3, 0, 0.2), score(3, 1, 0.6), score(5, 0, 0.1), score(7, 0, f64::NAN), score(7, 1, 0.5)];
        let skipped = vec![(5, "face 2".to_owned()), (5, "face 3".to_owned()), (6, "no face".to_owned())];
        let evaluation = evaluation(&scores, skipped, Pooling::Mean);
        let [both] = &evaluation.videos[..] else { panic!("{:?}", evaluation.videos) };
        assert_eq!((both.video, &both.faces, both.score, both.frame_scores.len()), (3, &vec![0, 1], 0.4, 4));
        assert_eq!(evaluation.skipped, [(5, "face 2".into()), (6, "no face".into())]);
        assert_eq!(evaluation.not_finite, [7]);
        let unscored: Vec<_> = evaluation.unscored().map(|(video, _)| video).collect();
        assert_eq!(unscored, [5, 6, 7]);
    }
}
