//! `dfdetect predict`: what a trained detector says of videos that nobody knows the truth about.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::pipeline::{Clips, NamedSet, load_detector, stop_flag};
use super::scoring::{Scorer, ScoringArgs, Trained};
use super::{Interrupted, message, write_csv};
use crate::clip::{FacesSeen, faces_seen};
use crate::config::{FaceMode, OnMiss, Sampling, Switch};
use crate::dataset::{DataError, Manifest, named_videos};
use crate::evaluate::VideoScore;
use crate::explain;
use crate::metrics::calibrated;
use crate::progress::{self, Bar};
use crate::report::plain_table;
use crate::video;

const EXAMPLES: &str = "Examples:
  dfdetect predict --run runs/quick_demo-20260101-120000 clip.mp4 folder/
  find /data -name '*.mp4' | dfdetect predict --checkpoint best --clips 4 --json -";

/// Arguments of `dfdetect predict`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PredictArgs {
    /// Videos, pictures, folders of them, or patterns such as 'clips/*.mp4'; `-` reads a list from stdin, a path a line
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    trained: Trained,
    #[command(flatten)]
    scoring: ScoringArgs,
    /// Videos with this score or more are called fake, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.5, value_parser = probability)]
    threshold: f64,
    /// Whether faces are cut out: auto (as in training), crop or off
    #[arg(long, value_name = "MODE")]
    faces: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write pictures and videos of where the network looked to this folder
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// Write a row a clip to this file, too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// What is said of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Real,
    Fake,
    /// It has no score.
    Unknown,
}

/// What `--json` prints of each video; keys may be added, not renamed.
#[derive(Debug, Serialize)]
struct Prediction {
    path: String,
    /// Probability of fake.
    score: Option<f64>,
    verdict: Verdict,
    /// Calibrated probability of fake, where the checkpoint knows its temperature.
    calibrated: Option<f64>,
    /// How probable the verdict is: of what is calibrated where that is known, else of the score.
    confidence: Option<f64>,
    /// Clips that were scored.
    clips: usize,
    /// Frames in which the face was found; absent where none is looked for.
    faces: Option<usize>,
    segments: Vec<Segment>,
    /// The contact sheet of `--explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<PathBuf>,
    /// Why there is no score.
    error: Option<String>,
}

/// A clip's score.
#[derive(Debug, Serialize)]
struct Segment {
    /// The part of the video that its frames are from; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_secs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_secs: Option<f64>,
    score: f64,
}

pub(super) fn run(args: &PredictArgs) -> Result<()> {
    let stop = stop_flag()?;
    let (mut manifest, no_videos) = named_videos(&expanded(&args.paths)?);
    if manifest.videos.is_empty() {
        return Err(nothing_named(&no_videos).into());
    }
    let mut scorer = Scorer::new(args.trained.open()?, &args.scoring, args.faces.as_deref())?;
    progress::set_level(scorer.config.logging.level);
    // Each video is looked at once: keeping its clip would only fill the disk.
    scorer.config.cache.enable_cache = Switch::Off;
    // Whatever training did with videos without a face: nothing can be said of them.
    scorer.config.data.faces.on_miss = OnMiss::Skip;
    decide_faces(&scorer, &mut manifest, &stop)?;

    let clips = scorer.clips(&manifest)?;
    let all = NamedSet::of("predict".to_owned(), &manifest, |_| true);
    let evaluation = scorer.score(&clips, &[all], &stop)?.remove(0);
    let judge = Judge { args, scorer: &scorer, manifest: &manifest, clips: &clips };
    let mut predictions: Vec<(usize, Prediction)> =
        evaluation.videos.iter().map(|score| (score.video, judge.scored(score))).collect();
    if let Some(folder) = &args.explain {
        let bar = Bar::new("explain", predictions.len() as u64, 10);
        for (score, (_, prediction)) in evaluation.videos.iter().zip(&mut predictions) {
            if stop.load(Ordering::Relaxed) {
                return Err(Interrupted(None).into());
            }
            if let Err(error) = judge.explain(folder, score, prediction) {
                tracing::warn!("{} is not explained: {}", prediction.path, message(&error));
            }
            bar.advance(1, String::new);
        }
    }
    predictions.extend(evaluation.skipped.iter().map(|(video, reason)| (*video, judge.without_score(*video, reason))));
    predictions.sort_by_key(|(video, _)| *video);
    let mut predictions: Vec<_> = predictions.into_iter().map(|(_, prediction)| prediction).collect();
    predictions.extend(no_videos.iter().map(|(path, reason)| unknown(path, reason)));
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&predictions)?)?;
    } else {
        print_table(&predictions, args)?;
    }
    match &args.csv {
        Some(path) => write_csv(path, predictions.iter().flat_map(rows)),
        None => Ok(()),
    }
}

