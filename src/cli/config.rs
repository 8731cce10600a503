//! `dfdetect config`.

use anyhow::Result;
use clap::Args;

/// Arguments of `dfdetect config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {}

pub(super) fn run(_args: &ConfigArgs) -> Result<()> {
    Ok(())
}
