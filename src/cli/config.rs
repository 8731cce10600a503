//! `dfdetect config`: prints the resolved configuration, or the JSON schema. Keys, defaults and limits are in `config`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::arguments::load_config_or_defaults;
use crate::config::Config;

const EXAMPLES: &str = "Examples:
  dfdetect config show --config configs/memory_optimized.yaml --set training.batch_size=4
  dfdetect config schema > configs/schema.json";

/// Arguments of `dfdetect config`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the resolved configuration as YAML, defaults included
    Show {
        /// Configuration file; without it, the defaults
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Override a key, for instance training.batch_size=4 (repeatable)
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Print the JSON schema, with which editors complete and check YAML files
    Schema,
}

pub(super) fn run(args: &ConfigArgs) -> Result<()> {
    match &args.command {
        ConfigCommand::Show { config: file, set } => {
            let config = load_config_or_defaults(file.as_deref(), set)?;
            write!(io::stdout(), "{}", serde_yaml::to_string(&config)?)?;
        }
        ConfigCommand::Schema => {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&schemars::schema_for!(Config))?)?;
        }
    }
    Ok(())
}