/// What was named, with patterns and the list on stdin in place of themselves.
fn expanded(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in named {
        let text = path.to_string_lossy();
        if text == "-" {
            for line in io::stdin().lock().split(b'\n') {
                let mut line = line.context("the list on stdin cannot be read")?;
                line.truncate(line.trim_ascii_end().len());
                paths.extend((!line.is_empty()).then(|| PathBuf::from(OsString::from_vec(line))));
            }
        } else if text.contains(['*', '?', '[']) && !path.exists() {
            // A pattern that is none, or matches nothing, is a name that is not there.
            let before = paths.len();
            paths.extend(glob::glob(&text).into_iter().flatten().flatten());
            if paths.len() == before {
                paths.push(path.clone());
            }
        } else {
            paths.push(path.clone());
        }
    }
    Ok(paths)
}

fn nothing_named(no_videos: &[(PathBuf, String)]) -> DataError {
    let (root, problem) =
        no_videos.first().cloned().unwrap_or_else(|| (PathBuf::from("-"), "the list is empty".into()));
    DataError::Unusable { root, problem, hint: "name videos, pictures, or folders that have some in them".into() }
}

/// As in training: where that was on faces, they are cut out of each video that is not a face crop already. A video
/// without a face then gets no score.
fn decide_faces(scorer: &Scorer, manifest: &mut Manifest, stop: &AtomicBool) -> Result<()> {
    let data = &scorer.config.data;
    if data.faces.mode == FaceMode::Off {
        return Ok(());
    }
    let detector = load_detector()?;
    let bar = Bar::new("faces", manifest.videos.len() as u64, 100);
    for video in 0..manifest.videos.len() {
        if stop.load(Ordering::Relaxed) {
            return Err(Interrupted(None).into());
        }
        let cut_out = data.faces.mode == FaceMode::Crop
            || faces_seen(&manifest.footage(video), &data.faces, &scorer.clip_spec(), &detector)? != FacesSeen::Crops;
        let set = manifest.videos[video].set;
        manifest.sets[set].crop_faces = cut_out;
        bar.advance(1, String::new);
    }
    Ok(())
}

/// Makes predictions of scores.
struct Judge<'a> {
    args: &'a PredictArgs,
    scorer: &'a Scorer,
    manifest: &'a Manifest,
    clips: &'a Clips,
}

impl Judge<'_> {
    fn scored(&self, score: &VideoScore) -> Prediction {
        let is_fake = score.score >= self.args.threshold;
        let calibrated = self.scorer.temperature.map(|temperature| calibrated(score.score, temperature));
        let of_fake = calibrated.unwrap_or(score.score);
        let duration_secs = self.duration_secs(score);
        let clips = score.clip_scores.len();
        let segment = |(clip, score): (usize, &f64)| {
            let at = |clip: usize| duration_secs.map(|secs| secs * clip as f64 / clips as f64);
            Segment { from_secs: at(clip), to_secs: at(clip + 1), score: *score }
        };
        Prediction {
            path: self.path(score.video),
            score: Some(score.score),
            verdict: if is_fake { Verdict::Fake } else { Verdict::Real },
            calibrated,
            confidence: Some(if is_fake { of_fake } else { 1.0 - of_fake }),
            clips,
            faces: self.clips.faces.frames_with_face(score.video),
            segments: score.clip_scores.iter().enumerate().map(segment).collect(),
            explanation: None,
            error: None,
        }
    }

    /// Explains the clip that speaks most for the verdict, and says where that can be seen.
    fn explain(&self, folder: &Path, score: &VideoScore, prediction: &mut Prediction) -> Result<()> {
        let of_verdict = |clip: &usize| match prediction.verdict {
            Verdict::Fake => score.clip_scores[*clip],
            _ => -score.clip_scores[*clip],
        };
        let clips = 0..score.clip_scores.len();
        let clip = clips.max_by(|a, b| of_verdict(a).total_cmp(&of_verdict(b))).unwrap_or(0);
        let frames = self.clips.source.pictures(score.video).map_err(anyhow::Error::msg)?;
        let length = self.scorer.clip_spec().frames;
        let frames = frames.into_iter().skip(clip * length).take(length).collect();
        let explanation = explain::explain_clip(&self.scorer.detector, frames, prediction.verdict == Verdict::Fake)?;
        let path = Path::new(&prediction.path);
        let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let segment = &prediction.segments[clip];
        let secs = segment.from_secs.zip(segment.to_secs).map(|(from, to)| from..to);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        // Numbered: videos of one name may come from several folders.
        let name = format!("{:03}-{stem}", score.video + 1);
        let sheet = explanation.contact_sheet(&title, secs);
        prediction.explanation = Some(super::explain::write(&explanation, &sheet, folder, &name)?);
        Ok(())
    }

    /// Clips divide the video's time evenly but where frames follow each other.
    fn duration_secs(&self, score: &VideoScore) -> Option<f64> {
        let PredictArgs { json, csv, explain, .. } = self.args;
        let is_shown = *json || csv.is_some() || explain.is_some();
        if !is_shown || self.scorer.config.data.sampling == Sampling::Consecutive {
            return None;
        }
        video::probe(&self.manifest.footage(score.video), &self.scorer.clip_spec()).ok()?.duration_secs
    }

    fn without_score(&self, video: usize, reason: &str) -> Prediction {
        Prediction { faces: self.clips.faces.frames_with_face(video), ..unknown(Path::new(&self.path(video)), reason) }
    }

    fn path(&self, video: usize) -> String {
        self.manifest.footage(video).path.display().to_string()
    }
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
        segments: Vec::new(),
        explanation: None,
        error: Some(reason.to_owned()),
    }
}

