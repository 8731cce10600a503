//! A trained detector measured on videos with labels, and compared with another detector. The report on the scores is
//! made in `scored_set.rs`; videos without labels are in `prediction.rs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::error::RunError;
use super::face_decision::decide_faces;
use super::scored_set::{ScoredSet, evaluation_report, write_evaluation};
use super::test_sets::{VideoSet, test_sets};
use super::trained_detector::{StoredCheckpoint, TrainedDetector};
use crate::config::{ColumnNames, DataConfig, Roots};
use crate::dataset::{DataError, Label, Manifest, Split, people_numbers, scan_to_measure};
use crate::evaluate::Evaluation;
use crate::metrics::{AucComparison, People, delong_test};
use crate::report::{EvaluationReport, RunFolder};

/// What is done with the scores besides the report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvaluationOptions {
    /// The folder of another checkpoint, which is scored on the same videos.
    pub compare: Option<PathBuf>,
    /// Folder for `evaluation.json`, `predictions.csv` and pictures of mistakes.
    pub output: Option<PathBuf>,
}

/// The result of an evaluation. As JSON, keys may be added, not renamed.
#[derive(Debug, Serialize)]
pub struct ComparedEvaluation {
    /// The report on each set of videos.
    #[serde(flatten)]
    pub report: EvaluationReport,
    /// How the scores of a video's clips are pooled.
    pub pooling: String,
    /// Another detector on the same videos, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<DetectorComparison>,
}

/// Another detector on the same videos.
#[derive(Debug, Serialize)]
pub struct DetectorComparison {
    /// The folder of its checkpoint.
    pub checkpoint: String,
    /// One for each set of videos; absent where a class is missing, or has too few people.
    pub sets: Vec<Option<AucComparison>>,
}

/// Videos to measure a detector on.
#[derive(Debug)]
pub struct EvaluationVideos {
    pub(super) manifest: Manifest,
    pub(super) sets: Vec<VideoSet>,
}

impl EvaluationVideos {
    /// All videos of folders, each with `real` and `fake` in it or of another known layout. A detector decides whether
    /// their faces are cut out. In a CSV, `columns` are looked for, or else those that the detector was trained with.
    ///
    /// # Errors
    /// A folder has no videos of a known layout, or `stop` was set.
    pub fn of_folders(
        detector: &TrainedDetector,
        folders: &[PathBuf],
        columns: Option<&ColumnNames>,
        stop: &AtomicBool,
    ) -> Result<Self, RunError> {
        let columns = columns.unwrap_or(&detector.config.data.columns);
        let mut videos = Self::all_of_folders(folders, columns)?;
        decide_faces(&detector.config, &mut videos.manifest, stop)?;
        Ok(videos)
    }

    /// All videos of folders, for scores that are known.
    pub(super) fn all_of_folders(folders: &[PathBuf], columns: &ColumnNames) -> Result<Self, DataError> {
        let manifest = scan_to_measure(&DataConfig {
            root: Roots(folders.to_vec()),
            columns: columns.clone(),
            compression: "all".into(),
            ..DataConfig::default()
        })?;
        let set = |(number, root): (usize, &PathBuf)| {
            let mut set = VideoSet::of(root.display().to_string(), &manifest, |video| video.set == number);
            // Some could not even be listed.
            set.unusable = manifest.skipped.iter().filter(|video| video.set == number).cloned().collect();
            set
        };
        let sets = folders.iter().enumerate().map(set).collect();
        Ok(Self { manifest, sets })
    }

    /// One side of a run's split; [`Split::Test`] has the run's other test data sets with it.
    ///
    /// # Errors
    /// The run's list of videos cannot be read, or that side is empty.
    pub fn of_run(run: &Path, split: Split) -> Result<Self, RunError> {
        let manifest = Manifest::load(&RunFolder::open(run).manifest())?;
        let name = format!("{split:?}").to_lowercase();
        let mut sets = match split {
            Split::Test => test_sets(&manifest),
            _ => vec![VideoSet::of(name.clone(), &manifest, |video| video.split == split)],
        };
        sets.retain(|set| !set.videos.is_empty());
        if sets.is_empty() {
            let root = manifest.root().to_owned();
            let problem = format!("the run has no videos in its {name} split");
            let hint = "give a folder with --data, or another --split".into();
            return Err(DataError::Unusable { root, problem, hint }.into());
        }
        Ok(Self { manifest, sets })
    }
}

