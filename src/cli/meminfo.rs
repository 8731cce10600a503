//! `dfdetect meminfo`.

use anyhow::Result;
use clap::Args;

/// Arguments of `dfdetect meminfo`.
#[derive(Debug, Args)]
pub struct MeminfoArgs {}

pub(super) fn run(_args: &MeminfoArgs) -> Result<()> {
    Ok(())
}
