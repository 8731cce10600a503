//! `dfdetect train`: from a folder of videos to a tested detector.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::plan::Plan;
use super::{overrides_of, quoted, quoted_list};
use crate::config::BatchSize;
use crate::progress;

const EXAMPLES: &str = "Examples:
  dfdetect train --config configs/memory_optimized.yaml --data /data/faces
  dfdetect train --resume runs/memory_optimized-20260101-120000";

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
    /// Clips in a batch, or auto (training.batch_size)
    #[arg(long, value_name = "N")]
    batch_size: Option<BatchSize>,
    /// Highest learning rate (training.learning_rate)
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// auto, cpu, cuda or cuda:N (gpu.device)
    #[arg(long, value_name = "D")]
    device: Option<String>,
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
            ("training.epochs", args.epochs.map(|n| n.to_string())),
            ("training.batch_size", args.batch_size.map(|n| n.to_string())),
            ("training.learning_rate", args.lr.map(|x| x.to_string())),
            ("gpu.device", args.device.clone()),
        ],
    );
    let mut plan = match &args.resume {
        Some(run) => Plan::resume(run.as_deref(), &overrides)?,
        None => Plan::fresh(args.config.as_deref().context("--config is missing")?, &overrides)?,
    };
    progress::set_level(plan.config.logging.level);
    plan.settle_batch_size(!args.dry_run)?;
    if args.dry_run { plan.describe() } else { plan.carry_out() }
}
