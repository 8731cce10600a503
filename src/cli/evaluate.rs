//! `dfdetect evaluate`.

use anyhow::Result;
use clap::Args;

/// Arguments of `dfdetect evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {}

pub(super) fn run(_args: EvaluateArgs) -> Result<()> {
    Ok(())
}
