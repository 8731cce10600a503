//! From the scores of a set of videos to the report on them: metrics, a list of clips, and pictures of mistakes. Runs
//! no network; the formulas of metrics are in `metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{RunError, cannot_write};
use super::output_files::write_csv;
use super::test_sets::VideoSet;
use crate::clip::ClipSource;
use crate::dataset::{Label, Manifest, SkippedVideo, VideoRecord, people_numbers};
use crate::drawing;
use crate::evaluate::{Evaluation, VideoScore, scored_videos};
use crate::files;
use crate::metrics::{Calibration, Metrics, People, calibrated, curve, operating_points};
use crate::report::{
    AllSets, BootstrapGroups, BootstrapUnit, DatasetReport, EvaluationReport, Mistake, RunFolder, SEEN, TEST_SET,
    UNSEEN,
};

const MISTAKES: usize = 12;
const PICTURES: &str = "mistakes";
/// The file with the list of clips.
const PREDICTIONS: &str = "predictions.csv";

/// The scores of a set of videos, and the videos.
pub(super) struct ScoredSet<'a> {
    pub set: &'a VideoSet,
    pub manifest: &'a Manifest,
    pub evaluation: &'a Evaluation,
    pub temperature: Option<f64>,
    /// The methods of the fakes that the detector was trained on, where they are known.
    pub trained_methods: &'a [String],
}

impl ScoredSet<'_> {
    /// The report without pictures.
    fn dataset_report(&self) -> DatasetReport {
        let videos = &self.evaluation.videos;
        let samples = scored_videos(videos);
        let people = self.people();
        let (scores, is_fake) = (&samples.scores, &samples.is_fake);
        let unreadable = self.evaluation.unscored().map(|(video, reason)| {
            let record @ VideoRecord { set, path, .. } = self.record(video);
            SkippedVideo {
                set: *set,
                path: path.clone(),
                self_blend: record.is_self_blend(),
                reason: reason.to_owned(),
            }
        });
        let unreadable = unreadable.chain(self.set.unusable.iter().cloned());
        DatasetReport {
            name: self.set.name.clone(),
            overall: samples.metrics_with_intervals(&people),
            drawn_over: drawn_over(&people, is_fake),
            methods: self.by(&people, |record| record.method.as_deref(), |record| record.label == Label::Real),
            seen_and_unseen: self.seen_and_unseen(&people),
            compressions: self.by(&people, |record| record.compression.as_deref(), |_| false),
            curve: curve(scores, is_fake),
            operating_points: operating_points(scores, is_fake),
            calibration: Calibration::of(scores, is_fake, self.temperature),
            mistakes: self.mistakes(),
            unreadable: unreadable.collect(),
        }
    }

    /// Metrics for each value of `key`; videos for which `always` holds count in all of them.
    fn by<'r>(
        &'r self,
        people: &People,
        key: impl Fn(&'r VideoRecord) -> Option<&'r str>,
        always: impl Fn(&VideoRecord) -> bool,
    ) -> BTreeMap<String, Metrics> {
        let videos = &self.evaluation.videos;
        let values: BTreeSet<&str> = videos.iter().filter_map(|score| key(self.record(score.video))).collect();
        let metrics = |value: &str| {
            let counts = |score: &VideoScore| {
                let record = self.record(score.video);
                always(record) || key(record) == Some(value)
            };
            let counted: Vec<usize> = (0..videos.len()).filter(|place| counts(&videos[*place])).collect();
            scored_videos(counted.iter().map(|place| &videos[*place])).metrics_with_intervals(&people.of(&counted))
        };
        values.iter().map(|value| ((*value).to_owned(), metrics(value))).collect()
    }

    /// Fakes of methods that were trained on, and those of others. A fake whose method has no name is in neither.
    fn seen_and_unseen(&self, people: &People) -> BTreeMap<String, Metrics> {
        let side = |record: &VideoRecord| match record.is_of(self.trained_methods) {
            true => Some(SEEN),
            false => record.method.as_ref().map(|_| UNSEEN),
        };
        let parts = self.by(people, side, |record| record.label == Label::Real);
        // One part alone has nothing to be compared with.
        if parts.len() == 2 { parts } else { BTreeMap::new() }
    }

    /// The people in each scored video.
    fn people(&self) -> People {
        let videos: Vec<usize> = self.evaluation.videos.iter().map(|score| score.video).collect();
        People::new(people_numbers(self.manifest, &videos))
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mistake = |score: &VideoScore| Mistake {
            video: self.manifest.video_name(score.video),
            label: score.label,
            method: self.record(score.video).method.clone(),
            score: score.score,
            picture: None,
        };
        self.worst().into_iter().map(mistake).collect()
    }

    /// Videos on the wrong side of 0.5, the most confident first.
    fn worst(&self) -> Vec<&VideoScore> {
        let is_wrong = |score: &&VideoScore| (score.score >= 0.5) != (score.label == Label::Fake);
        let mut wrong: Vec<_> = self.evaluation.videos.iter().filter(is_wrong).collect();
        wrong.sort_by(|a, b| (b.score - 0.5).abs().total_cmp(&(a.score - 0.5).abs()));
        wrong.truncate(MISTAKES);
        wrong
    }

    /// Writes a frame of each mistake below `folder`, and its name into the report; `place` tells sets apart. A video
    /// whose clip can no longer be read gets no picture.
    fn add_pictures(
        &self,
        place: usize,
        report: &mut DatasetReport,
        source: &ClipSource,
        folder: &Path,
    ) -> Result<(), RunError> {
        for (number, (mistake, score)) in (1..).zip(report.mistakes.iter_mut().zip(self.worst())) {
            let mut frames = match source.pictures(score.video) {
                Ok(frames) if !frames.is_empty() => frames,
                nothing => {
                    let reason = nothing.err().unwrap_or_else(|| "its clip has no frame".into());
                    tracing::warn!("no picture of {}: {reason}", mistake.video);
                    continue;
                }
            };
            let picture = frames.swap_remove(frames.len() / 2);
            let jpeg = drawing::jpeg(&picture).map_err(RunError::format("a frame cannot be made a JPEG"))?;
            let path = PathBuf::from(PICTURES).join(format!("{place}-{number:02}.jpg"));
            let full = folder.join(&path);
            let write = || {
                fs::create_dir_all(folder.join(PICTURES))?;
                files::write_whole(&full, &jpeg)
            };
            write().map_err(cannot_write(&full))?;
            mistake.picture = Some(path);
        }
        Ok(())
    }

    /// One row a clip.
    fn predictions(&self) -> impl Iterator<Item = Prediction<'_>> {
        self.evaluation.videos.iter().flat_map(move |of_video| {
            let VideoScore { video, label, score, faces, clip_scores, .. } = of_video;
            let (record, clips) = (self.record(*video), of_video.clips_a_face());
            clip_scores.iter().enumerate().map(move |(clip, clip_score)| Prediction {
                set: &self.set.name,
                path: self.manifest.video_name(*video),
                label: *label,
                group: record.source_ids.join(";"),
                method: record.method.as_deref(),
                compression: record.compression.as_deref(),
                face: faces[clip / clips] + 1,
                clip: clip % clips + 1,
                clip_score: *clip_score,
                score: *score,
                calibrated: self.temperature.map(|temperature| calibrated(*score, temperature)),
            })
        })
    }

    fn record(&self, video: usize) -> &VideoRecord {
        &self.manifest.videos[video]
    }
}

