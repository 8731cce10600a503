//! Scores that another program gave, measured like those of a detector of this one. Runs no network and opens no video.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::RunError;
use super::evaluation::{ComparedEvaluation, DetectorComparison, EvaluationOptions, EvaluationVideos, compared};
use super::scored_set::{ScoredSet, evaluation_report, write_evaluation};
use super::test_sets::VideoSet;
use crate::config::{ColumnNames, LayoutChoice};
use crate::dataset::{DataError, DataSet, Label, Manifest, ScoreRow, VideoRecord, people_of, read_scores};
use crate::evaluate::{Evaluation, Pooling, VideoScore};
use crate::metrics::sigmoid;

/// How a list of scores is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScoreFormat {
    /// The names of the columns, also in lists of videos.
    pub columns: ColumnNames,
    /// The name of the column of scores; `score` if `None`.
    pub score_column: Option<String>,
    /// Whether scores are logits, and not probabilities.
    pub are_logits: bool,
    /// How the scores of several rows of a video are pooled.
    pub pooling: Pooling,
}

/// Scores that another program gave.
#[derive(Debug)]
pub struct GivenScores {
    file: PathBuf,
    rows: Vec<ScoreRow>,
    format: ScoreFormat,
}

impl GivenScores {
    /// Reads a CSV with the columns `path` and `score`, and possibly `label`, `group` and `method`.
    ///
    /// # Errors
    /// The file cannot be read, lacks a column, or has a score that is no probability or a label that is not known.
    pub fn read(file: &Path, format: &ScoreFormat) -> Result<Self, RunError> {
        let mut rows = read_scores(file, &format.columns, format.score_column.as_deref().unwrap_or("score"))?;
        for row in &mut rows {
            let Some(score) = row.score.as_mut() else { continue };
            if format.are_logits {
                *score = sigmoid(*score);
            } else if !(0.0..=1.0).contains(score) {
                let problem = format!("row {}: the score {score} is no probability", row.row);
                return Err(unusable(file, problem, "give --logits where scores are logits").into());
            }
        }
        Ok(Self { file: file.to_owned(), rows, format: format.clone() })
    }

    /// Measures how well the scores tell real from fake: of the videos that the list names with their labels or, if
    /// `folders` are given, of all videos in these.
    ///
    /// # Errors
    /// A label is missing, no row names a video of the folders, or a file cannot be written.
    pub fn evaluate(&self, folders: &[PathBuf], options: &EvaluationOptions) -> Result<ComparedEvaluation, RunError> {
        let videos = match folders {
            [] => self.labelled_videos()?,
            folders => EvaluationVideos::all_of_folders(folders, &self.format.columns)?,
        };
        let evaluations = self.of_videos(&videos)?;
        if evaluations.iter().all(|evaluation| evaluation.videos.is_empty()) {
            return Err(
                unusable(&self.file, "no row has a score".into(), "a score is a number in the column `score`").into()
            );
        }
        let EvaluationVideos { manifest, sets } = &videos;
        let scored =
            |(set, evaluation)| ScoredSet { set, manifest, evaluation, temperature: None, trained_methods: &[] };
        let scored: Vec<_> = sets.iter().zip(&evaluations).map(scored).collect();
        let comparison = options.compare.as_deref().map(|other| self.compare(other, &videos, &evaluations));
        let result = ComparedEvaluation {
            report: evaluation_report(&self.file, &scored, None, options.output.as_deref())?,
            pooling: self.format.pooling.to_string(),
            comparison: comparison.transpose()?,
        };
        if let Some(folder) = &options.output {
            write_evaluation(folder, &result)?;
        }
        Ok(result)
    }

    /// Another list of scores of the same videos.
    fn compare(
        &self,
        other: &Path,
        videos: &EvaluationVideos,
        evaluations: &[Evaluation],
    ) -> Result<DetectorComparison, RunError> {
        let others = Self::read(other, &self.format)?.of_videos(videos)?;
        let each = evaluations.iter().zip(&others);
        let sets = each.map(|(evaluation, other)| compared(&videos.manifest, evaluation, other)).collect();
        Ok(DetectorComparison { checkpoint: other.display().to_string(), sets })
    }

