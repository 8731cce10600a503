//! The verdicts of a trained detector on videos without labels: score, confidence, times, and an explanation. Computes
//! no metric; videos with labels are in `evaluation.rs`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::clips::Clips;
use super::error::{RunError, error_text};
use super::explanation::write_explanation;
use super::face_reader::load_face_detector;
use super::test_sets::VideoSet;
use super::trained_detector::TrainedDetector;
use crate::clip::{FacesSeen, faces_seen};
use crate::config::{Config, FaceMode, OnMiss, Sampling, Switch};
use crate::dataset::{DataError, Manifest, named_videos};
use crate::evaluate::{Evaluation, VideoScore};
use crate::explain;
use crate::metrics::calibrated;
use crate::progress::Bar;
use crate::video::{self, VideoInfo};

/// The verdict on a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its score is below the threshold.
    Real,
    /// Its score reaches the threshold.
    Fake,
    /// It has no score.
    Unknown,
}

/// The prediction for a video. As JSON, keys may be added, not renamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The video.
    pub path: String,
    /// Probability of fake.
    pub score: Option<f64>,
    /// Real or fake.
    pub verdict: Verdict,
    /// Calibrated probability of fake, where the checkpoint knows its temperature.
    pub calibrated: Option<f64>,
    /// Probability of the verdict: from the calibrated probability if there is one, else from the score.
    pub confidence: Option<f64>,
    /// Clips that were scored.
    pub clips: usize,
    /// Frames in which the face was found; absent if none is searched for.
    pub faces: Option<usize>,
    /// Each face that was scored, the largest first; absent if none is searched for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each_face: Vec<FaceVerdict>,
    /// Each clip of each face.
    pub segments: Vec<Segment>,
    /// The contact sheet of an explanation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<PathBuf>,
    /// Why there is no score.
    pub error: Option<String>,
}

/// The score of one of the faces in a video.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaceVerdict {
    /// Which of the faces it is, counted from 1, the largest.
    pub face: usize,
    /// Probability of fake, pooled over its clips.
    pub score: f64,
    /// Frames in which it was found.
    pub frames: usize,
    /// The number of the first of them.
    pub frame: usize,
    /// Its box there: left, top, right, bottom, in pixels of the video.
    #[serde(rename = "box")]
    pub corners: [f32; 4],
}

/// A clip's score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Segment {
    /// Which of the faces it shows, counted from 1; absent if none is searched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face: Option<usize>,
    /// Start of the part of the video that its frames are from; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_secs: Option<f64>,
    /// End of that part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_secs: Option<f64>,
    /// Probability of fake.
    pub score: f64,
}

/// What is predicted for each video.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionOptions {
    /// Videos with this score or more are called fake, 0 to 1.
    pub threshold: f64,
    /// Whether each segment has its start and end; each video is opened once more for that.
    pub segment_times: bool,
    /// Folder for the pictures and videos of explanations.
    pub explain: Option<PathBuf>,
}

impl Default for PredictionOptions {
    fn default() -> Self {
        Self { threshold: 0.5, segment_times: false, explain: None }
    }
}

/// Videos to score.
#[derive(Debug)]
pub struct PredictionVideos {
    manifest: Manifest,
    /// Paths that name no video, and why.
    no_videos: Vec<(PathBuf, String)>,
}

impl PredictionVideos {
    /// Finds the videos and pictures that `paths` name, also in folders.
    ///
    /// # Errors
    /// There is none.
    pub fn find(paths: &[PathBuf]) -> Result<Self, DataError> {
        let (manifest, no_videos) = named_videos(paths);
        if manifest.videos.is_empty() {
            let (root, problem) =
                no_videos.first().cloned().unwrap_or_else(|| (PathBuf::from("-"), "the list is empty".into()));
            let hint = "name videos, pictures, or folders that have some in them".into();
            return Err(DataError::Unusable { root, problem, hint });
        }
        Ok(Self { manifest, no_videos })
    }
}

impl TrainedDetector {
    /// Scores videos. Those that cannot be read come without a score, paths that name no video last.
    ///
    /// # Errors
    /// The face detector or the network cannot run, or `stop` was set.
    pub fn predict(
        &self,
        videos: PredictionVideos,
        options: &PredictionOptions,
        stop: &AtomicBool,
    ) -> Result<Vec<Prediction>, RunError> {
        let PredictionVideos { mut manifest, no_videos } = videos;
        let config = prediction_config(&self.config);
        decide_faces(self, &mut manifest, stop)?;
        let all = VideoSet::of("predict".to_owned(), &manifest, |_| true);
        let clips = Clips::new(&config, &manifest, &all.videos, true, stop)?;
        let evaluation = self.score(&clips, &[all], stop)?.remove(0);
        let predictor = Predictor { options, detector: self, manifest: &manifest, clips: &clips };
        let mut predictions = predictor.predictions(&evaluation, stop)?;
        predictions.extend(no_videos.iter().map(|(path, reason)| unknown(path, reason)));
        Ok(predictions)
    }
}

