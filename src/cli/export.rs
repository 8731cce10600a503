//! `dfdetect export`: a trained detector as a file for other programs.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use bytesize::ByteSize;
use clap::Args;
use tch::Device;

use super::cannot_write;
use super::scoring::Trained;
use crate::export::{self, Facts, Format, OUTPUTS};
use crate::files;
use crate::model::Detector;
use crate::progress;
use crate::torch;

const EXAMPLES: &str = "Examples:
  dfdetect export --run runs/quick_demo-20260101-120000 --format onnx
  dfdetect export --checkpoint runs/quick_demo-20260101-120000/checkpoints/last --format torchscript --output last.pt";

/// Arguments of `dfdetect export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    #[command(flatten)]
    trained: Trained,
    /// What kind of file
    #[arg(short, long, value_name = "FORMAT")]
    format: Format,
    /// The file to write [default: detector.safetensors, detector.pt or detector.onnx in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// What is there may be dear to somebody: a checkpoint's weights, for one.
#[derive(Debug, thiserror::Error)]
#[error("{}: this is there already\n  hint: name another file with --output, or replace it with --force", .0.display())]
pub(super) struct Exists(PathBuf);

pub(super) fn run(args: &ExportArgs) -> Result<()> {
    let default = || format!("detector.{}", args.format.extension()).into();
    let output = args.output.clone().unwrap_or_else(default);
    if !args.force && output.exists() {
        return Err(Exists(output).into());
    }
    let (folder, checkpoint) = args.trained.open()?;
    progress::set_level(checkpoint.config.logging.level);
    tracing::info!("checkpoint: {}", folder.display());
    let model = &checkpoint.config.model;
    let detector =
        Detector::new(model, Device::Cpu, torch::Format::F32, false).context("the network cannot be built")?;
    checkpoint.load_eval_model(detector.parameters())?;
    let state = checkpoint.state().inspect_err(|error| tracing::warn!("the file has no temperature: {error}")).ok();
    let temperature = state.as_ref().and_then(|state| state.temperature());
    let facts = Facts::of(&checkpoint.config, temperature, state.and_then(|state| state.shows_faces));
    let file = export::file(&detector, &facts, args.format)?;
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent).with_context(|| cannot_write(parent))?;
    }
    files::write_whole(&output, &file).with_context(|| cannot_write(&output))?;

    let mut out = io::stdout();
    writeln!(out, "{} ({})", output.display(), ByteSize(file.len() as u64))?;
    writeln!(out, "input: {}", facts.input(args.format))?;
    if args.format.computes() {
        writeln!(out, "outputs: {OUTPUTS}; positive means fake")?;
    }
    let temperature = facts.temperature.map_or(String::new(), |temperature| format!(", temperature {temperature:.3}"));
    writeln!(out, "probability of fake: {}{temperature}", facts.probability)?;
    Ok(())
}
