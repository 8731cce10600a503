//! What `dfdetect suggest` says to a person, in 80 columns. Computes no advice and reads no memory.

use std::fmt::Write as _;

use anyhow::Result;
use comfy_table::Table;
use serde_json::Value;

use super::args::SuggestArgs;
use crate::cli::text::{align_right, bar, size};
use crate::config::Config;
use crate::memory::{Advice, DeviceSource, Suggestion};
use crate::report::{bordered_table, plural};
use crate::run::MeasuredBatchSize;

const WIDTH: usize = 80;
/// More settings than these do not help to choose.
const RANKED_ROWS: usize = 5;

pub(super) fn render(
    args: &SuggestArgs,
    config: &Config,
    advice: &Advice,
    measured: Option<&MeasuredBatchSize>,
) -> Result<String> {
    let mut text = String::new();
    let device = &advice.device;
    let whose = match device.source {
        DeviceSource::Detected => "free on this machine's GPU",
        DeviceSource::Given => "as given",
        DeviceSource::Cpu => "free on this machine",
    };
    let (memory, usable) = (size(device.memory_bytes), size(advice.usable_bytes));
    writeln!(text, "{}: {memory} {whose}, {usable} usable with 10% kept in reserve", device.name)?;
    let [height, width] = config.data.frame_size;
    let (batch_size, frames) = (advice.sized.training.batch_size, plural(config.data.training_frames(), "frame"));
    let backbone = plain(&serde_json::to_value(config.model.backbone)?);
    let format = advice.format.name();
    let clips = plural(batch_size.clips(), "clip");
    writeln!(text, "one step: {backbone} on {clips} of {frames} of {height}x{width}, {format}")?;
    writeln!(text, "{}", estimate_table(advice))?;
    writeln!(text, "{}", verdict(advice))?;
    if !advice.suggestions.is_empty() {
        writeln!(text, "\nchanges, the cheapest for quality first:")?;
        advice.suggestions.iter().for_each(|change| text += &change_lines(change));
    }
    for note in &advice.notes {
        text += &wrapped(&format!("note: {note}"), "      ");
    }
    if advice.ranked.len() > 1 {
        writeln!(text, "\nthe same learning (batch x accumulation) that fits, the fastest first:")?;
        writeln!(text, "{}", ranked_table(advice))?;
    }
    if let Some(measured) = measured {
        text += &measured_lines(measured, advice);
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
    let mut table = bordered_table();
    table.set_header(["predicted", "size", "of the usable memory"]);
    for (name, bytes) in [
        ("weights", parts.weights),
        ("gradients", parts.gradients),
        ("optimizer moments", parts.optimizer),
        ("activations", parts.activations),
        ("workspace", parts.workspace),
        ("device context", parts.context),
        ("fragmentation", parts.other),
        ("peak in training", peak_bytes),
        ("peak in evaluation", advice.evaluation.peak_bytes),
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
    let step = match usable.checked_sub(peak) {
        Some(_) if advice.validation_bytes > usable => {
            let excess = size(advice.validation_bytes - usable);
            format!("the step fits;\nvalidation, which takes all frames of a clip, does not: {excess} too much")
        }
        Some(left) => format!("the step fits: {} stay free", size(left)),
        None => format!("the step does not fit: {} too much", size(peak - usable)),
    };
    let besides = if host.fits { "it fits" } else { "too much together" };
    let [free, loader, checkpoint] = [host.free_bytes, host.loader_bytes, host.checkpoint_bytes].map(size);
    format!("{step}\nhost, {free} free: loader {loader}, copy for a checkpoint {checkpoint},\n  {cache}: {besides}")
}

/// `key: now -> better, saves so much`, and why.
fn change_lines(change: &Suggestion) -> String {
    let saves = match change.saves_bytes {
        0 => String::new(),
        bytes if bytes < 0 => format!(", takes {} more", size(bytes.unsigned_abs())),
        bytes => format!(", saves {}", size(bytes.unsigned_abs())),
    };
    let (now, better) = (plain(&change.current), plain(&change.proposed));
    format!("  {}: {now} -> {better}{saves}\n", change.key) + &wrapped(&format!("    {}", change.reason), "    ")
}

fn ranked_table(advice: &Advice) -> Table {
    let mut table = bordered_table();
    let header = ["batch", "clip", "format", "peak", "expected speed"];
    table.set_header(header);
    for ranked in advice.ranked.iter().take(RANKED_ROWS) {
        let (training, data) = (&ranked.config.training, &ranked.config.data);
        let [height, width] = data.frame_size;
        let recomputes = ranked.config.model.activation_checkpointing;
        table.add_row([
            format!("{} x {}", training.batch_size, training.gradient_accumulation),
            format!("{} of {height}x{width}", data.training_frames()),
            format!("{}{}", ranked.format.name(), if recomputes { ", checkpointing" } else { "" }),
            size(ranked.peak_bytes),
            format!("{:.0}%", ranked.speed * 100.0),
        ]);
    }
    align_right(&mut table, 3..5);
    table
}

fn measured_lines(measured: &MeasuredBatchSize, advice: &Advice) -> String {
    let mut text = String::from("\nmeasured by real steps on this machine:\n");
    for tried in &measured.tried {
        let peak = tried.peak_bytes.map_or_else(|| "out of memory".to_owned(), |bytes| format!("peak {}", size(bytes)));
        let verdict = if tried.holds { "fits" } else { "does not fit" };
        text += &format!("  {:3} clips, {} steps: {peak}, {verdict}\n", tried.batch_size, tried.steps);
    }
    let Some(peak_bytes) = measured.peak_bytes else {
        return text + "  none of them holds\n";
    };
    let predicted_bytes = advice.recommended_estimate.peak_bytes;
    let off = (predicted_bytes as f64 / peak_bytes as f64 - 1.0) * 100.0;
    let (predicted, peak) = (size(predicted_bytes), size(peak_bytes));
    text += &measured.clips_per_sec.map_or_else(String::new, |speed| format!("  {speed:.2} clips a second\n"));
    text += &format!("  training: predicted {predicted}, measured {peak} ({off:+.0}%)");
    if let Some(bytes) = measured.evaluation_peak_bytes {
        let predicted = size(advice.recommended_evaluation.peak_bytes);
        text += &format!("\n  evaluation: predicted {predicted}, measured {}", size(bytes));
    }
    text + "\n"
}

/// Ready to paste: the user's own overrides, then the recommended ones.
fn command_line(args: &SuggestArgs, advice: &Advice) -> String {
    let mut parts = vec![format!("dfdetect train --config {}", quoted(&args.config.display().to_string()))];
    let changed = |set: &&String| set.split('=').next().is_some_and(|key| advice.recommended.contains_key(key.trim()));
    let kept = args.set.iter().filter(|set| !changed(set)).cloned();
    let recommended = advice.recommended.iter().map(|(key, value)| format!("{key}={}", plain(value)));
    parts.extend(kept.chain(recommended).map(|set| format!("--set {}", quoted(&set))));
    let line = parts.join(" ");
    if line.chars().count() <= WIDTH { line } else { parts.join(" \\\n  ") }
}

/// A value as YAML on a command line.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// In quotes if a shell would interpret it.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,%@".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Lines of at most [`WIDTH`], all but the first after `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let start = text.len() - text.trim_start().len();
    let (mut lines, mut line) = (String::new(), text[..start].to_owned());
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &format!("{line}\n");
            line = indent.to_owned();
            is_empty = true;
        }
        line += if is_empty { "" } else { " " };
        line += word;
        is_empty = false;
    }
    lines + &line + "\n"
}
