//! The executable: parses the command line, runs it, prints the error and sets the exit code. The commands, the texts
//! of errors and the exit codes are in `cli`.

use std::process::ExitCode;

use clap::Parser;
use dfdetect::cli::{Cli, exit_code, is_closed_pipe, message};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}
