//! How an error reads on the terminal, and the exit code that it ends the program with. Prints nothing and does not
//! exit; that is `main.rs`.

use std::io::{self, ErrorKind};

use super::export::Exists;
use crate::config::ConfigError;
use crate::dataset::DataError;
use crate::demo::DemoError;
use crate::run::{RunError, error_text};
use crate::train::CheckpointError;

/// An error as the user reads it: the causes in one line, below it what to do.
#[must_use]
pub fn message(error: &anyhow::Error) -> String {
    error_text(error.as_ref())
}

/// Whether the reader of stdout closed the pipe (`| head`), which is no failure.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|io| io.kind() == ErrorKind::BrokenPipe)
}

/// The exit code that an error ends the program with.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.is::<ConfigError>()
        || error.is::<Exists>()
        || error.downcast_ref().is_some_and(RunError::is_usage)
        || error.downcast_ref().is_some_and(DataError::is_usage)
        || error.downcast_ref().is_some_and(CheckpointError::is_usage)
        || error.downcast_ref().is_some_and(DemoError::is_usage);
    if error.downcast_ref().is_some_and(RunError::is_interrupted) {
        130
    } else if usage {
        2
    } else {
        1
    }
}
