//! The folder of a run: its name and the files in it. Knows nothing of what the files contain.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The folder of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates `<output>/<name>-<date-time>`, with a number appended where that exists.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn create(output: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(output)?;
        let stem = format!("{name}-{}", chrono::Local::now().format("%Y%m%d-%H%M%S"));
        for number in 1.. {
            let path = if number == 1 { output.join(&stem) } else { output.join(format!("{stem}-{number}")) };
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no free name"))
    }

    /// The folder of an existing run.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The run below `output` with the most recent checkpoint.
    #[must_use]
    pub fn latest(output: &Path) -> Option<Self> {
        Self::newest(output, "checkpoints/last/state.json")
    }

    /// The run below `output` whose log was written to last: the run in progress, if there is one.
    #[must_use]
    pub fn last_heard_of(output: &Path) -> Option<Self> {
        Self::newest(output, "metrics.jsonl")
    }

    fn newest(output: &Path, file: &str) -> Option<Self> {
        let runs = fs::read_dir(output).ok()?.flatten().map(|entry| entry.path());
        let written = |run: &PathBuf| fs::metadata(run.join(file))?.modified();
        let newest = runs.filter_map(|run| written(&run).ok().map(|time| (time, run))).max()?;
        Some(Self { path: newest.1 })
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path.join("config.yaml")
    }

    /// The videos and their split.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.path.join("manifest.json")
    }

    /// The log: one JSON object per line, written during the run.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Folder of TensorBoard's event file.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// One row per epoch.
    #[must_use]
    pub fn csv(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    /// The evaluation on its test sets.
    #[must_use]
    pub fn evaluation(&self) -> PathBuf {
        self.path.join("evaluation.json")
    }

    /// The outcome of the run in one object.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.path.join("report.json")
    }

    /// What CUDA's allocator did until memory ran out for the `number`th time, counted from 1
    /// (`gpu.memory_management.snapshot`).
    #[must_use]
    pub fn oom_snapshot(&self, number: usize) -> PathBuf {
        self.path.join(format!("oom-{number}.pickle"))
    }

    /// The run on one HTML page.
    #[must_use]
    pub fn page(&self) -> PathBuf {
        self.path.join("report.html")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_the_same_second_do_not_share_a_folder() {
        let output = tempfile::tempdir().unwrap();
        let runs: Vec<_> = (0..3).map(|_| RunFolder::create(output.path(), "demo").unwrap()).collect();
        assert!(runs[0] != runs[1] && runs[1] != runs[2] && runs[0] != runs[2]);
    }

    #[test]
    fn the_latest_run_is_the_last_one_with_a_checkpoint() {
        let output = tempfile::tempdir().unwrap();
        assert_eq!(RunFolder::latest(output.path()), None);
        for (name, saved) in [("a", true), ("b", true), ("c", false)] {
            let folder = output.path().join(name).join("checkpoints/last");
            fs::create_dir_all(&folder).unwrap();
            if saved {
                std::thread::sleep(std::time::Duration::from_millis(20));
                fs::write(folder.join("state.json"), "{}").unwrap();
            }
        }
        assert_eq!(RunFolder::latest(output.path()).unwrap().path(), output.path().join("b"));
    }
}
