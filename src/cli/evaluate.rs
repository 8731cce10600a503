//! `dfdetect evaluate`: a trained detector measured on the videos of a run's split, or on other folders.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::assess::{Scored, assess, write_evaluation};
use super::pipeline::{NamedSet, decide_faces, stop_flag, test_sets};
use super::scoring::{Scorer, ScoringArgs, Trained};
use crate::config::{DataConfig, LayoutChoice, Methods, Roots};
use crate::dataset::{DataError, Label, Manifest, Split, scan_to_measure};
use crate::evaluate::Evaluation;
use crate::metrics::{AucComparison, delong_test};
use crate::progress;
use crate::report::{EvaluationReport, RunFolder, dataset_report_tables};
use crate::train::Checkpoint;

const EXAMPLES: &str = "Examples:
  dfdetect evaluate --run runs/quick_demo-20260101-120000
  dfdetect evaluate --checkpoint runs/quick_demo-20260101-120000/checkpoints/best --data /data/a /data/b --output results";

/// Arguments of `dfdetect evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EvaluateArgs {
    #[command(flatten)]
    trained: Trained,
    /// Other folders with real/ and fake/ in them, or of another known layout: all of their videos are scored.
    /// Without it, a run's own
    #[arg(long, value_name = "DIR", num_args = 1.., required_unless_present = "run")]
    data: Vec<PathBuf>,
    /// Which side of the run's split; `test` has the run's other test data sets with it
    #[arg(long, value_name = "SPLIT", default_value = "test", conflicts_with = "data")]
    split: SplitName,
    /// Another checkpoint's folder, to be scored on the same videos: is the difference in AUC more than chance?
    #[arg(long, value_name = "DIR")]
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

/// What `--json` prints and `evaluation.json` has; keys may be added, not renamed.
#[derive(Serialize)]
struct Output {
    #[serde(flatten)]
    assessments: EvaluationReport,
    /// What makes one score of a video's clips.
    pooling: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Compared>,
}

/// Another detector on the same videos.
#[derive(Serialize)]
struct Compared {
    checkpoint: String,
    /// One a data set; absent where a class is missing.
    sets: Vec<Option<AucComparison>>,
}

pub(super) fn run(args: &EvaluateArgs) -> Result<()> {
    let scorer = Scorer::new(args.trained.open()?, &args.scoring, None)?;
    progress::set_level(scorer.config.logging.level);
    let stop = stop_flag()?;
    let asked = Asked::of(args, &scorer, &stop)?;
    let clips = scorer.clips(&asked.manifest)?;
    let evaluations = scorer.score(&clips, &asked.sets, &stop)?;
    let scored: Vec<Scored> = asked
        .sets
        .iter()
        .zip(&evaluations)
        .map(|(set, evaluation)| Scored { set, manifest: &asked.manifest, evaluation, temperature: scorer.temperature })
        .collect();
    if evaluations.iter().all(|evaluation| evaluation.videos.is_empty()) {
        return Err(none_readable(&asked.manifest, &evaluations).into());
    }
    let comparison = args.compare.as_deref().map(|other| {
        let other = (other.to_owned(), Checkpoint::open(other)?);
        asked.compare(&Scorer::new(other, &args.scoring, None)?, &evaluations, &stop)
    });
    let output = Output {
        assessments: assess(&scorer.folder, &scored, &clips.source, args.output.as_deref())?,
        pooling: args.scoring.pool.to_string(),
        comparison: comparison.transpose()?,
    };
    if let Some(folder) = &args.output {
        write_evaluation(folder, &output)?;
    }
    if args.json { print_json(&output) } else { print_tables(&output, args.scoring.clips) }
}

/// The videos that are to be scored.
struct Asked {
    manifest: Manifest,
    sets: Vec<NamedSet>,
}

impl Asked {
    fn of(args: &EvaluateArgs, scorer: &Scorer, stop: &AtomicBool) -> Result<Self> {
        if args.data.is_empty() {
            return Self::of_run(args);
        }
        let mut manifest = scan_to_measure(&DataConfig {
            root: Roots(args.data.clone()),
            test_roots: Roots::default(),
            layout: LayoutChoice::Auto,
            methods: Methods::All,
            compression: "all".into(),
            max_videos_per_class: None,
            ..scorer.config.data.clone()
        })?;
        decide_faces(&scorer.config, &mut manifest, stop)?;
        let set = |(number, root): (usize, &PathBuf)| {
            let mut set = NamedSet::of(root.display().to_string(), &manifest, |video| video.set == number);
            // Some could not even be listed.
            set.unusable = manifest.skipped.iter().filter(|video| video.set == number).cloned().collect();
            set
        };
        let sets = args.data.iter().enumerate().map(set).collect();
        Ok(Self { manifest, sets })
    }