impl TrainedDetector {
    /// Scores videos, and measures how well the scores tell real from fake.
    ///
    /// # Errors
    /// No video can be read, the other checkpoint cannot be used, a file cannot be written, or `stop` was set.
    pub fn evaluate(
        &self,
        videos: &EvaluationVideos,
        options: &EvaluationOptions,
        stop: &AtomicBool,
    ) -> Result<ComparedEvaluation, RunError> {
        let EvaluationVideos { manifest, sets } = videos;
        let clips = self.clips(manifest, sets, stop)?;
        let evaluations = self.score(&clips, sets, stop)?;
        let (temperature, trained_methods) = (self.temperature, self.trained_methods.as_slice());
        let each = sets.iter().zip(&evaluations);
        let scored: Vec<_> = each
            .map(|(set, evaluation)| ScoredSet { set, manifest, evaluation, temperature, trained_methods })
            .collect();
        if evaluations.iter().all(|evaluation| evaluation.videos.is_empty()) {
            return Err(none_readable(manifest, &evaluations).into());
        }
        // Its failure is reported after the files about this detector are written.
        let comparison = options.compare.as_deref().map(|other| self.compare(other, videos, &evaluations, stop));
        let compared = ComparedEvaluation {
            report: evaluation_report(&self.folder, &scored, Some(&clips.source), options.output.as_deref())?,
            pooling: self.options.pooling.to_string(),
            comparison: comparison.transpose()?,
        };
        if let Some(folder) = &options.output {
            write_evaluation(folder, &compared)?;
        }
        Ok(compared)
    }

    /// Scores the same videos with another detector, which takes clips of them in its own way.
    fn compare(
        &self,
        other: &Path,
        videos: &EvaluationVideos,
        evaluations: &[Evaluation],
        stop: &AtomicBool,
    ) -> Result<DetectorComparison, RunError> {
        let other = Self::load(StoredCheckpoint::open(other)?, &self.options)?;
        let mut manifest = videos.manifest.clone();
        decide_faces(&other.config, &mut manifest, stop)?;
        let others = other.score(&other.clips(&manifest, &videos.sets, stop)?, &videos.sets, stop)?;
        let sets =
            evaluations.iter().zip(&others).map(|(evaluation, other)| compared(&manifest, evaluation, other)).collect();
        Ok(DetectorComparison { checkpoint: other.folder.display().to_string(), sets })
    }
}

/// On the videos that both could score.
pub(super) fn compared(manifest: &Manifest, evaluation: &Evaluation, other: &Evaluation) -> Option<AucComparison> {
    let others: HashMap<usize, f64> = other.videos.iter().map(|score| (score.video, score.score)).collect();
    let (mut videos, mut scores, mut other_scores, mut is_fake) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for score in &evaluation.videos {
        if let Some(other) = others.get(&score.video) {
            videos.push(score.video);
            scores.push(score.score);
            other_scores.push(*other);
            is_fake.push(score.label == Label::Fake);
        }
    }
    delong_test(&scores, &other_scores, &is_fake, &People::new(people_numbers(manifest, &videos)))
}

fn none_readable(manifest: &Manifest, evaluations: &[Evaluation]) -> DataError {
    let mut unscored = evaluations.iter().flat_map(Evaluation::unscored);
    let count = unscored.clone().count();
    let first = unscored.next();
    let (what, hint) = match evaluations.iter().all(|evaluation| evaluation.not_finite.is_empty()) {
        true => ("read", "if the data set was moved, name its folder with --data"),
        false => ("scored", "the network gives numbers that are not finite: name another checkpoint of the run"),
    };
    DataError::Unusable {
        root: manifest.root().to_owned(),
        problem: format!(
            "none of {count} videos can be {what}, for instance {}",
            first.map_or("-".into(), |(video, why)| format!("{}: {why}", manifest.video_name(video)))
        ),
        hint: hint.into(),
    }
}
