//! `dfdetect predict`: the verdicts of a trained detector on videos without labels. Expands patterns and lists of
//! paths, and prints the results or writes them as CSV; scores and verdicts come from `run/prediction.rs`.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::stop::stop_flag;
use super::trained_args::{ScoringArgs, TrainedArgs};
use crate::evaluate::Pooling;
use crate::progress;
use crate::report::plain_table;
use crate::run::{
    FaceVerdict, Prediction, PredictionOptions, PredictionVideos, Segment, TrainedDetector, Verdict, write_csv,
};

const EXAMPLES: &str = "Examples:
  dfdetect predict --run runs/quick_demo-20260101-120000 clip.mp4 folder/
  find /data -name '*.mp4' | dfdetect predict --checkpoint best --clips 4 --json -";

/// Arguments of `dfdetect predict`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PredictArgs {
    /// Videos, pictures, folders of them, or patterns such as 'clips/*.mp4'; `-` reads a list from stdin, one path per
    /// line
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    trained: TrainedArgs,
    #[command(flatten)]
    scoring: ScoringArgs,
    /// Call a video fake from this score up, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.5, value_parser = probability)]
    threshold: f64,
    /// Whether faces are cut out: auto (as in training), crop or off
    #[arg(long, value_name = "MODE")]
    faces: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write pictures and videos that show where the network looked to this folder
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// Also write one row per clip to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

pub(super) fn run(args: &PredictArgs) -> Result<()> {
    let stop = stop_flag()?;
    let videos = PredictionVideos::find(&expanded(&args.paths)?)?;
    let detector = TrainedDetector::load(args.trained.open()?, &args.scoring.options(args.faces.as_deref()))?;
    progress::set_level(detector.config.logging.level);
    let options = PredictionOptions {
        threshold: args.threshold,
        segment_times: args.json || args.csv.is_some(),
        explain: args.explain.clone(),
    };
    let predictions = detector.predict(videos, &options, &stop)?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&predictions)?)?;
    } else {
        print_table(&predictions, detector.config.data.clips_per_video, args.scoring.pool)?;
    }
    match &args.csv {
        Some(path) => Ok(write_csv(path, predictions.iter().flat_map(rows))?),
        None => Ok(()),
    }
}

/// The named paths, with patterns and the list on stdin replaced by what they name.
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
            // An invalid pattern, or one without a match, is kept as a path that does not exist.
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
    /// Which face it shows, counted from 1, and its box on the first frame with it, in pixels of the video.
    face: Option<usize>,
    left: Option<f32>,
    top: Option<f32>,
    right: Option<f32>,
    bottom: Option<f32>,
    from_secs: Option<f64>,
    to_secs: Option<f64>,
    clip_score: Option<f64>,
    error: Option<&'a str>,
}

/// One row for each clip, and one for each video without a score.
fn rows(prediction: &Prediction) -> Vec<Row<'_>> {
    let Prediction { path, score, verdict, calibrated, faces, each_face, segments, error, .. } = prediction;
    let face = |segment: Option<&Segment>| {
        let face = segment?.face?;
        each_face.iter().find(|verdict| verdict.face == face)
    };
    let corner = |segment: Option<&Segment>, corner: usize| Some(face(segment)?.corners[corner]);
    let row = |clip: Option<usize>, segment: Option<&Segment>| Row {
        path,
        verdict: *verdict,
        score: *score,
        calibrated: *calibrated,
        faces: *faces,
        clip,
        face: segment.and_then(|segment| segment.face),
        left: corner(segment, 0),
        top: corner(segment, 1),
        right: corner(segment, 2),
        bottom: corner(segment, 3),
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

/// The score of each face, and where it is first seen.
fn faces_in_words(prediction: &Prediction) -> String {
    let words = |face: &FaceVerdict| {
        let [left, top, right, bottom] = face.corners.map(|corner| corner.round());
        format!("{:.2} ({}x{} at {left},{top})", face.score, right - left, bottom - top)
    };
    prediction.each_face.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn print_table(predictions: &[Prediction], clips: usize, pooling: Pooling) -> Result<()> {
    let mut out = io::stdout();
    let (scored, unknown): (Vec<_>, Vec<_>) = predictions.iter().partition(|prediction| prediction.error.is_none());
    if !scored.is_empty() {
        let mut header = vec!["video", "verdict", "score", "confidence", "faces"];
        let several_faces = scored.iter().any(|prediction| prediction.each_face.len() > 1);
        header.extend(several_faces.then_some("score of each face"));
        header.extend((clips > 1).then_some("score of each clip"));
        let row = |prediction: &&Prediction| {
            let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
            let mut cells = vec![
                prediction.path.clone(),
                if prediction.verdict == Verdict::Fake { "fake" } else { "real" }.to_owned(),
                number(prediction.score),
                prediction.confidence.map_or("-".into(), |share| format!("{:.0}%", 100.0 * share)),
                prediction.faces.map_or("-".into(), |faces| faces.to_string()),
            ];
            cells.extend(several_faces.then(|| faces_in_words(prediction)));
            let scores: Vec<_> = prediction.segments.iter().map(|segment| format!("{:.2}", segment.score)).collect();
            cells.extend((clips > 1).then(|| scores.join(" ")));
            cells
        };
        writeln!(out, "{}", plain_table(header.into_iter().map(str::to_owned).collect(), scored.iter().map(row)))?;
        if clips > 1 {
            writeln!(out, "{clips} clips a video; its score is the {pooling}")?;
        }
    }
    for prediction in unknown {
        writeln!(out, "no score: {}: {}", prediction.path, prediction.error.as_deref().unwrap_or_default())?;
    }
    Ok(())
}
