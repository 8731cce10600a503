//! Writes pages to files. Makes no HTML; that is `run_page.rs` and `compare.rs`.

use std::path::Path;

use super::error::PageError;
use super::run::Run;
use super::run_page::run_page;
use crate::config::Config;
use crate::files;
use crate::report::folder::RunFolder;
use crate::report::log_reader::Log;

/// Writes the page of a run, which may be in progress, into its folder.
///
/// # Errors
/// See [`PageError`].
pub fn write_page(folder: &RunFolder, config: &Config) -> Result<(), PageError> {
    write_page_to(&folder.page(), &run_page(&Run::read(folder, config.clone())?))
}

/// Writes a page atomically.
///
/// # Errors
/// [`PageError::Write`].
pub fn write_page_to(path: &Path, page: &str) -> Result<(), PageError> {
    files::write_whole(path, page.as_bytes()).map_err(|error| PageError::Write { path: path.to_owned(), error })
}

/// Rewrites the page of a run in progress. A failure is logged once, and does not end training.
#[derive(Debug, Default)]
pub struct LivePage {
    /// What was read of the run's log, which is most of the work of a page.
    log: Log,
    has_failed: bool,
}

impl LivePage {
    /// Rewrites the page.
    pub fn refresh(&mut self, folder: &RunFolder, config: &Config) {
        if let Err(error) = self.write(folder, config)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!("{error}");
        }
    }

    /// After a failure to read, the log is read anew the next time.
    fn write(&mut self, folder: &RunFolder, config: &Config) -> Result<(), PageError> {
        let run = Run::read_on(folder, config.clone(), std::mem::take(&mut self.log))?;
        let page = run_page(&run);
        self.log = run.log;
        write_page_to(&folder.page(), &page)
    }
}
