//! `dfdetect suggest`: whether a configuration fits the memory that is there, and which one would.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use super::commented::commented_yaml;
use super::device::{allowed_bytes, detected_device, host_facts};
use super::gpus;
use super::measure::{Bench, Measured};
use super::suggest_text::render;
use crate::config::{self, Config, ConfigError};
use crate::files;
use crate::memory::{Advice, DeviceFacts, DeviceSource, HostFacts, Snapshot, advise, advise_measured, batch_sizes};
use crate::torch;

/// Arguments of `dfdetect suggest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SuggestArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// Change one key of it; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Judge for a GPU with this much memory, such as 12GiB
    #[arg(long, value_name = "SIZE", conflicts_with = "gpu", value_parser = gpu_memory)]
    gpu_memory: Option<ByteSize>,
    /// Judge for a GPU by its name, such as rtx4070
    #[arg(long, value_name = "NAME")]
    gpu: Option<String>,
    /// Find the largest batch by real steps on this machine, each trial in a process of its own
    #[arg(long, conflicts_with_all = ["gpu", "gpu_memory"])]
    measure: bool,
    /// Write the recommended configuration, with comments, to a new file
    #[arg(long, value_name = "OUT.yaml")]
    write: Option<PathBuf>,
    /// Replace the file of --write where it is there already
    #[arg(long, requires = "write")]
    force: bool,
    /// Write one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  dfdetect suggest --config configs/default.yaml --measure --write mine.yaml
  dfdetect suggest --config configs/default.yaml --gpu rtx4070   # a machine elsewhere";

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    advice: &'a Advice,
    measured: &'a Option<Measured>,
}

pub(super) fn run(args: &SuggestArgs) -> Result<()> {
    let loaded = config::load(&args.config, &args.set)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let config = loaded.config;
    if let Some(out) = &args.write {
        check_target(out, args.force)?;
    }
    let given = given_device(args, &config)?;
    let memory = Snapshot::take();
    let device = match given {
        Some(device) => device,
        None => detected_device(&config, &memory, torch::cuda_available())?,
    };
    let host = host_facts(&memory);
    let mut advice = advise(&config, &device, host);
    let measured = if args.measure { Some(measure(&config, &device, host, &mut advice)?) } else { None };
    let text = if args.json {
        serde_json::to_string_pretty(&Report { advice: &advice, measured: &measured })? + "\n"
    } else {
        render(args, &config, &advice, measured.as_ref())?
    };
    io::stdout().write_all(text.as_bytes())?;
    match &args.write {
        Some(out) => write(args, out, &advice),
        None => Ok(()),
    }
}

/// Real steps of the recommended settings, and advice that follows what they showed.
fn measure(config: &Config, device: &DeviceFacts, host: HostFacts, advice: &mut Advice) -> Result<Measured> {
    let mut sizes = batch_sizes(&advice.best);
    if config.training.batch_size == config::BatchSize::Auto {
        let mut open = advice.best.clone();
        open.training.batch_size = config::BatchSize::Auto;
        sizes = batch_sizes(&open);
    }
    let first = sizes.iter().position(|sized| *sized == advice.best).unwrap_or(0);
    let mut bench = Bench::new(device, host);
    match bench.largest(&sizes, first)? {
        Some(best) if best != advice.best => *advice = advise_measured(config, device, host, best),
        Some(_) => {}
        None => {
            advice.recommended_fits = false;
            advice.recommended.clear();
        }
    }
    Ok(bench.measured)
}

/// Before minutes of trial steps, not after them.
fn check_target(out: &Path, force: bool) -> Result<(), ConfigError> {
    if force || !out.exists() {
        return Ok(());
    }
    Err(ConfigError {
        place: out.display().to_string(),
        key: String::new(),
        problem: "there is such a file already, and nothing was written".into(),
        hint: Some("choose another name, or replace it with --force".into()),
    })
}

fn write(args: &SuggestArgs, out: &Path, advice: &Advice) -> Result<()> {
    if !advice.recommended_fits {
        return Err(ConfigError {
            place: out.display().to_string(),
            key: String::new(),
            problem: "nothing was written, because no settings that fit were found".into(),
            hint: Some("a larger GPU, or free memory; `dfdetect meminfo` shows what takes it".into()),
        }
        .into());
    }
    let peak = super::meminfo::size(advice.recommended_estimate.peak_bytes);
    let header = [
        format!("Made by `dfdetect suggest` from {} for {}:", args.config.display(), advice.device.name),
        format!("predicted peak of a training step {peak}. What is not here has its default."),
    ];
    let text = commented_yaml(&advice.best, &advice.suggestions, &header)?;
    let replaced = if out.exists() { ", in place of what was there" } else { "" };
    files::write_whole(out, text.as_bytes())
        .with_context(|| format!("{}: cannot be written\n  hint: choose another place", out.display()))?;
    tracing::info!("{} is written{replaced}: dfdetect train --config {}", out.display(), out.display());
    Ok(())
}

fn gpu_memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| "write a size such as 12GiB".to_owned())?;
    let sane = ByteSize::mib(256)..=ByteSize::tib(16);
    if sane.contains(&size) { Ok(size) } else { Err("allowed is 256MiB to 16TiB".into()) }
}

/// The device that the command line names, if it does.
fn given_device(args: &SuggestArgs, config: &Config) -> Result<Option<DeviceFacts>, ConfigError> {
    let given = |name: String, bytes| DeviceFacts {
        name,
        memory_bytes: allowed_bytes(config, bytes),
        source: DeviceSource::Given,
    };
    if let Some(memory) = args.gpu_memory {
        let name = format!("a GPU with {}", memory.display().iec());
        return Ok(Some(given(name, memory.as_u64())));
    }
    let Some(asked) = &args.gpu else { return Ok(None) };
    gpus::find(asked).map(|(name, memory_bytes)| Some(given(name.into(), memory_bytes)))
}
