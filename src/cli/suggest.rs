//! `dfdetect suggest`: whether a configuration fits the memory that is there, and which one would.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use super::meminfo::{align_right, bar, size};
use crate::config::{self, Config, ConfigError, DeviceChoice};
use crate::memory::{Advice, DeviceFacts, DeviceSource, HostFacts, Snapshot, advise};
use crate::torch;
use crate::torch::Format;

/// Arguments of `dfdetect suggest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SuggestArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Change one key of it; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Judge for a GPU with this much memory, such as 12GiB
    #[arg(long, value_name = "SIZE", conflicts_with = "gpu", value_parser = gpu_memory)]
    gpu_memory: Option<ByteSize>,
    /// Judge for a GPU by its name, such as rtx4070
    #[arg(long, value_name = "NAME")]
    gpu: Option<String>,
    /// Write one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  dfdetect suggest --config configs/default.yaml                for this machine
  dfdetect suggest --config configs/default.yaml --gpu rtx4070  for one elsewhere";

/// Memory that the makers state, in GiB; what a driver shows is up to 6% less, which the reserve covers.
const GPUS: &[(&str, u64)] = &[
    ("rtx2060", 6),
    ("rtx2080ti", 11),
    ("rtx3050", 8),
    ("rtx3060", 12),
    ("rtx3060ti", 8),
    ("rtx3070", 8),
    ("rtx3080", 10),
    ("rtx3090", 24),
    ("rtx4050-laptop", 6),
    ("rtx4060", 8),
    ("rtx4060-laptop", 8),
    ("rtx4060ti", 8),
    ("rtx4070", 12),
    ("rtx4070-laptop", 8),
    ("rtx4070ti", 12),
    ("rtx4080", 16),
    ("rtx4090", 24),
    ("rtx5070", 12),
    ("rtx5080", 16),
    ("rtx5090", 32),
    ("p100", 16),
    ("t4", 16),
    ("v100", 16),
    ("v100-32gb", 32),
    ("a10", 24),
    ("a40", 48),
    ("a100-40gb", 40),
    ("a100-80gb", 80),
    ("l4", 24),
    ("l40s", 48),
    ("h100", 80),
    ("h200", 141),
];

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    advice: &'a Advice,
    /// Real steps are not run yet.
    measured: (),
}

