//! Trial steps in a process of their own: the hidden subcommand that makes them, and the side that asks for them.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::relief::limit_device_memory;
use crate::memory;
use crate::model::Placement;
use crate::train::{Trial, Trialled};

/// The hidden subcommand: a [`Trial`] on stdin, a [`Trialled`] on stdout, both as JSON.
pub(super) fn run() -> Result<()> {
    // Should the machine itself run out of memory, this process is the one that nobody misses.
    memory::die_first();
    let trial: Trial = serde_json::from_reader(io::stdin().lock()).context("no trial on stdin")?;
    let placement = Placement::decide(&trial.config.gpu)?;
    limit_device_memory(&trial.config.gpu, placement.device)?;
    let trialled = trial.run(&placement).map_err(anyhow::Error::msg)?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&trialled)?)?;
    Ok(())
}

/// Makes a trial in a process of its own, so that whatever happens in it harms nothing.
///
/// A process that a signal ended counts as out of memory: the kernel's answer where a machine has nothing left, and
/// oneDNN's where there is no room for the code it generates.
pub(super) fn in_a_child(trial: &Trial) -> Result<Trialled> {
    let program = std::env::current_exe().context("this program cannot be found, to start it for a trial")?;
    let mut child = Command::new(program)
        .args(["--quiet", "trial-steps"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("a process for trial steps cannot be started")?;
    let json = serde_json::to_vec(trial)?;
    // Dropped at once, which closes it. A child that is gone already says so in its status.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&json));
    let output = child.wait_with_output()?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).context("trial steps gave no result that can be read");
    }
    if output.status.code().is_none() {
        return Ok(Trialled::OutOfMemory { message: format!("the process was ended ({})", output.status) });
    }
    bail!("trial steps failed: {}", String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("error: "))
}