    fn of_run(args: &EvaluateArgs) -> Result<Self> {
        let run = args.trained.run.as_deref().unwrap_or(Path::new("."));
        let manifest = Manifest::load(&RunFolder::open(run).manifest())?;
        let side = |name: &str, split| NamedSet::of(name.to_owned(), &manifest, |video| video.split == split);
        let mut sets = match args.split {
            SplitName::Train => vec![side("train", Split::Train)],
            SplitName::Val => vec![side("val", Split::Val)],
            SplitName::Test => test_sets(&manifest),
        };
        sets.retain(|set| !set.videos.is_empty());
        if sets.is_empty() {
            let root = manifest.root().to_owned();
            let problem = format!("the run has no videos in its {:?} split", args.split).to_lowercase();
            let hint = "give a folder with --data, or another --split".into();
            return Err(DataError::Unusable { root, problem, hint }.into());
        }
        Ok(Self { manifest, sets })
    }

    /// Scores the same videos with another detector, which takes clips of them in its own way.
    fn compare(&self, other: &Scorer, evaluations: &[Evaluation], stop: &AtomicBool) -> Result<Compared> {
        let mut manifest = self.manifest.clone();
        decide_faces(&other.config, &mut manifest, stop)?;
        let others = other.score(&other.clips(&manifest)?, &self.sets, stop)?;
        let sets = evaluations.iter().zip(&others).map(|(evaluation, other)| compared(evaluation, other)).collect();
        Ok(Compared { checkpoint: other.folder.display().to_string(), sets })
    }
}

/// On the videos that both could score.
fn compared(evaluation: &Evaluation, other: &Evaluation) -> Option<AucComparison> {
    let others: HashMap<usize, f64> = other.videos.iter().map(|score| (score.video, score.score)).collect();
    let (mut scores, mut other_scores, mut is_fake) = (Vec::new(), Vec::new(), Vec::new());
    for score in &evaluation.videos {
        if let Some(other) = others.get(&score.video) {
            scores.push(score.score);
            other_scores.push(*other);
            is_fake.push(score.label == Label::Fake);
        }
    }
    delong_test(&scores, &other_scores, &is_fake)
}

fn none_readable(manifest: &Manifest, evaluations: &[Evaluation]) -> DataError {
    let mut skipped = evaluations.iter().flat_map(|evaluation| &evaluation.skipped);
    let count = skipped.clone().count();
    let first = skipped.next();
    DataError::Unusable {
        root: manifest.root().to_owned(),
        problem: format!(
            "none of {} videos can be read, for instance {}",
            count,
            first.map_or("-".into(), |(video, why)| format!("{}: {why}", manifest.video_name(*video)))
        ),
        hint: "if the data set was moved, name its folder with --data".into(),
    }
}

fn print_json(output: &Output) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(output)?)?;
    Ok(())
}

fn print_tables(output: &Output, clips: u16) -> Result<()> {
    let mut out = io::stdout();
    for set in &output.assessments.sets {
        writeln!(out, "{}", dataset_report_tables(set))?;
    }
    if clips > 1 {
        writeln!(out, "{clips} clips a video; its score is the {}", output.pooling)?;
    }
    let Some(compared) = &output.comparison else { return Ok(()) };
    for (set, comparison) in output.assessments.sets.iter().zip(&compared.sets) {
        match comparison {
            Some(AucComparison { auc, other_auc, difference, difference_ci95: [low, high], p_value }) => writeln!(
                out,
                "{}: video AUC {auc:.3} against {other_auc:.3} of {}: {difference:+.3} ({low:+.3} to {high:+.3}), \
                 p = {p_value:.4} (DeLong)",
                set.name, compared.checkpoint
            )?,
            None => writeln!(out, "{}: nothing to compare: a class has fewer than two videos", set.name)?,
        }
    }
    Ok(())
}
