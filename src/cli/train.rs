//! `dfdetect train`: the arguments, the dry run, and the result as text. Trains nothing itself; that is
//! `run/training.rs`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{load_config, overrides_of, quoted, quoted_list};
use super::stop::stop_flag;
use crate::config::{self, BatchSize, Config};
use crate::dataset::{Label, Split};
use crate::progress;
use crate::report::{Log, RunFolder, loss_line};
use crate::run::{self, BatchSizeCheck, LeaveOneOut, PreparedRun, RunError};
use crate::train::FitEnd;

const EXAMPLES: &str = "Examples:
  dfdetect train --config configs/memory_optimized.yaml --data /data/faces
  dfdetect train --resume runs/memory_optimized-20260101-120000
  dfdetect train --config configs/memory_optimized.yaml --data /data/ffpp --leave-one-out";

/// Arguments of `dfdetect train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TrainArgs {
    /// Configuration file; ready-made ones are in configs/
    #[arg(long, value_name = "FILE", required_unless_present = "resume", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Override a key of the configuration, for instance training.batch_size=4 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Go on with a run from its last checkpoint; without RUN, the latest one
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    /// Folder of the data set, or several (data.root)
    #[arg(long, value_name = "DIR", num_args = 1..)]
    data: Vec<PathBuf>,
    /// Where the run's folder is made (output.directory)
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Times through the training videos (training.epochs)
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Start from all weights of another run (model.init_from)
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    init_from: Option<PathBuf>,
    /// Clips in a batch, or auto (training.batch_size)
    #[arg(long, value_name = "N")]
    batch_size: Option<BatchSize>,
    /// Highest learning rate (training.learning_rate)
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// auto, cpu, cuda or cuda:N (gpu.device)
    #[arg(long, value_name = "D")]
    device: Option<String>,
    /// Train once for each forgery method, which is only tested on in that run, and print one table; goes on with --resume
    #[arg(long, conflicts_with_all = ["resume", "dry_run"])]
    leave_one_out: bool,
    /// Check everything, say what would be done, write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &TrainArgs) -> Result<()> {
    let overrides = overrides_of(
        &args.set,
        &[
            ("data.root", quoted_list(&args.data)),
            ("output.directory", args.output.as_deref().map(quoted)),
            ("model.init_from", args.init_from.as_deref().map(quoted)),
            ("training.epochs", args.epochs.map(|n| n.to_string())),
            ("training.batch_size", args.batch_size.map(|n| n.to_string())),
            ("training.learning_rate", args.lr.map(|x| x.to_string())),
            ("gpu.device", args.device.clone()),
        ],
    );
    if let Some(study) = study(args, &overrides)? {
        return train_rounds(study);
    }
    let mut prepared = match &args.resume {
        Some(run) => resume(run.as_deref(), &overrides)?,
        None => {
            let file = args.config.as_deref().context("--config is missing")?;
            run::prepare(load_config(file, &overrides)?)?
        }
    };
    progress::set_level(prepared.config.logging.level);
    if args.dry_run {
        prepared.choose_batch_size(BatchSizeCheck::Prediction)?;
        return describe(&prepared);
    }
    prepared.choose_batch_size(BatchSizeCheck::TrialSteps)?;
    train(prepared)
}

fn resume(run: Option<&Path>, overrides: &[String]) -> Result<PreparedRun> {
    let folder = match run {
        Some(path) => RunFolder::open(path),
        None => run::latest_run(&config::resolve(&Config::default(), overrides)?.output.directory)?,
    };
    Ok(run::resume(folder, overrides)?)
}

/// The study that is to be begun or gone on with.
fn study(args: &TrainArgs, overrides: &[String]) -> Result<Option<LeaveOneOut>> {
    match (&args.resume, args.leave_one_out) {
        (Some(Some(folder)), _) if LeaveOneOut::is_in(folder) => {
            anyhow::ensure!(!args.dry_run, "--dry-run is of a single run, and {} has several", folder.display());
            Ok(Some(LeaveOneOut::open(folder, overrides)?))
        }
        (_, true) => {
            let file = args.config.as_deref().context("--config is missing")?;
            Ok(Some(LeaveOneOut::begin(load_config(file, overrides)?)?))
        }
        _ => Ok(None),
    }
}

/// Trains the rounds of a study that are not finished, and prints its table.
fn train_rounds(mut study: LeaveOneOut) -> Result<()> {
    let stop = stop_flag()?;
    tracing::info!("{0}: if this ends early, it goes on with: dfdetect train --resume {0}", study.folder().display());
    while let Some(number) = study.next_round() {
        let mut prepared = study.prepare(number)?;
        progress::set_level(prepared.config.logging.level);
        let rounds = study.report.rounds.len();
        tracing::info!("round {} of {rounds}: without {}", number + 1, study.report.rounds[number].method);
        prepared.choose_batch_size(BatchSizeCheck::TrialSteps)?;
        let finished = run::train(prepared, &stop)?;
        if finished.outcome == FitEnd::Interrupted {
            return Err(interrupted(&study.folder().display().to_string()));
        }
        study.finish(number, &finished.folder)?;
    }
    Ok(writeln!(io::stdout(), "{}\nresults: {}", study.report, study.folder().display())?)
}

fn interrupted(run: &str) -> anyhow::Error {
    let hint = format!("a checkpoint is written; go on with: dfdetect train --resume {run}");
    RunError::Interrupted { hint: Some(hint) }.into()
}

fn train(prepared: PreparedRun) -> Result<()> {
    let stop = stop_flag()?;
    let finished = run::train(prepared, &stop)?;
    let report = &finished.report;
    // If the log cannot be read, the page has reported it already.
    let losses = Log::read(&finished.folder.log()).ok().and_then(|log| loss_line(&log));
    let losses = losses.map_or(String::new(), |line| line + "\n");
    let printed = writeln!(io::stdout(), "{losses}{report}");
    if finished.outcome == FitEnd::Interrupted {
        return Err(interrupted(&report.run));
    }
    Ok(printed?)
}

/// Prints what would be done.
fn describe(prepared: &PreparedRun) -> Result<()> {
    let parameters = prepared.check_network()?;
    let mut out = io::stdout();
    let manifest = &prepared.manifest;
    for set in &manifest.sets {
        writeln!(out, "data       {}", set.root.display())?;
    }
    for (name, split) in
        [("train", Split::Train), ("validation", Split::Val), ("test", Split::Test), ("cross-test", Split::CrossTest)]
    {
        if split == Split::CrossTest && prepared.config.data.test_roots.0.is_empty() {
            continue;
        }
        let count = |label| manifest.count(split, label);
        writeln!(out, "{name:10} {} real and {} fake videos", count(Label::Real), count(Label::Fake))?;
    }
    writeln!(out, "device     {}", prepared.placement.reason)?;
    writeln!(out, "network    {parameters} parameters to train")?;
    let plan = prepared.epoch_plan()?;
    let (epochs, steps, clips) = (prepared.config.training.epochs, plan.steps, plan.clips_a_step);
    writeln!(out, "sampler    {}", plan.sampler)?;
    writeln!(out, "training   {epochs} epochs of {steps} steps, {clips} clips each")?;
    writeln!(out, "nothing was written: this was a dry run")?;
    Ok(())
}
