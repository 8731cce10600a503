//! Caps the memory of this process, so that a trial finds out what fits without taking it from others.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::snapshot::process_data_bytes;

/// From here on, allocations fail once this process has taken `bytes` more than it has now. Not to be undone.
///
/// Counts what the process may write to (heap, stacks, anonymous maps): not libraries, and not address space that is
/// only set aside.
///
/// # Errors
/// The system does not tell what is taken, or refuses the limit.
pub fn limit_growth(bytes: u64) -> io::Result<()> {
    let taken_bytes = process_data_bytes().ok_or(io::ErrorKind::Unsupported)?;
    let most = Some(taken_bytes.saturating_add(bytes));
    setrlimit(Resource::Data, Rlimit { current: most, maximum: most })?;
    Ok(())
}

/// Starts the peak of the resident memory anew, from what is resident now; where the system cannot, it stays.
pub fn forget_process_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Offers this process as the first to be ended where the machine itself runs out of memory.
pub fn die_first() {
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}
