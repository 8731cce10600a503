//! `dfdetect trial-steps`: the hidden subcommand that this program starts in another process to try whether a step fits
//! in memory. Only passes JSON in and out; the steps run in `run/trial_steps.rs`.

use std::io::{self, Write};

use anyhow::Result;

use crate::run::run_trial;

/// A trial on stdin, its result on stdout, both as JSON.
pub(super) fn run() -> Result<()> {
    let result = run_trial(io::stdin().lock())?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&result)?)?;
    Ok(())
}