    /// The videos that the list names, in sets where it has several. Rows with an unknown label are left out.
    fn labelled_videos(&self) -> Result<EvaluationVideos, DataError> {
        let mut manifest = Manifest { sets: Vec::new(), videos: Vec::new(), skipped: Vec::new() };
        let mut numbers: HashMap<(Option<&str>, &Path), (usize, Label)> = HashMap::new();
        let mut sets: Vec<Option<&str>> = Vec::new();
        for ScoreRow { row, set, path, label, people, method, .. } in &self.rows {
            let (set, Some(label)) = (set.as_deref(), *label) else { continue };
            if let Some((_, before)) = numbers.get(&(set, path.as_path())) {
                if *before != label {
                    let problem = format!("row {row}: `{}` is both {before} and {label}", path.display());
                    return Err(unusable(&self.file, problem, "a video has one label in all of its rows"));
                }
                continue;
            }
            let number = sets.iter().position(|known| *known == set).unwrap_or_else(|| {
                sets.push(set);
                sets.len() - 1
            });
            numbers.insert((set, path), (manifest.videos.len(), label));
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let people = people.clone().unwrap_or_else(|| people_of(&stem));
            let method = method.clone().filter(|_| label == Label::Fake);
            manifest.videos.push(VideoRecord { set: number, method, ..VideoRecord::new(path, label, people) });
        }
        if manifest.videos.is_empty() {
            let problem = "no row has a label".to_owned();
            return Err(unusable(&self.file, problem, "add the column label, or name the data set with --data"));
        }
        let name = |set: &Option<&str>| set.map_or_else(|| self.file.display().to_string(), str::to_owned);
        manifest.sets = sets.iter().map(|set| DataSet::new(name(set), LayoutChoice::Csv)).collect();
        let of_set = |(number, set)| VideoSet::of(name(set), &manifest, |video| video.set == number);
        let sets = sets.iter().enumerate().map(of_set).collect();
        Ok(EvaluationVideos { manifest, sets })
    }

    /// The scores of the videos of each set.
    fn of_videos(&self, EvaluationVideos { manifest, sets }: &EvaluationVideos) -> Result<Vec<Evaluation>, DataError> {
        let names = video_names(manifest, sets);
        let mut rows_of: HashMap<usize, Vec<&ScoreRow>> = HashMap::new();
        let mut strangers = Vec::new();
        for row in &self.rows {
            let named = |set: Option<&str>| names.get(&(set.map(str::to_owned), row.path.clone())).copied().flatten();
            match row.set.as_deref().and_then(|set| named(Some(set))).or_else(|| named(None)) {
                Some(video) => {
                    let rows: &mut Vec<&ScoreRow> = rows_of.entry(video).or_default();
                    if let Some(first) = rows.first().filter(|first| first.set != row.set) {
                        let problem =
                            format!("rows {} and {} are of two sets, and name the same video", first.row, row.row);
                        return Err(unusable(&self.file, problem, "measure both sets, or leave one out of the list"));
                    }
                    rows.push(row);
                }
                None => strangers.push(row),
            }
        }
        if let Some(ScoreRow { row, path, .. }) = strangers.first() {
            let problem = format!(
                "{} of its rows name no video that is measured, or several; for instance row {row}: `{}`",
                strangers.len(),
                path.display()
            );
            if rows_of.is_empty() {
                let hint = "paths are absolute, or below the folder of the data set";
                return Err(unusable(&self.file, problem, hint));
            }
            tracing::warn!("{}: {problem}", self.file.display());
        }
        Ok(sets.iter().map(|set| self.evaluation(manifest, set, &rows_of)).collect())
    }

