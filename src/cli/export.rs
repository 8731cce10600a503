//! `dfdetect export`: a trained detector as a file for other programs. Writes the bytes and prints how to use them; the
//! bytes come from `run/export.rs`, and the formats are in `export`.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;

use super::trained_args::TrainedArgs;
use crate::export::{Format, OUTPUTS};
use crate::files;
use crate::progress;
use crate::run::{ExportedDetector, cannot_write};

const EXAMPLES: &str = "Examples:
  dfdetect export --run runs/quick_demo-20260101-120000 --format onnx
  dfdetect export --checkpoint runs/quick_demo-20260101-120000/checkpoints/last --format torchscript --output last.pt";

/// Arguments of `dfdetect export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    #[command(flatten)]
    trained: TrainedArgs,
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

/// The output file exists, and may be worth keeping: a checkpoint's weights, for example.
#[derive(Debug, thiserror::Error)]
#[error("{}: this is there already\n  hint: name another file with --output, or replace it with --force", .0.display())]
pub(super) struct Exists(PathBuf);

pub(super) fn run(args: &ExportArgs) -> Result<()> {
    let default = || format!("detector.{}", args.format.extension()).into();
    let output = args.output.clone().unwrap_or_else(default);
    if !args.force && output.exists() {
        return Err(Exists(output).into());
    }
    let stored = args.trained.open()?;
    progress::set_level(stored.checkpoint.config.logging.level);
    tracing::info!("checkpoint: {}", stored.folder.display());
    let ExportedDetector { bytes, facts } = stored.export(args.format)?;
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent).map_err(cannot_write(parent))?;
    }
    files::write_whole(&output, &bytes).map_err(cannot_write(&output))?;

    let mut out = io::stdout();
    writeln!(out, "{} ({})", output.display(), ByteSize(bytes.len() as u64))?;
    writeln!(out, "input: {}", facts.input(args.format))?;
    if args.format.computes() {
        writeln!(out, "outputs: {OUTPUTS}; positive means fake")?;
    }
    let temperature = facts.temperature.map_or(String::new(), |temperature| format!(", temperature {temperature:.3}"));
    writeln!(out, "probability of fake: {}{temperature}", facts.probability)?;
    Ok(())
}