/// Unlike in training, each video is read once, and one without a face has no score.
fn prediction_config(config: &Config) -> Config {
    let mut config = config.clone();
    // Keeping its clip would only fill the disk.
    config.cache.enable_cache = Switch::Off;
    // Whatever training did with them, videos without a face get no score.
    config.data.faces.on_miss = OnMiss::Skip;
    config
}

/// As in training: where that was on faces, they are cut out of each video that is not a face crop already. A video
/// without a face then gets no score.
fn decide_faces(detector: &TrainedDetector, manifest: &mut Manifest, stop: &AtomicBool) -> Result<(), RunError> {
    let faces = &detector.config.data.faces;
    if faces.mode == FaceMode::Off {
        return Ok(());
    }
    let face_detector = load_face_detector()?;
    let bar = Bar::new("faces", manifest.videos.len() as u64, 100);
    for video in 0..manifest.videos.len() {
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::INTERRUPTED);
        }
        let cut_out = faces.mode == FaceMode::Crop
            || faces_seen(&manifest.footage(video), faces, &detector.clip_spec(), &face_detector)? != FacesSeen::Crops;
        let set = manifest.videos[video].set;
        manifest.sets[set].crop_faces = cut_out;
        bar.advance(1, String::new);
    }
    Ok(())
}

/// Turns scores into predictions.
struct Predictor<'a> {
    options: &'a PredictionOptions,
    detector: &'a TrainedDetector,
    manifest: &'a Manifest,
    clips: &'a Clips,
}

impl Predictor<'_> {
    /// In the order of the videos.
    fn predictions(&self, evaluation: &Evaluation, stop: &AtomicBool) -> Result<Vec<Prediction>, RunError> {
        let mut predictions: Vec<(usize, Prediction)> =
            evaluation.videos.iter().map(|score| (score.video, self.scored(score))).collect();
        if let Some(folder) = &self.options.explain {
            let bar = Bar::new("explain", predictions.len() as u64, 10);
            for (score, (_, prediction)) in evaluation.videos.iter().zip(&mut predictions) {
                if stop.load(Ordering::Relaxed) {
                    return Err(RunError::INTERRUPTED);
                }
                if let Err(error) = self.explain(folder, score, prediction) {
                    tracing::warn!("{} is not explained: {}", prediction.path, error_text(&error));
                }
                bar.advance(1, String::new);
            }
        }
        predictions.extend(evaluation.unscored().map(|(video, reason)| (video, self.without_score(video, reason))));
        predictions.sort_by_key(|(video, _)| *video);
        Ok(predictions.into_iter().map(|(_, prediction)| prediction).collect())
    }

    fn scored(&self, score: &VideoScore) -> Prediction {
        let is_fake = score.score >= self.options.threshold;
        let calibrated = self.detector.temperature.map(|temperature| calibrated(score.score, temperature));
        let of_fake = calibrated.unwrap_or(score.score);
        let found = self.clips.faces.of(score.video, 0);
        Prediction {
            path: self.path(score.video),
            score: Some(score.score),
            verdict: if is_fake { Verdict::Fake } else { Verdict::Real },
            calibrated,
            confidence: Some(if is_fake { of_fake } else { 1.0 - of_fake }),
            clips: score.clip_scores.len(),
            faces: found.as_ref().map(|found| found.frames_with_face),
            each_face: self.each_face(score),
            segments: self.segments(score),
            explanation: None,
            error: None,
        }
    }

    fn each_face(&self, score: &VideoScore) -> Vec<FaceVerdict> {
        let verdict = |(face, clip_scores): (&usize, &[f64])| {
            let found = self.clips.faces.of(score.video, *face)?;
            let (frame, corners) = found.first?;
            let score = self.detector.options.pooling.pool(clip_scores);
            Some(FaceVerdict { face: face + 1, score, frames: found.frames_with_face, frame, corners })
        };
        score.faces.iter().zip(score.clip_scores.chunks(score.clips_a_face())).filter_map(verdict).collect()
    }

    fn segments(&self, score: &VideoScore) -> Vec<Segment> {
        let (clips, times) = (score.clips_a_face(), self.times(score));
        let at = |place| times.as_ref().and_then(|info| secs(place, info));
        let of_face = |(face, clip_scores): (&usize, &[f64])| {
            let found = self.clips.faces.of(score.video, *face);
            let rank = found.as_ref().map(|_| face + 1);
            let numbers = found.map_or_else(Vec::new, |found| found.frame_numbers);
            let segment = |(clip, score): (usize, &f64)| {
                let [from, to] = places(clip, clips, &numbers);
                Segment { face: rank, from_secs: at(from), to_secs: at(to), score: *score }
            };
            clip_scores.iter().enumerate().map(segment).collect::<Vec<_>>()
        };
        score.faces.iter().zip(score.clip_scores.chunks(clips)).flat_map(of_face).collect()
    }

    /// Explains the clip with the strongest evidence for the verdict, and notes the path of its picture.
    fn explain(&self, folder: &Path, score: &VideoScore, prediction: &mut Prediction) -> Result<(), RunError> {
        let of_verdict = |clip: &usize| match prediction.verdict {
            Verdict::Fake => score.clip_scores[*clip],
            _ => -score.clip_scores[*clip],
        };
        let clips = 0..score.clip_scores.len();
        let clip = clips.max_by(|a, b| of_verdict(a).total_cmp(&of_verdict(b))).unwrap_or(0);
        let (face, clip_of_face) = (score.faces[clip / score.clips_a_face()], clip % score.clips_a_face());
        let all = self.clips.source.clips_of(score.video);
        let long_clip = all.into_iter().find(|long_clip| self.clips.source.face_of(*long_clip).1 == face);
        let frames = self.clips.source.pictures(long_clip.unwrap_or(score.video)).map_err(RunError::Frames)?;
        let length = self.detector.clip_spec().frames;
        let frames = frames.into_iter().skip(clip_of_face * length).take(length).collect();
        let explanation = explain::explain_clip(&self.detector.network, frames, prediction.verdict == Verdict::Fake)?;
        let path = Path::new(&prediction.path);
        let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let segment = &prediction.segments[clip];
        // Frames are not evenly spread where some were left out.
        let is_even = self.clips.faces.of(score.video, face).is_none_or(|found| found.left_out == 0);
        let secs = segment.from_secs.zip(segment.to_secs).filter(|_| is_even).map(|(from, to)| from..to);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        // Numbered: videos of one name may come from several folders.
        let name = format!("{:03}-{stem}", score.video + 1);
        let sheet = explanation.contact_sheet(&title, secs);
        prediction.explanation = Some(write_explanation(&explanation, &sheet, folder, &name)?);
        Ok(())
    }

    /// The length of the video, unless its clips are consecutive frames.
    fn times(&self, score: &VideoScore) -> Option<VideoInfo> {
        let is_shown = self.options.segment_times || self.options.explain.is_some();
        if !is_shown || self.detector.config.data.sampling == Sampling::Consecutive {
            return None;
        }
        video::probe(&self.manifest.footage(score.video), &self.detector.clip_spec()).ok()
    }

    fn without_score(&self, video: usize, reason: &str) -> Prediction {
        let faces = self.clips.faces.of(video, 0).map(|found| found.frames_with_face);
        Prediction { faces, ..unknown(Path::new(&self.path(video)), reason) }
    }

    fn path(&self, video: usize) -> String {
        self.manifest.footage(video).path.display().to_string()
    }
}

