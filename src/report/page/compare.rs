//! The page that compares several runs: curves in common plots, metrics and settings side by side. Reads no files; the
//! page of a single run is `run_page.rs`.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::chart::{Chart, Series, Style};
use super::document::{Section, document};
use super::metric_entries::{MetricEntry, metric_entries};
use super::results::interval_bar;
use super::run::Run;
use super::settings::one_line;
use super::summary::badge;
use crate::config;
use crate::metrics::Metrics;
use crate::report::log_reader::{Epoch, EventKind};
use crate::report::number_format::{UNKNOWN, bytes, interval, number, percent, seconds};

/// Number of the page's colours.
const COLOURS: usize = 6;

/// The page that compares `runs`.
#[must_use]
pub fn comparison_page(runs: &[Run]) -> String {
    let charts = charts(runs);
    let names: Vec<_> = runs.iter().map(Run::name).collect();
    let sections = [
        Section::new("results", "Results", results(runs)),
        Section::new("curves", "Curves", html! { div.plots { @for chart in &charts { (chart.figure()) } } }),
        Section::new("metrics", "Test metrics", metrics(runs, &names)),
        Section::new("settings", "Settings that differ", settings(runs, &names)),
        Section::new("cost", "Time and memory", cost(runs)),
    ];
    let head = html! {
        h1 { (runs.len()) " runs" }
        p.soft { "Written " (chrono::Local::now().format("%Y-%m-%d %H:%M:%S")) }
    };
    document(&format!("{} runs", runs.len()), &head, &sections, &charts)
}

fn charts(runs: &[Run]) -> Vec<Chart> {
    let curve = |id, title, label, pick: fn(&Epoch) -> Option<f64>| {
        let series = runs.iter().enumerate().map(|(place, run)| {
            let style = [Style::Dots, Style::Dashed, Style::Line][place / COLOURS % 3];
            let points = run.log.epochs.iter().filter_map(|epoch| Some((f64::from(epoch.epoch), pick(epoch)?)));
            Series::new(run.name(), (place % COLOURS + 1) as u8, style, points)
        });
        Chart::new(id, title, ["epoch", label], series.collect())
    };
    let charts = [
        curve("auc", "Validation video AUC", "AUC", |epoch| epoch.validation.video_auc),
        curve("val-loss", "Validation loss", "loss", |epoch| epoch.val_loss),
        curve("train-loss", "Training loss", "loss", |epoch| epoch.train_loss),
        curve("speed", "Throughput", "clips a second", |epoch| epoch.clips_per_sec),
    ];
    charts.into_iter().flatten().collect()
}

fn results(runs: &[Run]) -> Markup {
    let hash = |run: &Run| run.log.start.as_ref().map(|start| start.provenance.manifest_hash.clone());
    let same_videos = runs.windows(2).all(|two| hash(&two[0]) == hash(&two[1]));
    html! {
        @if !same_videos { p.error { "These runs did not have the same videos or the same split: their tests differ too." } }
        div.wide tabindex="0" { table {
            thead { tr {
                th scope="col" { "run" } th.text scope="col" { "status" }
                @for name in ["epochs", "best", "val AUC", "test AUC", "95 % interval"] { th scope="col" { (name) } }
                th.text scope="col" { "0 to 1" }
                @for name in ["test EER", "test accuracy", "test log-loss"] { th scope="col" { (name) } }
            } }
            tbody { @for run in runs {
                @let test = run.test().cloned().unwrap_or_default();
                tr {
                    th.name scope="row" { (run.name()) }
                    td.text { (badge(run)) }
                    td { (run.log.epochs.len()) }
                    td { (run.log.best().map_or(UNKNOWN.to_owned(), |best| best.epoch.to_string())) }
                    td { (number(run.log.best().and_then(|best| best.validation.video_auc))) }
                    td { strong { (number(test.video_auc)) } }
                    td { (interval(test.video_auc_ci95)) }
                    td.text { (interval_bar(test.video_auc, test.video_auc_ci95)) }
                    @for value in [test.eer, test.acc, test.log_loss] { td { (number(value)) } }
                }
            } }
        } }
        p.soft { "Where intervals overlap, this test does not show which run is better." }
    }
}

