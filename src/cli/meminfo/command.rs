//! The arguments of `dfdetect meminfo`, and one reading of everything that they ask for. Formats no tables; that is
//! `tables.rs`. Repeated readings are in `watch.rs`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::report::{Report, Torch};
use super::run_memory::RunMemory;
use super::{headroom, tables, watch};
use crate::memory::{Nvml, Snapshot, largest_processes};
use crate::run::unusable_gpus;
use crate::torch;

/// Arguments of `dfdetect meminfo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MeminfoArgs {
    /// Look again every SECS seconds until Ctrl-C, and draw how it goes
    #[arg(long, value_name = "SECS", num_args = 0..=1, default_missing_value = "2", value_parser = interval)]
    watch: Option<Duration>,
    /// List the processes that hold the most memory
    #[arg(long)]
    processes: bool,
    /// Show how a run stands with memory; without RUN, the one below runs/ that was last heard of
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    run: Option<Option<PathBuf>>,
    /// Write JSON instead of tables: one object, with --watch one a line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  dfdetect meminfo --watch --run                                beside a run that is going on
  dfdetect meminfo --json | jq .gpus[0].memory_free_bytes       one number for a script";

/// Processes that `--processes` lists, or more if more are on a GPU.
const MOST_PROCESSES: usize = 10;

pub(in crate::cli) fn run(args: &MeminfoArgs) -> Result<()> {
    let nvml = Nvml::load();
    match args.watch {
        Some(interval) => watch::watch(interval, args.json, || look(args, &nvml)),
        None => {
            let report = look(args, &nvml)?;
            let json = || serde_json::to_string_pretty(&report).map(|json| json + "\n");
            let text = if args.json { json()? } else { tables::render(&report, None) };
            Ok(io::stdout().write_all(text.as_bytes())?)
        }
    }
}

/// One reading of everything that the arguments ask for.
fn look(args: &MeminfoArgs, nvml: &Nvml) -> Result<Report> {
    let memory = Snapshot::take_with(nvml);
    Ok(Report {
        unusable_gpus: unusable_gpus(&memory.gpus, memory.driver.as_deref()),
        torch: Torch {
            version: torch::version(),
            // First, because it sets the allocator up.
            cuda_available: torch::cuda_available(),
            expandable_segments: torch::has_expandable_segments(),
        },
        headroom: headroom::of(&memory),
        processes: args.processes.then(|| largest_processes(&memory.gpus, MOST_PROCESSES)),
        run: args.run.as_ref().map(|run| RunMemory::look(run.as_deref())).transpose()?,
        memory,
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    let secs = text.parse::<f64>().ok().filter(|secs| (0.1..=86_400.0).contains(secs));
    secs.map(Duration::from_secs_f64).ok_or_else(|| "allowed are 0.1 to 86400 seconds".into())
}