/// A place in a video.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// As a share of its length.
    Share(f64),
    /// Before the frame with this number.
    Frame(usize),
}

/// Where the frames of a clip are from. Clips divide the video evenly, except where frames without the face are left
/// out; `numbers` has the number of each frame then.
fn places(clip: usize, clips: usize, numbers: &[usize]) -> [Place; 2] {
    let frames = numbers.len() / clips;
    match numbers.get(clip * frames..(clip + 1) * frames) {
        Some([first, .., last]) => [Place::Frame(*first), Place::Frame(last + 1)],
        Some([only]) => [Place::Frame(*only), Place::Frame(only + 1)],
        _ => [clip, clip + 1].map(|clip| Place::Share(clip as f64 / clips as f64)),
    }
}

fn secs(place: Place, video: &VideoInfo) -> Option<f64> {
    let share = match place {
        Place::Share(share) => share,
        Place::Frame(number) => number as f64 / video.frames.max(1) as f64,
    };
    Some(share * video.duration_secs?)
}

fn unknown(path: &Path, reason: &str) -> Prediction {
    Prediction {
        path: path.display().to_string(),
        score: None,
        verdict: Verdict::Unknown,
        calibrated: None,
        confidence: None,
        clips: 0,
        faces: None,
        each_face: Vec::new(),
        segments: Vec::new(),
        explanation: None,
        error: Some(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_without_some_frames_are_where_their_frames_are_from() {
        let video = VideoInfo { frames: 100, width: 64, height: 64, bytes: 1, duration_secs: Some(20.0) };
        let secs = |place| (100.0 * secs(place, &video).unwrap()).round() / 100.0;
        assert_eq!(places(1, 2, &[]).map(secs), [10.0, 20.0]);
        let numbers = [4, 8, 8, 50, 60, 99];
        assert_eq!(
            [places(0, 2, &numbers), places(1, 2, &numbers)].map(|places| places.map(secs)),
            [[0.8, 1.8], [10.0, 20.0]]
        );
        assert_eq!(places(2, 6, &numbers).map(secs), [1.6, 1.8], "one frame a clip");
        assert_eq!(super::secs(Place::Share(0.5), &VideoInfo { duration_secs: None, ..video }), None);
    }
}
