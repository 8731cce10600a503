//! The command line: arguments in, calls of [`run`](crate::run) and other rooms, text out. Each subcommand has a file
//! or folder. How things are done is not decided here: a subcommand parses, calls and prints.
//!
//! Data goes to stdout, logs and progress to stderr. Exit codes: 0 done, 1 the run failed, 2 wrong usage, configuration
//! or data set, 130 interrupted by the user after a checkpoint was written.

mod arguments;
mod commented_yaml;
mod config;
mod data;
mod demo_data;
mod evaluate;
mod exit;
mod export;
mod extract;
mod import;
mod meminfo;
mod predict;
mod report;
mod stop;
mod suggest;
mod text;
mod train;
mod trained_args;
mod trial_steps;

use anyhow::Result;
use clap::{Args, ColorChoice, Parser, Subcommand};

pub use self::exit::{exit_code, is_closed_pipe, message};
use crate::config::LogLevel;
use crate::{progress, torch};

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
    /// Turn weights of a published detector into one of this program
    Import(import::ImportArgs),
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
        if !matches!(self.command, Command::Config(_) | Command::Report(_)) {
            // Before the first call of libtorch, which would go without CUDA from then on.
            torch::load_cuda();
        }
        match self.command {
            Command::Train(args) => train::run(&args),
            Command::Evaluate(args) => evaluate::run(&args),
            Command::Predict(args) => predict::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Import(args) => import::run(&args),
            Command::Report(args) => report::run(&args),
            Command::Meminfo(args) => meminfo::run(&args),
            Command::Suggest(args) => suggest::run(&args),
            Command::Config(args) => config::run(&args),
            Command::Data(args) => data::run(&args),
            Command::DemoData(args) => demo_data::run(&args),
            Command::TrialSteps => trial_steps::run(),
        }
    }
}
