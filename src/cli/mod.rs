//! The command line: definitions shared by all subcommands, and which file runs which.
//!
//! Data goes to stdout, logs and progress to stderr. Exit codes: 0 done, 1 the run failed, 2 wrong usage,
//! configuration or data set, 130 interrupted by the user after a checkpoint was written.

mod assess;
mod carry_out;
mod commented;
pub mod config;
pub mod data;
pub mod demo_data;
mod device;
pub mod evaluate;
mod explain;
pub mod export;
pub mod extract;
mod gpus;
mod measure;
pub mod meminfo;
mod outcome;
mod pipeline;
mod plan;
pub mod predict;
mod preview;
mod relief;
pub mod report;
mod scoring;
pub mod suggest;
mod suggest_text;
pub mod train;
mod trial;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ColorChoice, Parser, Subcommand};
use serde::Serialize;

use crate::config::{ConfigError, LogLevel};
use crate::dataset::DataError;
use crate::demo::DemoError;
use crate::files;
use crate::model::PretrainedError;
use crate::progress;
use crate::train::CheckpointError;

/// Train deepfake detectors from folders of real and fake videos, without running out of memory.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

const EXAMPLES: &str = "Examples:
  dfdetect demo-data --output demo
  dfdetect train --config configs/quick_demo.yaml --data demo";

#[derive(Debug, Args)]
struct Global {
    /// Say more (debug messages)
    #[arg(short, long, global = true, help_heading = "Output")]
    verbose: bool,
    /// Say less (errors only, no progress)
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    quiet: bool,
    /// Colours: NO_COLOR is honoured by auto
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a detector
    Train(train::TrainArgs),
    /// Measure a trained detector on videos
    Evaluate(evaluate::EvaluateArgs),
    /// Say of videos whether they are real or fake
    Predict(predict::PredictArgs),
    /// Write a trained detector as one file for other programs: safetensors, TorchScript or ONNX
    Export(export::ExportArgs),
    /// Line up what came of runs, and draw it on a page
    Report(report::ReportArgs),
    /// Show the memory of this machine, this process and every GPU
    Meminfo(meminfo::MeminfoArgs),
    /// Say which settings fit the memory that is there
    Suggest(suggest::SuggestArgs),
    /// Show the resolved configuration or its JSON schema
    Config(config::ConfigArgs),
    /// Look at a data set
    Data(data::DataArgs),
    /// Make a small data set of real H.264 videos and forgeries of them
    DemoData(demo_data::DemoDataArgs),
    /// Run a few steps and say what they needed; for this program's own use
    #[command(hide = true)]
    TrialSteps,
}

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Whatever the subcommand could not do; [`exit_code`] says with which code to end.
    pub fn run(self) -> Result<()> {
        let level = match (self.global.verbose, self.global.quiet) {
            (true, _) => Some(LogLevel::Debug),
            (_, true) => Some(LogLevel::Error),
            _ => None,
        };
        progress::init(level, self.global.color);
        match self.command {
            Command::Train(args) => train::run(&args),
            Command::Evaluate(args) => evaluate::run(&args),
            Command::Predict(args) => predict::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Report(args) => report::run(&args),
            Command::Meminfo(args) => meminfo::run(&args),
            Command::Suggest(args) => suggest::run(&args),
            Command::Config(args) => config::run(&args),
            Command::Data(args) => data::run(&args),
            Command::DemoData(args) => demo_data::run(&args),
            Command::TrialSteps => trial::run(),
        }
    }
}

/// The user pressed Ctrl-C; whatever had to be saved is saved.
#[derive(Debug, thiserror::Error)]
#[error("interrupted{}", .0.as_deref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default())]
pub struct Interrupted(pub Option<String>);

/// `--set` overrides followed by the direct flags that were given, which win.
fn overrides_of(set: &[String], flags: &[(&str, Option<String>)]) -> Vec<String> {
    let given = flags.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
    set.iter().cloned().chain(given).collect()
}

/// A path as an override's value: in quotes, so that a folder called `2024` stays text.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// Folders as an override's value; `None` where none is named.
fn quoted_list(paths: &[PathBuf]) -> Option<String> {
    let list: Vec<_> = paths.iter().map(|path| quoted(path)).collect();
    (!list.is_empty()).then(|| format!("[{}]", list.join(", ")))
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written\n  hint: free some space, or allow writing there", path.display())
}

/// Writes a table with a row for each of `rows`, whole or not at all.
fn write_csv(path: &Path, rows: impl IntoIterator<Item = impl Serialize>) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row).context("a row cannot be written as CSV")?;
    }
    let bytes = csv.into_inner().map_err(|error| error.into_error())?;
    files::write_whole(path, &bytes).with_context(|| cannot_write(path))
}

/// An error as the user reads it: the causes in one line, below it what to do.
#[must_use]
pub fn message(error: &anyhow::Error) -> String {
    let (mut causes, mut hints): (Vec<String>, String) = (Vec::new(), String::new());
    for text in error.chain().map(ToString::to_string) {
        let (cause, hint) = text.split_at(text.find("\n  hint: ").unwrap_or(text.len()));
        // Errors that show their source in their own words would have it twice.
        if !causes.last().is_some_and(|outer| outer.contains(cause)) {
            causes.push(cause.to_owned());
            hints += hint;
        }
    }
    causes.join(": ") + &hints
}

/// Whether whoever reads stdout has seen enough (`| head`), which is no failure.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|io| io.kind() == ErrorKind::BrokenPipe)
}

/// The exit code that an error ends the program with.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.is::<ConfigError>()
        || error.is::<export::Exists>()
        || error.downcast_ref().is_some_and(DataError::is_usage)
        || error.downcast_ref().is_some_and(CheckpointError::is_usage)
        || error.downcast_ref().is_some_and(PretrainedError::is_usage)
        || error.downcast_ref().is_some_and(DemoError::is_usage);
    if error.is::<Interrupted>() {
        130
    } else if usage {
        2
    } else {
        1
    }
}
