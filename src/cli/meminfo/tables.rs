//! Renders a report of `meminfo` as text: tables, then status lines. Takes no readings.

use comfy_table::Table;

use super::report::Report;
use super::rows::{Row, busy_name, rows};
use super::trails::Trails;
use crate::cli::text::{align_right, bar, size};
use crate::memory::{GpuMemory, ProcessUse, Snapshot};
use crate::report::bordered_table;

/// Renders the whole report, with the history of each value if `trails` is given.
pub(super) fn render(report: &Report, trails: Option<&Trails>) -> String {
    let memory = &report.memory;
    let mut text = format!("{}\n", memory_table(memory, trails));
    if !memory.gpus.is_empty() {
        text += &format!("{}\n", gpu_table(&memory.gpus, trails));
    }
    if let Some(processes) = &report.processes {
        text += &format!("{}\n", process_table(processes));
    }
    if let Some(run) = &report.run {
        text += &format!("{run}\n");
    }
    if let Some(note) = &memory.gpu_note {
        let what = if memory.gpus.is_empty() { "no NVIDIA GPU: " } else { "" };
        text += &format!("{what}{note}\n");
    }
    for reason in &report.unusable_gpus {
        text += &format!("{reason}\n");
    }
    let cuda = match (report.torch.cuda_available, report.torch.expandable_segments) {
        (true, true) => "uses CUDA, with expandable segments",
        (true, false) => "uses CUDA, without expandable segments",
        (false, _) => "without CUDA",
    };
    text += &format!("libtorch {} {cuda}\n", report.torch.version);
    for headroom in &report.headroom {
        text += &format!("{headroom}\n");
    }
    text + &free_line(memory) + "\n"
}

fn memory_table(memory: &Snapshot, trails: Option<&Trails>) -> Table {
    let mut table = bordered_table();
    table.set_header(["memory", "used", "of", "free", if trails.is_some() { "how it goes" } else { "" }]);
    for Row { name, used, total, free } in rows(memory) {
        let picture = match trails {
            Some(trails) => format!("{} {:3.0}%", trails.line(&name), used as f64 / total.max(1) as f64 * 100.0),
            None => bar(used, total),
        };
        table.add_row([name, size(used), size(total), size(free), picture]);
    }
    let process = &memory.process;
    let maps = process.maps.map_or(String::new(), |maps| format!(", {maps} maps"));
    let peak = format!("peak {}{maps}", known(process.peak_rss_bytes));
    table.add_row(["this process", &known(process.rss_bytes), "", "", &peak]);
    align_right(&mut table, 1..4);
    table
}

fn gpu_table(gpus: &[GpuMemory], trails: Option<&Trails>) -> Table {
    let mut table = bordered_table();
    table.set_header(["GPU", "name", "busy", "temperature", "power", "processes"]);
    for gpu in gpus {
        let with_unit =
            |value: Option<u32>, unit: &str| value.map_or_else(|| "?".into(), |value| format!("{value} {unit}"));
        let processes = gpu.processes.iter().map(|process| {
            let name = process.name.as_deref().unwrap_or("?");
            format!("{} {name} {}", process.pid, known(process.used_bytes))
        });
        let processes = processes.collect::<Vec<_>>().join("\n");
        let mut busy = with_unit(gpu.utilization_percent, "%");
        if let Some(trails) = trails {
            busy = format!("{} {busy}", trails.line(&busy_name(gpu.index)));
        }
        let power = match (gpu.power_w, gpu.power_limit_w) {
            (Some(now), Some(limit)) => format!("{now:.0} of {limit:.0} W"),
            (Some(now), None) => format!("{now:.0} W"),
            (None, _) => "?".into(),
        };
        let temperature = with_unit(gpu.temperature_c, "°C");
        table.add_row([gpu.index.to_string(), gpu.name.clone(), busy, temperature, power, processes]);
    }
    align_right(&mut table, 2..5);
    table
}

fn process_table(processes: &[ProcessUse]) -> Table {
    let mut table = bordered_table();
    table.set_header(["process", "program", "resident", "on GPUs"]);
    for process in processes {
        let gpus = process.gpus.iter().map(|(index, held)| format!("{index}: {}", known(*held)));
        let gpus = gpus.collect::<Vec<_>>().join(", ");
        table.add_row([process.pid.to_string(), process.name.clone(), known(process.rss_bytes), gpus]);
    }
    align_right(&mut table, 2..3);
    table
}

/// The last line: the memory that is free for a run now.
fn free_line(memory: &Snapshot) -> String {
    let mut parts = vec![format!("{} on the host", size(memory.host_free_bytes()))];
    parts.extend(memory.gpus.iter().map(|gpu| format!("{} on GPU {}", size(gpu.memory_free_bytes), gpu.index)));
    format!("free to train in: {}", parts.join(", "))
}

fn known(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".into(), size)
}
