//! Trial steps in a process of their own: the side that asks for them, and the side that makes them. Which sizes are
//! tried is decided in `batch_size.rs`.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::error::RunError;
use super::gpu_support::decide_placement;
use super::memory_hooks::limit_device_memory;
use crate::memory;
use crate::train::{Trial, TrialOutcome};

/// Time limit for each step of a trial: nobody would train with slower steps.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The pause between two checks whether a trial is over.
const POLL: Duration = Duration::from_millis(20);

/// Makes the [`Trial`] that `input` holds as JSON, in this process, which should do nothing else.
///
/// # Errors
/// `input` holds no trial, its device is not there, or it failed in another way than that memory ran out.
pub fn run_trial(input: impl Read) -> Result<TrialOutcome, RunError> {
    // Should the machine itself run out of memory, this process is the one that nobody misses.
    memory::be_first_oom_victim();
    let trial: Trial = serde_json::from_reader(input).map_err(RunError::format("no trial on stdin"))?;
    let placement = decide_placement(&trial.config.gpu)?;
    limit_device_memory(&trial.config.gpu, placement.device)?;
    trial.run(&placement).map_err(RunError::Trial)
}

/// Makes a trial in a process of its own, so that whatever happens in it harms nothing, and ends it where a step takes
/// longer than [`STEP_LIMIT`]. The process is this program again, with the subcommand `trial-steps`.
///
/// A process that a signal ended counts as out of memory: the kernel's answer where a machine has nothing left, and
/// oneDNN's where there is no room for the code it generates.
pub(super) fn run_in_child(trial: &Trial) -> Result<TrialOutcome, RunError> {
    let program =
        std::env::current_exe().map_err(RunError::io("this program cannot be found, to start it for a trial"))?;
    let mut child = Command::new(program)
        .args(["--quiet", "trial-steps"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(RunError::io("a process for trial steps cannot be started"))?;
    let json = serde_json::to_vec(trial).map_err(RunError::TrialRequest)?;
    // Dropped at once, which closes it. A child that is gone already says so in its status.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&json));
    let limit = STEP_LIMIT * trial.steps.max(1);
    let Some(output) = output_within(child, limit).map_err(RunError::TrialProcess)? else {
        let clips = trial.config.training.batch_size.clips();
        return Err(RunError::TrialTooSlow { steps: trial.steps, clips, minutes: limit.as_secs() / 60 });
    };
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map_err(RunError::format("trial steps gave no result that can be read"));
    }
    if output.status.code().is_none() {
        return Ok(TrialOutcome::OutOfMemory { message: format!("the process was ended ({})", output.status) });
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(RunError::TrialFailed(message.trim().trim_start_matches("error: ").to_owned()))
}

/// The output of a process, which must fit in a pipe (64 KiB); `None` if it took longer than `limit` and was killed.
fn output_within(mut child: Child, limit: Duration) -> io::Result<Option<Output>> {
    let deadline = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
    child.wait_with_output().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn what_takes_too_long_is_ended_and_the_rest_says_what_it_has_to() {
        // An hour, were it not ended.
        let endless = shell("exec sleep 3600");
        let id = endless.id();
        assert!(output_within(endless, Duration::from_millis(50)).unwrap().is_none());
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists(), "it is gone and waited for");
        let output = output_within(shell("sleep 0.1; echo said; exit 3"), STEP_LIMIT).unwrap().unwrap();
        assert_eq!((output.stdout.as_slice(), output.status.code()), (b"said\n".as_slice(), Some(3)));
    }
}
