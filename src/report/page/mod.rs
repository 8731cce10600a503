//! `report.html`: a run on one page, for people.
//!
//! Reads the files in the run's folder, some of which are missing in a run that is in progress, was killed, or is old.
//! Writes one self-contained file. Independent of the trainer and of the command line.

mod chart;
mod compare;
mod document;
mod downsample;
mod error;
mod memory;
mod metric_entries;
mod results;
mod run;
mod run_page;
mod settings;
mod summary;
mod training;
mod videos;
mod write;

pub use compare::comparison_page;
pub use error::PageError;
pub use run::Run;
pub use run_page::run_page;
pub use write::{LivePage, write_page, write_page_to};