pub(super) fn run(args: &SuggestArgs) -> Result<()> {
    let loaded = config::load(&args.config, &args.set)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let given = given_device(args)?;
    let memory = Snapshot::take();
    let device = match given {
        Some(device) => device,
        None => detected_device(&loaded.config, &memory, torch::cuda_available())?,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let advice = advise(&loaded.config, &device, HostFacts { free_bytes: memory.host_free_bytes(), cores });
    let text = if args.json {
        serde_json::to_string_pretty(&Report { advice: &advice, measured: () })? + "\n"
    } else {
        render(args, &loaded.config, &advice)?
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn gpu_memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| "write a size such as 12GiB".to_owned())?;
    let sane = ByteSize::mib(256)..=ByteSize::tib(16);
    if sane.contains(&size) { Ok(size) } else { Err("allowed is 256MiB to 16TiB".into()) }
}

/// The device that the command line names, if it does.
fn given_device(args: &SuggestArgs) -> Result<Option<DeviceFacts>, ConfigError> {
    if let Some(memory) = args.gpu_memory {
        let name = format!("a GPU with {}", memory.display().iec());
        return Ok(Some(DeviceFacts { name, memory_bytes: memory.as_u64(), source: DeviceSource::Given }));
    }
    let Some(asked) = &args.gpu else { return Ok(None) };
    let plain = |name: &str| {
        let letters: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        ["nvidia", "geforce", "tesla"].iter().fold(letters, |name, word| name.replace(word, ""))
    };
    match GPUS.iter().find(|(name, _)| plain(name) == plain(asked)) {
        Some((name, gib)) => {
            Ok(Some(DeviceFacts { name: (*name).into(), memory_bytes: gib << 30, source: DeviceSource::Given }))
        }
        None => Err(ConfigError {
            place: format!("--gpu {asked}"),
            key: String::new(),
            problem: format!(
                "this GPU is not known; known are {}",
                GPUS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
            ),
            hint: Some("give its memory instead, for instance --gpu-memory 12GiB".into()),
        }),
    }
}

/// The device that a run with this configuration would take on this machine.
fn detected_device(config: &Config, memory: &Snapshot, cuda_available: bool) -> Result<DeviceFacts, ConfigError> {
    let cpu = || DeviceFacts { name: "CPU".into(), memory_bytes: memory.host_free_bytes(), source: DeviceSource::Cpu };
    let cuda_index = match config.gpu.device {
        DeviceChoice::Cpu => return Ok(cpu()),
        DeviceChoice::Auto if !cuda_available => return Ok(cpu()),
        DeviceChoice::Auto => 0,
        DeviceChoice::Cuda(index) => index,
    };
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let index = driver_index(cuda_index, visible.as_deref());
    match memory.gpus.iter().find(|gpu| gpu.index as usize == index) {
        Some(gpu) => Ok(DeviceFacts {
            name: gpu.name.clone(),
            memory_bytes: gpu.memory_free_bytes,
            source: DeviceSource::Detected,
        }),
        None => Err(ConfigError {
            place: "this machine".into(),
            key: "gpu.device".into(),
            problem: format!("found {}, but the driver shows no such GPU", config.gpu.device),
            hint: Some("for another machine give --gpu NAME or --gpu-memory SIZE".into()),
        }),
    }
}

/// CUDA counts only the devices that `CUDA_VISIBLE_DEVICES` lists; the driver counts them all.
fn driver_index(cuda_index: usize, visible: Option<&str>) -> usize {
    let listed = visible.and_then(|list| list.split(',').nth(cuda_index)?.trim().parse().ok());
    listed.unwrap_or(cuda_index)
}

fn render(args: &SuggestArgs, config: &Config, advice: &Advice) -> Result<String> {
    let mut text = String::new();
    let device = &advice.device;
    let whose = match device.source {
        DeviceSource::Detected => "free on this machine's GPU",
        DeviceSource::Given => "as given",
        DeviceSource::Cpu => "free on this machine",
    };
    let (memory, usable) = (size(device.memory_bytes), size(advice.usable_bytes));
    writeln!(text, "{}: {memory} {whose}, {usable} usable with 10% kept in reserve", device.name)?;
    let format = match advice.format {
        Format::F32 => "float32",
        Format::Fp16 => "fp16 autocast",
        Format::Bf16 => "bf16 autocast",
    };
    let [height, width] = config.data.frame_size;
    let (batch_size, frames) = (config.training.batch_size, config.data.max_frames);
    let backbone = serde_json::to_value(config.model.backbone)?;
    writeln!(
        text,
        "one step: {} on {batch_size} clips of {frames} frames of {height}x{width}, {format}",
        plain(&backbone)
    )?;
    writeln!(text, "{}", estimate_table(advice))?;
    writeln!(text, "{}", verdict(advice))?;
    if !advice.suggestions.is_empty() {
        writeln!(text, "{}", suggestion_table(advice))?;
    }
    for note in &advice.notes {
        writeln!(text, "note: {note}")?;
    }
    if advice.recommended_fits {
        let peak = size(advice.recommended_estimate.peak_bytes);
        writeln!(text, "\nwith a predicted peak of {peak}:\n{}", command_line(args, advice))?;
    }
    Ok(text)
}

fn estimate_table(advice: &Advice) -> Table {
    let parts = &advice.estimate.breakdown;
    let peak_bytes = advice.estimate.peak_bytes;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(["predicted", "size", "of the usable memory"]);
    for (name, bytes) in [
        ("weights", parts.weights),
        ("gradients", parts.gradients),
        ("optimizer moments", parts.optimizer),
        ("activations", parts.activations),
        ("workspace", parts.workspace),
        ("device context", parts.context),
        ("fragmentation", parts.other),
        ("peak", peak_bytes),
    ] {
        table.add_row([name.into(), size(bytes), bar(bytes, advice.usable_bytes)]);
    }
    align_right(&mut table, 1..2);
    table
}

fn verdict(advice: &Advice) -> String {
    let (peak, usable, host) = (advice.estimate.peak_bytes, advice.usable_bytes, &advice.host);
    let cache = match host.cache_bytes {
        0 => "no frame cache".to_owned(),
        bytes => format!("frame cache up to {}", size(bytes)),
    };
    let loader = format!("loader {}, {cache}", size(host.loader_bytes));
    let step = match usable.checked_sub(peak) {
        Some(left) => format!("the step fits: {} stay free", size(left)),
        None => format!("the step does not fit: {} too much", size(peak - usable)),
    };
    let besides = if host.fits { "it fits" } else { "too much together" };
    format!("{step}\nhost memory: {loader} of {} free: {besides}", size(host.free_bytes))
}

fn suggestion_table(advice: &Advice) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(110);
    }
    table.set_header(["key", "now", "better", "saves", "why"]);
    for change in &advice.suggestions {
        let saves = match change.saves_bytes {
            0 => String::new(),
            bytes if bytes < 0 => format!("-{}", size(bytes.unsigned_abs())),
            bytes => size(bytes.unsigned_abs()),
        };
        let (now, better) = (plain(&change.current), plain(&change.proposed));
        table.add_row([change.key.clone(), now, better, saves, change.reason.clone()]);
    }
    align_right(&mut table, 3..4);
    table
}

/// Ready to paste: the user's own overrides, then the recommended ones.
fn command_line(args: &SuggestArgs, advice: &Advice) -> String {
    let mut line = format!("dfdetect train --config {}", quoted(&args.config.display().to_string()));
    let changed = |set: &&String| set.split('=').next().is_some_and(|key| advice.recommended.contains_key(key.trim()));
    let kept = args.set.iter().filter(|set| !changed(set)).cloned();
    let recommended = advice.recommended.iter().map(|(key, value)| format!("{key}={}", plain(value)));
    for set in kept.chain(recommended) {
        line += &format!(" --set {}", quoted(&set));
    }
    line
}

/// A value as YAML on a command line.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// In quotes where a shell would read more into it.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,%@".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
