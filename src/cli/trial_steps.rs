//! `dfdetect trial-steps`: the hidden subcommand with which this program tries in another process whether a step fits.

use std::io::{self, Write};

use anyhow::Result;

use crate::run::run_trial;

/// A trial on stdin, its result on stdout, both as JSON.
pub(super) fn run() -> Result<()> {
    let result = run_trial(io::stdin().lock())?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&result)?)?;
    Ok(())
}
