//! `dfdetect evaluate`: a trained detector measured on the videos of a run's split or on other folders, or the scores of
//! another program. Only parses arguments and prints; scores and metrics come from `run/evaluation.rs` and
//! `run/given_scores.rs`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::stop::stop_flag;
use super::trained_args::{ScoringArgs, TrainedArgs};
use crate::config::ColumnNames;
use crate::dataset::Split;
use crate::metrics::AucComparison;
use crate::progress;
use crate::report::{all_sets_table, dataset_report_tables};
use crate::run::{ComparedEvaluation, EvaluationOptions, EvaluationVideos, GivenScores, ScoreFormat, TrainedDetector};

const EXAMPLES: &str = "Examples:
  dfdetect evaluate --run runs/quick_demo-20260101-120000
  dfdetect evaluate --checkpoint runs/quick_demo-20260101-120000/checkpoints/best --data /data/a /data/b --output results
  dfdetect evaluate --scores theirs.csv --compare ours.csv";

/// Options of detectors, which a file of scores does not have.
const OF_DETECTORS: [&str; 7] = ["run", "checkpoint", "split", "clips", "all_faces", "batch_size", "device"];

/// Arguments of `dfdetect evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("run", |run| run.required_unless_present_any(["checkpoint", "scores"])))]
pub struct EvaluateArgs {
    #[command(flatten)]
    trained: TrainedArgs,
    /// A CSV path,score[,label][,group][,method] with the scores of any program, instead of a detector. Labels are taken
    /// from --data where it is given; a video may have several rows
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_DETECTORS)]
    scores: Option<PathBuf>,
    /// The scores of --scores are logits, not probabilities
    #[arg(long, requires = "scores")]
    logits: bool,
    /// Other folders with real/ and fake/ in them, or of another known layout: all of their videos are scored.
    /// Without it, a run's own
    #[arg(long, value_name = "DIR", num_args = 1.., required_unless_present_any = ["run", "scores"])]
    data: Vec<PathBuf>,
    /// What the columns of a CSV in --data or --scores are called, such as path=filename,label=truth; also split, group,
    /// method and score
    #[arg(long, value_name = "NAMES", value_parser = column_flag)]
    columns: Option<ColumnFlag>,
    /// Which side of the run's split; `test` has the run's other test data sets with it
    #[arg(long, value_name = "SPLIT", default_value = "test", conflicts_with = "data")]
    split: SplitName,
    /// Another checkpoint's folder, to be scored on the same videos, or another file like --scores: is the difference in
    /// AUC more than chance?
    #[arg(long, value_name = "PATH")]
    compare: Option<PathBuf>,
    /// Write evaluation.json, predictions.csv (a row a clip) and pictures of the worst mistakes to this folder
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    scoring: ScoringArgs,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitName {
    Train,
    Val,
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Val => Self::Val,
            SplitName::Test => Self::Test,
        }
    }
}

/// The value of `--columns`.
#[derive(Debug, Clone, Default)]
struct ColumnFlag {
    names: ColumnNames,
    score: Option<String>,
}

/// The columns that `path=filename,label=truth` names; the others are called as usual.
fn column_flag(text: &str) -> Result<ColumnFlag, String> {
    let ColumnFlag { names: mut columns, mut score } = ColumnFlag::default();
    for part in text.split(',') {
        let (column, name) = part.split_once('=').unwrap_or((part, ""));
        if name.trim().is_empty() {
            return Err(format!("expected COLUMN=NAME such as path=filename, found `{part}`"));
        }
        let place = match column.trim() {
            "path" => &mut columns.path,
            "label" => &mut columns.label,
            "split" => &mut columns.split,
            "group" => &mut columns.group,
            "method" => &mut columns.method,
            "score" => score.get_or_insert_default(),
            other => return Err(format!("there is no column `{other}`: path, label, split, group, method or score")),
        };
        name.trim().clone_into(place);
    }
    Ok(ColumnFlag { names: columns, score })
}

pub(super) fn run(args: &EvaluateArgs) -> Result<()> {
    let options = EvaluationOptions { compare: args.compare.clone(), output: args.output.clone() };
    if let Some(file) = &args.scores {
        let ColumnFlag { names, score } = args.columns.clone().unwrap_or_default();
        let (columns, pooling) = (names, args.scoring.pool);
        let format = ScoreFormat { columns, score_column: score, are_logits: args.logits, pooling };
        let report = GivenScores::read(file, &format)?.evaluate(&args.data, &options)?;
        return if args.json { print_json(&report) } else { print_tables(&report, 1) };
    }
    let detector = TrainedDetector::load(args.trained.open()?, &args.scoring.options(None))?;
    progress::set_level(detector.config.logging.level);
    let stop = stop_flag()?;
    let videos = if args.data.is_empty() {
        let run = args.trained.run.as_deref().unwrap_or(Path::new("."));
        EvaluationVideos::of_run(run, args.split.into())?
    } else {
        let columns = args.columns.as_ref().map(|columns| &columns.names);
        EvaluationVideos::of_folders(&detector, &args.data, columns, &stop)?
    };
    let report = detector.evaluate(&videos, &options, &stop)?;
    if args.json { print_json(&report) } else { print_tables(&report, detector.config.data.clips_per_video) }
}

fn print_json(report: &ComparedEvaluation) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(report)?)?;
    Ok(())
}

fn print_tables(report: &ComparedEvaluation, clips: usize) -> Result<()> {
    let mut out = io::stdout();
    for set in &report.report.sets {
        writeln!(out, "{}", dataset_report_tables(set))?;
    }
    if let Some(all) = &report.report.all_sets {
        writeln!(out, "{}", all_sets_table(all, report.report.test_set().is_some()))?;
    }
    if clips > 1 {
        writeln!(out, "{clips} clips a video; its score is the {}", report.pooling)?;
    }
    let Some(compared) = &report.comparison else { return Ok(()) };
    for (set, comparison) in report.report.sets.iter().zip(&compared.sets) {
        match comparison {
            Some(AucComparison { auc, other_auc, difference, difference_ci95: [low, high], p_value }) => writeln!(
                out,
                "{}: video AUC {auc:.3} against {other_auc:.3} of {}: {difference:+.3} ({low:+.3} to {high:+.3}), \
                 p = {p_value:.4} (DeLong)",
                set.name, compared.checkpoint
            )?,
            None => writeln!(out, "{}: nothing to compare: a class is missing, or has too few people", set.name)?,
        }
    }
    Ok(())
}