    fn evaluation(&self, manifest: &Manifest, set: &VideoSet, rows_of: &HashMap<usize, Vec<&ScoreRow>>) -> Evaluation {
        let mut evaluation = Evaluation::default();
        for video in &set.videos {
            let rows = rows_of.get(video).map_or(&[][..], Vec::as_slice);
            let clip_scores: Vec<f64> = rows.iter().filter_map(|row| row.score).collect();
            if clip_scores.is_empty() {
                let reason =
                    rows.first().map_or("no row names it".into(), |row| format!("row {} has no score", row.row));
                evaluation.skipped.push((*video, reason));
                continue;
            }
            // Rows may be clips with the score of their video.
            let are_equal = clip_scores.iter().all(|score| *score == clip_scores[0]);
            let score = if are_equal { clip_scores[0] } else { self.format.pooling.pool(&clip_scores) };
            let label = manifest.videos[*video].label;
            evaluation.videos.push(VideoScore {
                video: *video,
                label,
                score,
                faces: vec![0],
                clip_scores,
                frame_scores: Vec::new(),
            });
        }
        evaluation
    }
}

/// What rows may call each video, with or without its set; `None` for a name of several.
fn video_names(manifest: &Manifest, sets: &[VideoSet]) -> HashMap<(Option<String>, PathBuf), Option<usize>> {
    let mut names: HashMap<(Option<String>, PathBuf), Option<usize>> = HashMap::new();
    let mut add = |set: Option<String>, path: PathBuf, video: usize| {
        let known = names.entry((set, path)).or_insert(Some(video));
        *known = known.filter(|known| *known == video);
    };
    for set in sets {
        for video in &set.videos {
            let record = &manifest.videos[*video];
            let full = manifest.sets[record.set].root.join(&record.path);
            for path in [record.path.clone(), full, manifest.video_name(*video).into()] {
                if sets.len() > 1 {
                    add(Some(set.name.clone()), path.clone(), *video);
                }
                add(None, path, *video);
            }
        }
    }
    names
}

