//! `dfdetect import`: weights of a published detector as the folder of a run. Prints what can be done with it; the
//! folder comes from `run/import.rs`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::run::{ImportedDetector, Publisher, import};

const EXAMPLES: &str = "Examples:
  dfdetect import --from gend model.safetensors --output detectors/gend
  dfdetect import --from deepfakebench xception_best.pth --output detectors/xception";

/// Arguments of `dfdetect import`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// Who published it
    #[arg(long, value_name = "WHO")]
    from: Publisher,
    /// The file of weights
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder to make
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

pub(super) fn run(args: &ImportArgs) -> Result<()> {
    let ImportedDetector { detector, config, weights } = import(args.from, &args.file, &args.output)?;
    let (folder, [height, width]) = (args.output.display(), config.data.frame_size);
    let faces = &config.data.faces;
    let aligned = if faces.align { ", aligned" } else { "" };
    let mut out = io::stdout();
    writeln!(out, "detector   {detector} ({})", config.model.backbone.name())?;
    writeln!(out, "weights    {weights}")?;
    writeln!(out, "faces      {height} x {width}, margin {}{aligned}", faces.margin)?;
    writeln!(out, "folder     {folder}")?;
    writeln!(out)?;
    writeln!(out, "Next: dfdetect predict --run {folder} VIDEOS")?;
    writeln!(out, "      dfdetect train --config {folder}/config.yaml --data DATA")?;
    Ok(())
}
