//! The page of one run: its header and its sections. What a section contains is in a file of its own.

use maud::{Markup, html};

use super::document::{Section, document};
use super::run::Run;
use super::{memory, results, settings, summary, training, videos};
use crate::report::number_format::seconds;

/// The page of one run.
#[must_use]
pub fn run_page(run: &Run) -> String {
    let mut charts = Vec::new();
    let mut sections = vec![Section::new("summary", "Summary", summary::summary(run))];
    let training = training::charts(&run.log);
    sections.push(Section::new("training", "Training", training::section(&run.log, &training)));
    let memory = memory::charts(run);
    sections.push(Section::new("memory", "Memory", memory::section(run, &memory)));
    charts.extend(training.into_iter().chain(memory));
    for (place, set) in run.evaluation.iter().flat_map(|all| &all.sets).enumerate() {
        let plots = results::charts(set, place);
        let title = if place == 0 { format!("Results: {}", set.name) } else { format!("Results on {}", set.name) };
        sections.push(Section::new(&format!("results-{place}"), &title, results::section(run, set, &plots)));
        charts.extend(plots);
    }
    if let Some(all) = run.evaluation.as_ref().and_then(|all| all.all_sets.as_ref()) {
        sections.push(Section::new("results-all", "Results on the other sets as one", results::all_sets(all)));
    }
    if run.evaluation.is_none() {
        sections.push(Section::new("results", "Results", untested(run)));
    }
    sections.push(Section::new("videos", "Videos", videos::section(run)));
    sections.push(Section::new("settings", "Settings", settings::section(run)));
    document(&run.name(), &head(run), &sections, &charts)
}

/// The results where there is no `evaluation.json`.
fn untested(run: &Run) -> Markup {
    html! {
        @if let Some(test) = run.test() { h3 { "Test" } (results::metrics(test)) }
        @else if let Some(best) = run.log.best() {
            p.empty { "The test videos are looked at once, at the end. Until then, the best epoch on the validation videos:" }
            (results::metrics(&best.validation))
        } @else { p.empty { "There are no results yet." } }
    }
}

fn head(run: &Run) -> Markup {
    let of_all = run.config.training.epochs;
    let done = run.log.epochs.len();
    let took: f64 = run.log.epochs.iter().map(|epoch| epoch.seconds).sum();
    let device = run.log.start.as_ref().map(|start| start.provenance.device.as_str());
    let left =
        (run.report.is_none() && done > 0).then(|| took / done as f64 * f64::from(of_all.saturating_sub(done as u32)));
    html! {
        h1 { (run.config.experiment.name) " " (summary::badge(run)) }
        p.soft {
            "Epoch " (done) " of " (of_all) " · step " (run.log.last_step()) " · " (seconds(took)) " of training"
            @if let Some(device) = device { " · " (device) }
            " · written " (chrono::Local::now().format("%Y-%m-%d %H:%M:%S"))
        }
        @if run.report.is_none() {
            p {
                "This run goes on, or was killed. Load the page again for news"
                @if let Some(left) = left.filter(|left| *left > 0.0) { "; all epochs would take about " (seconds(left)) " more" }
                "."
            }
        }
        @if let Some(error) = run.report.as_ref().and_then(|report| report.error.as_ref()) { p.error { (error) } }
    }
}
