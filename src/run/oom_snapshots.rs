//! `gpu.memory_management.snapshot`: what CUDA's allocator did until memory ran out, in files of the run's folder. They
//! are only written; pytorch.org/memory_viz reads them. Nothing here ends a run.

use tch::Device;

use crate::config::MemoryManagement;
use crate::files;
use crate::report::RunFolder;
use crate::torch;

/// Files of a run, those before a resumption included.
const MOST: usize = 3;
/// Events of the allocator that are kept: some steps, in tens of megabytes of host memory.
const MAX_ENTRIES: usize = 100_000;

/// Starts recording, where that is asked for. After a cap on the device's memory, which comes before its allocator.
pub(super) fn record_allocator(config: &MemoryManagement, device: Device) {
    if !config.snapshot {
        return;
    }
    if !device.is_cuda() {
        tracing::warn!("gpu.memory_management.snapshot: without CUDA there is nothing to record");
    } else if let Err(error) = torch::record_allocator(MAX_ENTRIES) {
        tracing::warn!("gpu.memory_management.snapshot: nothing is recorded: {error}");
    }
}

/// Writes what `snapshot` gives to the next file of the run, unless there are enough.
pub(super) fn save_snapshot(folder: &RunFolder, snapshot: impl FnOnce() -> torch::Result<Vec<u8>>) {
    let path = (1..=MOST).map(|number| folder.oom_snapshot(number)).find(|path| !path.exists());
    let Some(path) = path else { return };
    let pickle = match snapshot() {
        Ok(pickle) => pickle,
        Err(error) => return tracing::warn!("what the allocator did cannot be told: {error}"),
    };
    match files::write_whole(&path, &pickle) {
        Ok(()) => tracing::info!("{}: what the allocator did, for pytorch.org/memory_viz", path.display()),
        Err(error) => tracing::warn!("{}: cannot be written: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_failures_of_a_run_are_kept_also_over_a_resumption() {
        let output = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(output.path());
        for number in 0..5 {
            save_snapshot(&folder, || Ok(vec![number]));
        }
        let written = [1, 2, 3].map(|number| std::fs::read(folder.oom_snapshot(number)).unwrap());
        assert_eq!(written, [[0], [1], [2]]);
        assert_eq!(std::fs::read_dir(output.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_cannot_be_recorded_or_written_ends_nothing() {
        let output = tempfile::tempdir().unwrap();
        save_snapshot(&RunFolder::open(output.path()), || Err(tch::TchError::Torch("no history".into())));
        assert_eq!(std::fs::read_dir(output.path()).unwrap().count(), 0);
        save_snapshot(&RunFolder::open(&output.path().join("gone")), || Ok(vec![1]));
        assert!(!output.path().join("gone").exists());
    }
}