/// A row of `--csv`.
#[derive(Serialize)]
struct Row<'a> {
    path: &'a str,
    verdict: Verdict,
    score: Option<f64>,
    calibrated: Option<f64>,
    faces: Option<usize>,
    /// Counted from 1; empty where there is none.
    clip: Option<usize>,
    from_secs: Option<f64>,
    to_secs: Option<f64>,
    clip_score: Option<f64>,
    error: Option<&'a str>,
}

/// A row a clip, and one for each video without a score.
fn rows(prediction: &Prediction) -> Vec<Row<'_>> {
    let Prediction { path, score, verdict, calibrated, faces, segments, error, .. } = prediction;
    let row = |clip: Option<usize>, segment: Option<&Segment>| Row {
        path,
        verdict: *verdict,
        score: *score,
        calibrated: *calibrated,
        faces: *faces,
        clip,
        from_secs: segment.and_then(|segment| segment.from_secs),
        to_secs: segment.and_then(|segment| segment.to_secs),
        clip_score: segment.map(|segment| segment.score),
        error: error.as_deref(),
    };
    match segments.is_empty() {
        true => vec![row(None, None)],
        false => (1..).zip(segments).map(|(clip, segment)| row(Some(clip), Some(segment))).collect(),
    }
}

fn print_table(predictions: &[Prediction], args: &PredictArgs) -> Result<()> {
    let mut out = io::stdout();
    let (scored, unknown): (Vec<_>, Vec<_>) = predictions.iter().partition(|prediction| prediction.error.is_none());
    if !scored.is_empty() {
        let mut header = vec!["video", "verdict", "score", "confidence", "faces"];
        header.extend((args.scoring.clips > 1).then_some("score of each clip"));
        let row = |prediction: &&Prediction| {
            let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
            let mut cells = vec![
                prediction.path.clone(),
                if prediction.verdict == Verdict::Fake { "fake" } else { "real" }.to_owned(),
                number(prediction.score),
                prediction.confidence.map_or("-".into(), |share| format!("{:.0}%", 100.0 * share)),
                prediction.faces.map_or("-".into(), |faces| faces.to_string()),
            ];
            let clips: Vec<_> = prediction.segments.iter().map(|segment| format!("{:.2}", segment.score)).collect();
            cells.extend((args.scoring.clips > 1).then(|| clips.join(" ")));
            cells
        };
        writeln!(out, "{}", plain_table(header.into_iter().map(str::to_owned).collect(), scored.iter().map(row)))?;
        if args.scoring.clips > 1 {
            writeln!(out, "{} clips a video; its score is the {}", args.scoring.clips, args.scoring.pool)?;
        }
    }
    for prediction in unknown {
        writeln!(out, "no score: {}: {}", prediction.path, prediction.error.as_deref().unwrap_or_default())?;
    }
    Ok(())
}