fn unusable(file: &Path, problem: String, hint: &str) -> DataError {
    DataError::Unusable { root: file.to_owned(), problem, hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;

    const HEADER: &str = "path,score,label,group,method\n";

    fn measured(folder: &TempDir, text: &str, format: &ScoreFormat) -> Result<Value, String> {
        let file = folder.path().join("scores.csv");
        std::fs::write(&file, text).unwrap();
        let scores = GivenScores::read(&file, format).map_err(|error| error.to_string())?;
        let result = scores.evaluate(&[], &EvaluationOptions::default()).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(result).unwrap())
    }

    #[test]
    fn rows_of_a_video_are_pooled_and_logits_are_made_probabilities() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "{HEADER}a.mp4,0.1,real,,\na.mp4,0.5,0,,\nb.mp4,0.9,fake,,swap\nb.mp4,,fake,,swap\nc.mp4,nan,1,,\n"
        );
        let score_of = |pooling, text: &str, are_logits| {
            let format = ScoreFormat { pooling, are_logits, ..ScoreFormat::default() };
            let set = measured(&folder, text, &format).unwrap()["sets"][0].clone();
            assert_eq!((&set["overall"]["videos"], &set["overall"]["clips"]), (&2.into(), &3.into()));
            assert_eq!(set["methods"].as_object().unwrap().keys().collect::<Vec<_>>(), ["swap"]);
            let unreadable = &set["unreadable"][0];
            assert_eq!((&unreadable["path"], &unreadable["reason"]), (&"c.mp4".into(), &"row 6 has no score".into()));
            // The score of the real follows from the mean of both log-losses.
            let log_loss = set["overall"]["log_loss"].as_f64().unwrap();
            1.0 - (-2.0 * log_loss - 0.9_f64.ln()).exp()
        };
        for (pooling, expected) in [(Pooling::Mean, 0.3), (Pooling::Max, 0.5), (Pooling::Logit, 0.25)] {
            let found = score_of(pooling, &text, false);
            assert!((found - expected).abs() < 1e-9, "{pooling}: {found}");
        }
        // The mean of three times 0.7 is not 0.7, but clips may carry the score of their video.
        let loss = |rows: &str| {
            let text = format!("{HEADER}{rows}b.mp4,0.9,fake,,\n");
            measured(&folder, &text, &ScoreFormat::default()).unwrap()["sets"][0]["overall"]["log_loss"].clone()
        };
        assert_eq!(loss(&"a.mp4,0.7,real,,\n".repeat(3)), loss("a.mp4,0.7,real,,\n"));
        let logits = format!(
            "{HEADER}a.mp4,{},real,,\na.mp4,0,0,,\nb.mp4,{},fake,,swap\nb.mp4,,fake,,swap\nc.mp4,nan,1,,\n",
            (0.1_f64 / 0.9).ln(),
            (0.9_f64 / 0.1).ln()
        );
        assert!((score_of(Pooling::Mean, &logits, true) - 0.3).abs() < 1e-9);
    }

    #[test]
    fn people_come_from_the_list_or_from_names() {
        let folder = tempfile::tempdir().unwrap();
        let rows = |group: fn(usize) -> String| {
            let row = |n: usize| format!("{n:03}.mp4,0.{n:02},{},{},\n", n % 2, group(n));
            HEADER.to_owned() + &(10..34).map(row).collect::<String>()
        };
        let drawn =
            |text: &str| measured(&folder, text, &ScoreFormat::default()).unwrap()["sets"][0]["drawn_over"].clone();
        assert_eq!(drawn(&rows(|_| String::new())), serde_json::json!({ "unit": "videos", "groups": 24 }));
        assert_eq!(drawn(&rows(|n| format!("p{};", n % 8))), serde_json::json!({ "unit": "too_few", "groups": 8 }));
        assert_eq!(drawn(&rows(|n| format!("p{}", n % 12))), serde_json::json!({ "unit": "identities", "groups": 12 }));
    }

    #[test]
    fn sets_of_a_list_may_have_videos_of_one_name() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "set,path,score,label\nx,a.mp4,0.1,real\nx,b.mp4,0.9,fake\ny,a.mp4,0.8,real\ny,b.mp4,0.2,fake\n";
        let found = measured(&folder, rows, &ScoreFormat::default()).unwrap();
        let of_set = |set: usize| (&found["sets"][set]["name"], &found["sets"][set]["overall"]["video_auc"]);
        assert_eq!((of_set(0), of_set(1)), ((&"x".into(), &1.0.into()), (&"y".into(), &0.0.into())));
        let all = &found["all_sets"];
        assert_eq!((&all["mean_video_auc"], &all["pooled"]["video_auc"]), (&0.5.into(), &0.75.into()));

        // Another list that does not say which is meant.
        let read = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            GivenScores::read(&file, &ScoreFormat::default()).unwrap()
        };
        let videos = read("first.csv", rows).labelled_videos().unwrap();
        let one = read("one.csv", "path,score,label\na.mp4,0.5,real\nb.mp4,0.5,fake\n").labelled_videos().unwrap();
        let error = read("first.csv", rows).of_videos(&one).unwrap_err().to_string();
        assert!(error.contains("rows 2 and 4 are of two sets"), "{error}");
        let error = read("other.csv", "path,score\na.mp4,0.5\n").of_videos(&videos).unwrap_err().to_string();
        assert!(error.contains("name no video that is measured, or several; for instance row 2: `a.mp4`"), "{error}");
    }

    #[test]
    fn what_is_no_list_of_scores_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (text, part) in [
            ("path,label\na,real\n", "lacks the column score; its columns are path, label"),
            ("path,score\na,0.5\n", "no row has a label"),
            ("path,score,label\na,,real\n", "no row has a score"),
            ("path,score,label\na,high,real\n", "row 2: found the score `high`"),
            (
                "path,score,label\na,0.5,real\nb,1.5,fake\n",
                "row 3: the score 1.5 is no probability\n  hint: give --logits",
            ),
            ("path,score,label\na,inf,real\n", "row 2: the score inf is no probability"),
            ("path,score,label\na,0.5,maybe\n", "row 2: found the label `maybe`"),
            ("path,score,label\na,0.5,real\na,0.5,fake\n", "row 3: `a` is both real and fake"),
            ("path,score,label\n,0.5,real\n", "row 2: the path is missing"),
        ] {
            let error = measured(&folder, text, &ScoreFormat::default()).unwrap_err();
            assert!(error.contains(part) && error.contains("scores.csv") && error.contains("hint: "), "{error}");
        }
        let nowhere = GivenScores::read(&folder.path().join("none.csv"), &ScoreFormat::default()).unwrap_err();
        assert!(nowhere.to_string().contains("none.csv: there is no such file"), "{nowhere}");
    }
}
