//! The section on memory: memory of the run, usage of the machine, and events. Takes no readings; all values come from
//! the log and the report.

use maud::{Markup, html};

use super::chart::{Chart, Mark, Series, Style};
use super::run::Run;
use crate::memory::{Cause, OomEvent, Reading, Reason, Shortage, Usage};
use crate::report::log_reader::{Event, EventKind, Log};
use crate::report::number_format::{bytes, plural};
use crate::report::run_report::MemorySummary;

/// Most events in the table.
const MAX_ROWS: usize = 200;

/// Readings with their steps: periodic ones, and those before and after clean-ups.
fn readings(log: &Log) -> Vec<(f64, Reading)> {
    let mut readings: Vec<_> = log.memory.iter().map(|line| (line.step as f64, line.reading)).collect();
    for event in &log.events {
        if let EventKind::Cleanup(cleanup) = &event.kind {
            readings.extend([cleanup.before, cleanup.after].map(|reading| (event.step as f64, reading)));
        }
    }
    // A stable sort keeps before and after in their order.
    readings.sort_by(|a, b| a.0.total_cmp(&b.0));
    readings
}

/// Steps and bytes.
type Points = Vec<(f64, f64)>;

/// The plots of a run.
pub fn charts(run: &Run) -> Vec<Chart> {
    let (log, readings) = (&run.log, readings(&run.log));
    let at_readings = |pick: fn(&Reading) -> Option<u64>| -> Vec<(f64, f64)> {
        readings.iter().filter_map(|(step, reading)| Some((*step, pick(reading)? as f64))).collect()
    };
    let resident = log.steps.iter().filter_map(|step| Some((step.step as f64, step.rss_bytes? as f64))).collect();
    let cached = log.memory.iter().map(|line| (line.step as f64, line.cache_bytes as f64)).collect();
    let curves: [(&str, u8, Style, Points); 4] = [
        ("process, resident", 1, Style::Line, resident),
        ("clips kept in memory", 3, Style::Dashed, cached),
        ("GPU, tensors", 2, Style::Line, at_readings(|reading| Some(reading.allocator?.allocated_bytes))),
        ("GPU, reserved", 5, Style::Dashed, at_readings(|reading| Some(reading.allocator?.reserved_bytes))),
    ];
    let most = curves.iter().flat_map(|curve| &curve.3).map(|point| point.1).fold(0.0, f64::max);
    let (unit, label) =
        if most >= f64::from(1 << 30) { (f64::from(1 << 30), "GiB") } else { (f64::from(1 << 20), "MiB") };
    let scaled = |(name, colour, style, points): (&str, u8, Style, Points)| {
        Series::new(name, colour, style, points.into_iter().map(|(step, bytes)| (step, bytes / unit)))
    };
    let own = Chart::new("memory", "What the run took", ["step", label], curves.into_iter().map(scaled).collect());

    let keys = &run.config.gpu.memory_management;
    let share = |usage: Option<Usage>| usage.map(|usage| 100.0 * usage.share());
    let host = readings.iter().filter_map(|(step, reading)| Some((*step, share(Some(reading.host))?)));
    let gpu: Vec<_> = readings.iter().filter_map(|(step, reading)| Some((*step, share(reading.gpu)?))).collect();
    let ends = [readings.first(), readings.last()].map(|reading| reading.map_or(0.0, |reading| reading.0));
    let limit =
        |name: &str, threshold: f64| Series::new(name, 0, Style::Reference, ends.map(|step| (step, 100.0 * threshold)));
    let mut full = vec![
        Series::new("host, all processes", 1, Style::Line, host),
        limit("host counts as short", keys.cpu_threshold),
    ];
    if !gpu.is_empty() {
        full.push(Series::new("GPU", 2, Style::Line, gpu));
        full.push(limit("GPU counts as short", keys.gpu_threshold));
    }
    let full = Chart::new("full", "How full the machine was", ["step", "% in use"], full)
        .map(|chart| Chart { y_range: Some([0.0, 100.0]), ..chart });
    let marks = || log.events.iter().filter_map(mark).collect();
    [own, full].into_iter().flatten().map(|chart| chart.marks(marks())).collect()
}

fn mark(event: &Event) -> Option<Mark> {
    let kind = match event.kind {
        EventKind::OutOfMemory(_) => "oom",
        EventKind::Cleanup(_) => "cleanup",
        EventKind::Shrunk(_) | EventKind::Grown(_) => "size",
        EventKind::Resumed(_) => "run",
        EventKind::Skipped(_) | EventKind::TakenBack(_) => return None,
    };
    let (name, about) = describe(event);
    Some(Mark { kind, x: event.step as f64, y: None, label: format!("after step {}: {name}, {about}", event.step) })
}

