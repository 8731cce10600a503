//! Limits on this process for trial steps: a cap on its memory, and the first place as victim of the kernel's
//! out-of-memory killer. With them a trial finds out what fits without taking memory from other processes. The
//! caller decides the limits; memory is read in `process.rs`.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::process::process_data_bytes;

/// Makes allocations fail once this process has taken `bytes` more than it has now (`RLIMIT_DATA`). The limit cannot be
/// raised again.
///
/// The limit counts memory that the process may write to (heap, stacks, anonymous maps), but neither libraries nor
/// address space that is only reserved.
///
/// # Errors
/// The memory of this process cannot be read, or the system refuses the limit.
pub fn limit_growth(bytes: u64) -> io::Result<()> {
    let taken_bytes = process_data_bytes().ok_or(io::ErrorKind::Unsupported)?;
    let most = Some(taken_bytes.saturating_add(bytes));
    setrlimit(Resource::Data, Rlimit { current: most, maximum: most })?;
    Ok(())
}

/// Makes this process the first that the kernel kills when the machine runs out of memory (`oom_score_adj`).
pub fn be_first_oom_victim() {
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}
