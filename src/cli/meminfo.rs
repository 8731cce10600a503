//! `dfdetect meminfo`: what memory there is and what is free to train in.

use std::io::{self, Write};

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::memory::{GpuMemory, Snapshot};
use crate::torch;

/// Arguments of `dfdetect meminfo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MeminfoArgs {
    /// Write one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  dfdetect meminfo                                              tables for people
  dfdetect meminfo --json | jq .gpus[0].memory_free_bytes       one number for a script";

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    memory: &'a Snapshot,
    torch: Torch,
}

#[derive(Serialize)]
struct Torch {
    version: String,
    cuda_available: bool,
}

pub(super) fn run(args: &MeminfoArgs) -> Result<()> {
    let memory = Snapshot::take();
    let torch = Torch { version: torch::version(), cuda_available: torch::cuda_available() };
    let report = Report { memory: &memory, torch };
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { render(&report) };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn render(report: &Report) -> String {
    let memory = report.memory;
    let mut text = format!("{}\n", memory_table(memory));
    if !memory.gpus.is_empty() {
        text += &format!("{}\n", gpu_table(&memory.gpus));
    }
    if let Some(note) = &memory.gpu_note {
        let what = if memory.gpus.is_empty() { "no NVIDIA GPU: " } else { "" };
        text += &format!("{what}{note}\n");
    }
    let cuda = if report.torch.cuda_available { "uses CUDA" } else { "without CUDA" };
    text += &format!("libtorch {} {cuda}\n", report.torch.version);
    text + &free_line(memory) + "\n"
}

fn memory_table(memory: &Snapshot) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(["memory", "used", "of", "free", ""]);
    let mut row = |name: String, used: u64, total: u64, free: u64| {
        table.add_row([name, size(used), size(total), size(free), bar(used, total)]);
    };
    let host = &memory.host;
    row("host".into(), host.used_bytes, host.total_bytes, host.available_bytes);
    if host.swap_total_bytes > 0 {
        let free = host.swap_total_bytes.saturating_sub(host.swap_used_bytes);
        row("swap".into(), host.swap_used_bytes, host.swap_total_bytes, free);
    }
    if let Some(cgroup) = &memory.cgroup {
        row("cgroup limit".into(), cgroup.used_bytes, cgroup.limit_bytes, cgroup.free_bytes);
    }
    for gpu in &memory.gpus {
        row(format!("GPU {}", gpu.index), gpu.memory_used_bytes, gpu.memory_total_bytes, gpu.memory_free_bytes);
    }
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "?".into(), size);
    let process = &memory.process;
    let peak = format!("peak {}", known(process.peak_rss_bytes));
    table.add_row(["this process".into(), known(process.rss_bytes), String::new(), String::new(), peak]);
    align_right(&mut table, 1..4);
    table
}

fn gpu_table(gpus: &[GpuMemory]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(["GPU", "name", "busy", "temperature", "processes"]);
    for gpu in gpus {
        let known =
            |value: Option<u32>, unit: &str| value.map_or_else(|| "?".into(), |value| format!("{value} {unit}"));
        let processes = gpu.processes.iter().map(|process| {
            let name = process.name.as_deref().unwrap_or("?");
            let held = process.used_bytes.map_or_else(|| "?".into(), size);
            format!("{} {name} {held}", process.pid)
        });
        let processes = processes.collect::<Vec<_>>().join("\n");
        let (busy, temperature) = (known(gpu.utilization_percent, "%"), known(gpu.temperature_c, "°C"));
        table.add_row([gpu.index.to_string(), gpu.name.clone(), busy, temperature, processes]);
    }
    align_right(&mut table, 2..4);
    table
}

/// The last line: what a run could take now.
fn free_line(memory: &Snapshot) -> String {
    let mut parts = vec![format!("{} on the host", size(memory.host_free_bytes()))];
    parts.extend(memory.gpus.iter().map(|gpu| format!("{} on GPU {}", size(gpu.memory_free_bytes), gpu.index)));
    format!("free to train in: {}", parts.join(", "))
}

pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A bar of 20 places with the share behind it.
pub(super) fn bar(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) };
    let filled = (share * 20.0).round() as usize;
    format!("{}{} {:3.0}%", "█".repeat(filled), "░".repeat(20 - filled), share * 100.0)
}

pub(super) fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{CgroupMemory, GpuProcess, HostMemory, ProcessMemory};

    const GIB: u64 = 1 << 30;

    fn snapshot() -> Snapshot {
        Snapshot {
            host: HostMemory {
                total_bytes: 32 * GIB,
                available_bytes: 24 * GIB,
                used_bytes: 8 * GIB,
                swap_total_bytes: 0,
                swap_used_bytes: 0,
            },
            cgroup: Some(CgroupMemory { limit_bytes: 16 * GIB, used_bytes: 4 * GIB, free_bytes: 12 * GIB }),
            process: ProcessMemory { rss_bytes: Some(GIB), peak_rss_bytes: None },
            gpus: vec![GpuMemory {
                index: 1,
                name: "NVIDIA GeForce RTX 4070".into(),
                memory_total_bytes: 12 * GIB,
                memory_used_bytes: 3 * GIB,
                memory_free_bytes: 9 * GIB,
                utilization_percent: Some(37),
                temperature_c: None,
                processes: vec![GpuProcess { pid: 4321, used_bytes: Some(3 * GIB), name: Some("python3".into()) }],
            }],
            gpu_note: None,
        }
    }

    fn report(memory: &Snapshot) -> Report<'_> {
        Report { memory, torch: Torch { version: "2.11.0".into(), cuda_available: true } }
    }

    #[test]
    fn tables_show_limits_gpus_and_end_with_what_is_free() {
        let text = render(&report(&snapshot()));
        for part in ["cgroup limit", "12.0 GiB", "RTX 4070", "37 %", "4321 python3 3.0 GiB", "█████░"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("swap") && !text.contains("no NVIDIA GPU"), "{text}");
        assert_eq!(text.lines().last(), Some("free to train in: 12.0 GiB on the host, 9.0 GiB on GPU 1"));
    }

    #[test]
    fn no_gpu_is_said_with_its_reason() {
        let memory = Snapshot { gpus: vec![], gpu_note: Some("the driver is away".into()), ..snapshot() };
        let text = render(&report(&memory));
        assert!(text.contains("no NVIDIA GPU: the driver is away"), "{text}");
        assert_eq!(text.lines().last(), Some("free to train in: 12.0 GiB on the host"));
    }

    #[test]
    fn json_has_the_keys_that_other_programs_rely_on() {
        let json = serde_json::to_value(report(&snapshot())).unwrap();
        assert_eq!(json["host"]["available_bytes"], 24 * GIB);
        assert_eq!(json["cgroup"]["limit_bytes"], 16 * GIB);
        assert_eq!(json["process"]["peak_rss_bytes"], serde_json::Value::Null);
        assert_eq!(json["gpus"][0]["memory_free_bytes"], 9 * GIB);
        assert_eq!(json["gpus"][0]["processes"][0]["pid"], 4321);
        assert_eq!(json["torch"]["cuda_available"], true);
    }

    #[test]
    fn bars_stay_within_their_width() {
        assert_eq!(bar(0, 0), format!("{}   0%", "░".repeat(20)));
        assert_eq!(bar(9, 3), format!("{} 100%", "█".repeat(20)));
    }
}
