//! A run as its folder tells of it: whatever of its files is there.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;

use super::log::Log;
use crate::config::Config;
use crate::dataset::Manifest;
use crate::report::{Assessment, Assessments, Report, RunFolder};

/// A run, as far as it has come.
pub struct Run {
    /// Where it lies.
    pub folder: RunFolder,
    /// Its settings.
    pub config: Config,
    /// Its end; absent while it goes on, and after it was killed.
    pub report: Option<Report>,
    /// Its videos.
    pub manifest: Option<Manifest>,
    /// What its tests came to, in full.
    pub assessments: Option<Assessments>,
    /// Its `metrics.jsonl`.
    pub log: Log,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A file of the run is there and cannot be read.
    #[error("{}: {error}\n  hint: allow reading it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file of the run is not what it should be.
    #[error("{}: this is not what belongs there: {error}\n  hint: delete it; what it says is then left out", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
    /// The page cannot be written.
    #[error("{}: the page cannot be written: {error}\n  hint: allow writing there, or name another place with --output", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Run {
    /// Reads what the folder has.
    ///
    /// # Errors
    /// A file is there and damaged, or must not be read.
    pub fn read(folder: &RunFolder, config: Config) -> Result<Self, PageError> {
        let path = folder.log();
        let log = Log::read(&path).map_err(|error| PageError::Read { path, error })?;
        let report: Option<Report> = json(&folder.report())?;
        // Of an earlier part, where the run has gone on since.
        let report = report.filter(|report| log.last_step() <= report.steps);
        let was_tested = report.as_ref().is_some_and(|report| report.test.is_some() || !report.cross_tests.is_empty());
        Ok(Self {
            manifest: json(&folder.manifest())?,
            assessments: json(&folder.evaluation())?.filter(|_| was_tested),
            folder: folder.clone(),
            config,
            report,
            log,
        })
    }

    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> String {
        let path = self.folder.path();
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The metrics of the run's own test videos.
    #[must_use]
    pub fn test(&self) -> Option<&crate::metrics::Metrics> {
        self.own_test().map(|set| &set.overall).or_else(|| self.report.as_ref()?.test.as_ref())
    }

    /// All that is said of these.
    #[must_use]
    pub fn own_test(&self) -> Option<&Assessment> {
        self.assessments.as_ref()?.own()
    }

    /// A picture in the run's folder; nothing outside it is shown.
    pub(super) fn picture(&self, path: &Path) -> Option<Vec<u8>> {
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| fs::read(self.folder.path().join(path)).ok()).flatten()
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, PageError> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| PageError::Parse { path: path.to_owned(), error })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PageError::Read { path: path.to_owned(), error }),
    }
}
