//! `dfdetect config`: prints the resolved configuration or the JSON schema, or converts a file of the older system.
//! Keys, defaults and limits are in `config`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::arguments::{check_target, load_config_or_defaults};
use super::commented_yaml::{commented_yaml, write_file};
use crate::config::{self, Config, Loaded};

const EXAMPLES: &str = "Examples:
  dfdetect config show --config configs/memory_optimized.yaml --set training.batch_size=4
  dfdetect config convert older/memory_opt.yaml memory_opt.yaml
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
    /// Write a file of the older system anew with the keys of today; its comments say what became of the old ones
    Convert {
        /// The file as it is
        #[arg(value_name = "OLD.yaml")]
        old: PathBuf,
        /// The file to write
        #[arg(value_name = "NEW.yaml")]
        new: PathBuf,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
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
        ConfigCommand::Convert { old, new, force } => convert(old, new, *force)?,
        ConfigCommand::Schema => {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&schemars::schema_for!(Config))?)?;
        }
    }
    Ok(())
}

fn convert(old: &Path, new: &Path, force: bool) -> Result<()> {
    check_target(new, force)?;
    let Loaded { config, warnings } = config::load(old, &[])?;
    let mut header = vec![
        format!("Made from {} by `dfdetect config convert`. What is not here has its default.", old.display()),
        String::new(),
    ];
    header.extend(warnings.iter().cloned());
    // A comment ends with its line.
    let header: Vec<_> = header.iter().map(|line| line.replace(['\n', '\r'], " ").trim_end().to_owned()).collect();
    write_file(new, &commented_yaml(&config, &[], &header)?)?;
    let changed = warnings.len();
    writeln!(io::stdout(), "{}: written; {changed} lines at its top say what became of old keys", new.display())?;
    Ok(())
}
