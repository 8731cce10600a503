//! From the arguments of `dfdetect suggest` to its advice, as text, JSON and a file. Decides no setting: the advice
//! comes from `memory`, and trial steps from `run`. The text is laid out in `text.rs`.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::args::SuggestArgs;
use super::gpu_names;
use super::text::render;
use crate::cli::arguments::{check_target, load_config};
use crate::cli::commented_yaml::{commented_yaml, write_file};
use crate::cli::text::size;
use crate::config::{Config, ConfigError};
use crate::memory::{Advice, DeviceFacts, DeviceSource, Snapshot, advise};
use crate::run::{MeasuredBatchSize, allowed_bytes, detected_device, host_facts, measure_advice, unusable_gpus};
use crate::torch;

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    advice: &'a Advice,
    measured: &'a Option<MeasuredBatchSize>,
}

pub(in crate::cli) fn run(args: &SuggestArgs) -> Result<()> {
    let config = load_config(&args.config, &args.set)?;
    if let Some(out) = &args.write {
        // Before the trial steps, which take minutes.
        check_target(out, args.force)?;
    }
    let given = given_device(args, &config)?;
    let memory = Snapshot::take();
    let device = match given {
        Some(device) => device,
        None => {
            for reason in unusable_gpus(&memory.gpus, memory.driver.as_deref()) {
                tracing::warn!("{reason}");
            }
            detected_device(&config, &memory, &torch::compute_capabilities())?
        }
    };
    let host = host_facts(&memory);
    let mut advice = advise(&config, &device, host);
    let measured = if args.measure { Some(measure_advice(&config, &device, host, &mut advice)?) } else { None };
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
    let peak = size(advice.recommended_estimate.peak_bytes);
    let header = [
        format!("Made by `dfdetect suggest` from {} for {}:", args.config.display(), advice.device.name),
        format!("predicted peak of a training step {peak}. What is not here has its default."),
    ];
    let text = commented_yaml(&advice.best, &advice.suggestions, &header)?;
    let replaced = if out.exists() { ", in place of what was there" } else { "" };
    write_file(out, &text)?;
    tracing::info!("{} is written{replaced}: dfdetect train --config {}", out.display(), out.display());
    Ok(())
}

/// The device that the command line names, if it does.
fn given_device(args: &SuggestArgs, config: &Config) -> Result<Option<DeviceFacts>, ConfigError> {
    let given = |name: String, capability, bytes| DeviceFacts {
        name,
        capability,
        memory_bytes: allowed_bytes(config, bytes),
        source: DeviceSource::Given,
    };
    if let Some(memory) = args.gpu_memory {
        let name = format!("a GPU with {}", memory.display().iec());
        return Ok(Some(given(name, None, memory.as_u64())));
    }
    let Some(asked) = &args.gpu else { return Ok(None) };
    let (name, memory_bytes) = gpu_names::find(asked)?;
    Ok(Some(given(name.into(), gpu_names::capability(name), memory_bytes)))
}