/// The name of an event, and its details.
fn describe(event: &Event) -> (&'static str, String) {
    match &event.kind {
        EventKind::OutOfMemory(change) => {
            let name = match change.cause {
                Cause::AllocatorRetries => "memory was only just found",
                Cause::MaybeOutOfMemory => "memory may have run out",
                Cause::Waited => "memory ran out, and it waited for other programs",
                _ => "memory ran out",
            };
            (name, sizes(change))
        }
        EventKind::Shrunk(change) => ("made smaller in time", sizes(change)),
        EventKind::Grown(change) if change.cause == Cause::Returned => ("back on the GPU", sizes(change)),
        EventKind::Grown(change) => ("a larger size is tried", sizes(change)),
        EventKind::Cleanup(cleanup) => {
            let why = match cleanup.reason {
                Reason::HostPressure => "host memory was short",
                Reason::GpuPressure => "GPU memory was short",
                Reason::Scheduled => "on schedule",
                Reason::OutOfMemory => "memory had run out",
            };
            let freed = cleanup.freed_bytes.map_or(String::new(), |freed| format!(", {} freed", bytes(freed)));
            let smaller =
                if cleanup.changes.is_empty() { String::new() } else { format!("; {}", cleanup.changes.join(", ")) };
            ("clean-up", format!("{why}{freed} in {:.0} ms{smaller}", cleanup.ms))
        }
        EventKind::Resumed(time) => ("resumed", format!("on {time}")),
        EventKind::Skipped(skip) => ("moved no weight", skip.reason.clone()),
        EventKind::TakenBack(back) => ("taken back", format!("to step {}", back.to_step)),
    }
}

/// Who held the memory of a GPU that ran out, and what helps.
fn advice(event: &Event) -> Option<String> {
    let EventKind::OutOfMemory(change) = &event.kind else { return None };
    change.shortage.as_ref().map(Shortage::advice)
}

fn sizes(change: &OomEvent) -> String {
    let asked = change.requested_bytes.map_or(String::new(), |asked| format!("; {} were asked for", bytes(asked)));
    format!("{}: {} to {}{asked}; {} ms lost", change.phase, change.before, change.after, change.lost_ms)
}

/// Every event of memory running out, and the first [`MAX_ROWS`] of the others.
fn shown(events: &[Event]) -> impl Iterator<Item = &Event> {
    let mut others = 0;
    events.iter().filter(move |event| {
        let ran_out = matches!(event.kind, EventKind::OutOfMemory(_));
        others += usize::from(!ran_out);
        ran_out || others <= MAX_ROWS
    })
}

pub fn section(run: &Run, charts: &[Chart]) -> Markup {
    let events = &run.log.events;
    html! {
        @if charts.is_empty() { p.empty { "Nothing is known of memory yet." } }
        div.plots { @for chart in charts { (chart.figure()) } }
        @if let Some(report) = &run.report { h3 { "In all" } (totals(&report.memory)) }
        @if events.is_empty() { p { "Nothing had to be done about memory, and nothing else happened on the way." } }
        @else {
            h3 { "What happened on the way" }
            div.wide.tall tabindex="0" { table {
                thead { tr { th scope="col" { "after step" } th.text scope="col" { "what" } th.text scope="col" { "more" } } }
                tbody { @for event in shown(events) {
                    @let (name, about) = describe(event);
                    tr {
                        th scope="row" { (event.step) }
                        td.text { (name) }
                        td.text.name { (about) @if let Some(advice) = advice(event) { p.advice { (advice) } } }
                    }
                } }
            } }
            @if shown(events).count() < events.len() {
                p.soft { "Every time that memory ran out, and of the rest the first " (MAX_ROWS) "; all " (events.len()) " are in metrics.jsonl." }
            }
        }
    }
}

fn totals(memory: &MemorySummary) -> Markup {
    let cleanups = format!(
        "{}, {} freed in {:.0} ms",
        plural(memory.cleanups, "clean-up"),
        bytes(memory.cleanup_freed_bytes),
        memory.cleanup_ms
    );
    let chunks =
        memory.chunk_frames_final.map_or(String::new(), |frames| format!(" in chunks of {}", plural(frames, "frame")));
    let times = |count: usize| (count > 0).then(|| plural(count, "time"));
    let facts = [
        ("memory ran out", Some(plural(memory.oom_events, "time"))),
        ("given back", Some(cleanups)),
        ("size at the end", Some(format!("micro-batches of {}{chunks}", memory.micro_batch_final))),
        ("larger sizes tried", Some(plural(memory.times_grown, "time"))),
        ("frames waited for", times(memory.late_passes)),
        ("checkpoints waited for", times(memory.saves_without_copy)),
        ("process, peak", memory.rss_peak_bytes.map(bytes)),
        ("host, peak of all processes", Some(memory.host_used_peak_bytes).filter(|peak| *peak > 0).map(bytes)),
        ("GPU tensors, peak", memory.gpu_peak_bytes.map(bytes)),
        ("GPU reserved, peak", memory.gpu_reserved_peak_bytes.map(bytes)),
    ];
    html! {
        dl.facts { @for (name, value) in facts { @if let Some(value) = value { dt { (name) } dd { (value) } } } }
    }
}