/// A table with a column for each run.
fn table(what: &str, names: &[String], rows: impl Iterator<Item = (String, Vec<String>)>) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr { th scope="col" { (what) } @for name in names { th scope="col" { (name) } } } }
            tbody { @for (name, cells) in rows { tr { th.name scope="row" { (name) } @for cell in cells { td { (cell) } } } } }
        } }
    }
}

fn metrics(runs: &[Run], names: &[String]) -> Markup {
    let all: Vec<_> = runs.iter().map(|run| run.test().map(metric_entries).unwrap_or_default()).collect();
    let mut known: Vec<&'static str> = Vec::new();
    for entry in all.iter().flatten() {
        if !known.contains(&entry.name) {
            known.push(entry.name);
        }
    }
    if known.is_empty() {
        return html! { p.empty { "None of these runs has met its test videos yet." } };
    }
    let rows = known.into_iter().map(|name| {
        let cell = |entries: &Vec<MetricEntry>| {
            let entry = entries.iter().find(|entry| entry.name == name);
            let bounds = entry
                .and_then(|entry| entry.interval)
                .map_or(String::new(), |_| format!(" ({})", interval(entry.and_then(|entry| entry.interval))));
            number(entry.and_then(|entry| entry.value)) + &bounds
        };
        (name.to_owned(), all.iter().map(cell).collect())
    });
    html! { (table("metric", names, rows)) (methods(runs, names)) }
}

fn methods(runs: &[Run], names: &[String]) -> Markup {
    let of = |run: &Run, method: &String| -> Option<Metrics> { run.test_report()?.methods.get(method).cloned() };
    let own = runs.iter().filter_map(Run::test_report);
    let methods: BTreeSet<_> = own.flat_map(|set| set.methods.keys().cloned()).collect();
    let rows = methods.iter().map(|method| {
        let cell = |run| number(of(run, method).and_then(|metrics| metrics.video_auc));
        (method.clone(), runs.iter().map(cell).collect())
    });
    html! { @if !methods.is_empty() { h3 { "Video AUC by method" } (table("method", names, rows)) } }
}

fn settings(runs: &[Run], names: &[String]) -> Markup {
    let differences = config::differences(&runs.iter().map(|run| &run.config).collect::<Vec<_>>());
    let rows = differences.into_iter().map(|(key, values)| (key, values.iter().map(one_line).collect::<Vec<_>>()));
    let rows: Vec<_> = rows.collect();
    html! {
        @if rows.is_empty() { p { "None: these runs had the same settings." } }
        @else { (table("setting", names, rows.into_iter())) }
    }
}

fn cost(runs: &[Run]) -> Markup {
    let optional = |bytes_taken: Option<u64>| bytes_taken.map_or(UNKNOWN.to_owned(), bytes);
    html! {
        div.wide tabindex="0" { table {
            thead { tr {
                @for name in ["run", "training", "clips a second", "waited", "host, peak", "GPU, peak", "ran out", "clean-ups"] {
                    th scope="col" { (name) }
                }
            } }
            tbody { @for run in runs {
                @let took: f64 = run.log.epochs.iter().map(|epoch| epoch.seconds).sum();
                @let summary = run.report.as_ref();
                @let count = |is: fn(&EventKind) -> bool| run.log.events.iter().filter(|event| is(&event.kind)).count();
                tr {
                    th.name scope="row" { (run.name()) }
                    td { (seconds(took)) }
                    td { (summary.and_then(|report| report.throughput.clips_per_sec).map_or(UNKNOWN.to_owned(), |speed| format!("{speed:.1}"))) }
                    td { (summary.and_then(|report| report.throughput.data_wait_share).map_or(UNKNOWN.to_owned(), percent)) }
                    td { (optional(run.log.steps.iter().filter_map(|step| step.rss_bytes).max())) }
                    td { (optional(summary.and_then(|report| report.memory.gpu_peak_bytes))) }
                    td { (count(|kind| matches!(kind, EventKind::OutOfMemory(_)))) }
                    td { (count(|kind| matches!(kind, EventKind::Cleanup(_)))) }
                }
            } }
        } }
    }
}
