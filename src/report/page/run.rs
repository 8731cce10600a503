//! A run as read from the files in its folder. Writes nothing, and knows nothing of HTML.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path};

use serde::de::DeserializeOwned;

use super::error::PageError;
use crate::config::Config;
use crate::dataset::Manifest;
use crate::metrics::Metrics;
use crate::report::evaluation_report::{DatasetReport, EvaluationReport};
use crate::report::folder::RunFolder;
use crate::report::log_reader::Log;
use crate::report::run_report::Report;

/// The files of a run, which may be in progress.
pub struct Run {
    /// Its folder.
    pub folder: RunFolder,
    /// Its settings.
    pub config: Config,
    /// Its outcome; absent while it is in progress, and after it was killed.
    pub report: Option<Report>,
    /// Its videos.
    pub manifest: Option<Manifest>,
    /// The full evaluation on its test sets.
    pub evaluation: Option<EvaluationReport>,
    /// Its `metrics.jsonl`.
    pub log: Log,
}

impl Run {
    /// Reads the files that the folder has.
    ///
    /// # Errors
    /// A file exists and is damaged, or cannot be read.
    pub fn read(folder: &RunFolder, config: Config) -> Result<Self, PageError> {
        Self::read_on(folder, config, Log::default())
    }

    /// As [`Run::read`], where `log` is what was read of the run's log before.
    pub(super) fn read_on(folder: &RunFolder, config: Config, mut log: Log) -> Result<Self, PageError> {
        let path = folder.log();
        log.read_on(&path).map_err(|error| PageError::Read { path, error })?;
        let report: Option<Report> = json(&folder.report())?;
        // A report with fewer steps than the log is outdated: the run was resumed since.
        let report = report.filter(|report| log.last_step() <= report.steps);
        let was_tested = report.as_ref().is_some_and(|report| report.test.is_some() || !report.cross_tests.is_empty());
        Ok(Self {
            manifest: json(&folder.manifest())?,
            evaluation: json(&folder.evaluation())?.filter(|_| was_tested),
            folder: folder.clone(),
            config,
            report,
            log,
        })
    }

    /// Last component of the folder's path.
    #[must_use]
    pub fn name(&self) -> String {
        let path = self.folder.path();
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The metrics of the run's own test videos.
    #[must_use]
    pub fn test(&self) -> Option<&Metrics> {
        self.test_report().map(|set| &set.overall).or_else(|| self.report.as_ref()?.test.as_ref())
    }

    /// The full report on the run's own test videos.
    #[must_use]
    pub fn test_report(&self) -> Option<&DatasetReport> {
        self.evaluation.as_ref()?.test_set()
    }

    /// The bytes of a picture in the run's folder; paths outside the folder are refused.
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
