//! The arguments of `dfdetect suggest`. Only parses them: `command.rs` reads the configuration, and `gpu_names.rs`
//! knows the GPUs.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;

/// Arguments of `dfdetect suggest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SuggestArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// Change one key of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Assume a GPU with this much memory, such as 12GiB
    #[arg(long, value_name = "SIZE", conflicts_with = "gpu", value_parser = gpu_memory)]
    pub(super) gpu_memory: Option<ByteSize>,
    /// Assume this GPU, such as rtx4070
    #[arg(long, value_name = "NAME")]
    pub(super) gpu: Option<String>,
    /// Find the largest batch by real training steps on this machine, each trial in its own process
    #[arg(long, conflicts_with_all = ["gpu", "gpu_memory"])]
    pub(super) measure: bool,
    /// Write the recommended configuration, with comments, to a new file
    #[arg(long, value_name = "OUT.yaml")]
    pub(super) write: Option<PathBuf>,
    /// Overwrite the file of --write if it exists
    #[arg(long, requires = "write")]
    pub(super) force: bool,
    /// Write one JSON object instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

const EXAMPLES: &str = "Examples:
  dfdetect suggest --config configs/default.yaml --measure --write mine.yaml
  dfdetect suggest --config configs/default.yaml --gpu rtx4070   # for another GPU";

fn gpu_memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| "write a size such as 12GiB".to_owned())?;
    let sane = ByteSize::mib(256)..=ByteSize::tib(16);
    if sane.contains(&size) { Ok(size) } else { Err("allowed is 256MiB to 16TiB".into()) }
}
