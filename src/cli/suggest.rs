//! `dfdetect suggest`.

use anyhow::Result;
use clap::Args;

/// Arguments of `dfdetect suggest`.
#[derive(Debug, Args)]
pub struct SuggestArgs {}

pub(super) fn run(_args: &SuggestArgs) -> Result<()> {
    Ok(())
}
