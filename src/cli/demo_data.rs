//! `dfdetect demo-data`.

use anyhow::Result;
use clap::Args;

/// Arguments of `dfdetect demo-data`.
#[derive(Debug, Args)]
pub struct DemoDataArgs {}

pub(super) fn run(_args: &DemoDataArgs) -> Result<()> {
    Ok(())
}
