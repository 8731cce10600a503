//! `dfdetect train`.

use anyhow::Result;
use clap::Args;

/// Arguments of `dfdetect train`.
#[derive(Debug, Args)]
pub struct TrainArgs {}

pub(super) fn run(_args: TrainArgs) -> Result<()> {
    Ok(())
}