/// What the intervals of all videos are drawn over.
fn drawn_over(people: &People, is_fake: &[bool]) -> BootstrapGroups {
    let unit = match (people.suffice(is_fake), people.are_shared()) {
        (false, _) => BootstrapUnit::TooFew,
        (true, true) => BootstrapUnit::Identities,
        (true, false) => BootstrapUnit::Videos,
    };
    BootstrapGroups { unit, groups: people.count() }
}

/// The report on the scores of some sets; if a folder is given, `predictions.csv` is written to it, and pictures where
/// there is a source of them.
pub(super) fn evaluation_report(
    checkpoint: &Path,
    scored: &[ScoredSet],
    source: Option<&ClipSource>,
    folder: Option<&Path>,
) -> Result<EvaluationReport, RunError> {
    let mut sets: Vec<_> = scored.iter().map(ScoredSet::dataset_report).collect();
    let temperature = scored.first().and_then(|set| set.temperature);
    if let Some(folder) = folder {
        fs::create_dir_all(folder).map_err(cannot_write(folder))?;
        for (place, (set, report)) in (1..).zip(scored.iter().zip(&mut sets)) {
            source.map_or(Ok(()), |source| set.add_pictures(place, report, source, folder))?;
        }
        write_csv(&folder.join(PREDICTIONS), scored.iter().flat_map(ScoredSet::predictions))?;
    }
    let all_sets = all_sets(scored, &sets);
    Ok(EvaluationReport { checkpoint: checkpoint.display().to_string(), temperature, sets, all_sets })
}

/// The data sets together, if there are several besides a run's own test videos.
fn all_sets(scored: &[ScoredSet], reports: &[DatasetReport]) -> Option<AllSets> {
    let each = || scored.iter().zip(reports).filter(|(_, report)| report.name != TEST_SET);
    let (first, _) = each().nth(1).and(each().next())?;
    let aucs: Option<Vec<f64>> = each().map(|(_, report)| report.overall.video_auc).collect();
    let videos = || each().flat_map(|(set, _)| &set.evaluation.videos);
    let people = People::new(people_numbers(first.manifest, &videos().map(|score| score.video).collect::<Vec<_>>()));
    Some(AllSets {
        sets: each().count(),
        mean_video_auc: aucs.map(|aucs| aucs.iter().sum::<f64>() / aucs.len() as f64),
        pooled: scored_videos(videos()).metrics_with_intervals(&people),
    })
}

/// Writes `evaluation.json`: the report, or the report with a comparison.
pub(super) fn write_evaluation(folder: &Path, evaluation: &impl Serialize) -> Result<(), RunError> {
    let path = RunFolder::open(folder).evaluation();
    let json =
        serde_json::to_vec_pretty(evaluation).map_err(RunError::format("what was found cannot be written as JSON"))?;
    files::write_whole(&path, &json).map_err(cannot_write(&path))
}

/// A row of `predictions.csv`.
#[derive(Debug, Serialize)]
struct Prediction<'a> {
    set: &'a str,
    path: String,
    label: Label,
    /// The people in it.
    group: String,
    method: Option<&'a str>,
    compression: Option<&'a str>,
    /// Which of the faces, and which of its clips; counted from 1.
    face: usize,
    clip: usize,
    clip_score: f64,
    /// Of the video.
    score: f64,
    calibrated: Option<f64>,
}
