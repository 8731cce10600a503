//! The section on results: metrics with intervals, curves, confusion matrix, methods, and the most confident mistakes.
//! Computes no metric; the verdict on the run is in `summary.rs`.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::chart::{Chart, Mark, Series, Style};
use super::document::data_uri;
use super::metric_entries::metric_entries;
use super::run::Run;
use super::summary::confusion_at_half;
use crate::dataset::Label;
use crate::metrics::{Confusion, Metrics, OperatingPoint};
use crate::report::evaluation_report::{AllSets, DatasetReport, Mistake};
use crate::report::number_format::{UNKNOWN, interval, number, percent, plural};

/// The plots of one set; `place` makes their ids unique.
pub fn charts(set: &DatasetReport, place: usize) -> Vec<Chart> {
    let id = |name: &str| format!("{name}-{place}");
    let roc = set.curve.iter().map(|point| (point.false_positive_rate, point.true_positive_rate));
    let roc = vec![
        Series::new("this detector", 1, Style::Line, roc),
        Series::new("chance", 0, Style::Reference, [(0.0, 0.0), (1.0, 1.0)]),
    ];
    let roc = Chart::new(&id("roc"), "ROC", ["reals called fake", "fakes called fake"], roc);
    let points = set.operating_points.iter().map(|point| Mark {
        kind: "point",
        x: point.false_positive_rate,
        y: Some(point.true_positive_rate),
        label: format!("{}: threshold {}", point.name, number(point.threshold)),
    });
    let roc = roc.map(|chart| {
        let note = set
            .overall
            .video_auc
            .map_or(String::new(), |auc| format!("Area {auc:.3}. Dots are the operating points below."));
        chart.note(note).marks(points.collect())
    });
    let precision = set.curve.iter().filter_map(|point| Some((point.true_positive_rate, point.precision?)));
    let precision = vec![Series::new("this detector", 1, Style::Line, precision)];
    let precision = Chart::new(&id("pr"), "Precision and recall", ["recall", "precision"], precision);
    let precision = precision
        .map(|chart| chart.note(set.overall.ap.map_or(String::new(), |ap| format!("Average precision {ap:.3}."))));
    let calibration = set.calibration.as_ref().and_then(|calibration| {
        let bins = calibration.bins.iter().map(|bin| (bin.mean_score, bin.fake_share));
        let bins = vec![
            Series::new("share of fakes", 2, Style::Dots, bins),
            Series::new("perfect", 0, Style::Reference, [(0.0, 0.0), (1.0, 1.0)]),
        ];
        let tempered =
            calibration.ece_calibrated.map_or(String::new(), |ece| format!(", {ece:.3} with the temperature"));
        let chart = Chart::new(&id("calibration"), "Calibration", ["mean score", "share of fakes"], bins)?;
        Some(chart.note(format!("Expected calibration error {:.3}{tempered}.", calibration.ece)))
    });
    let plots = [roc, precision, calibration].into_iter().flatten();
    plots.map(|chart| Chart { square: true, ..chart }).collect()
}

/// The section of one set.
pub fn section(run: &Run, set: &DatasetReport, charts: &[Chart]) -> Markup {
    let temperature = run.evaluation.as_ref().and_then(|all| all.temperature);
    html! {
        p.soft {
            (plural(set.overall.videos, "video")) " scored"
            @if let Some(checkpoint) = run.evaluation.as_ref().map(|all| &all.checkpoint) { " with " code { (checkpoint) } }
            @if let Some(temperature) = temperature { ", temperature " (number(Some(temperature))) }
            ". Fake is the positive class."
        }
        (metrics(&set.overall))
        @if charts.is_empty() {
            p.empty { "No curves: for these, real and fake videos are needed, and only one of the two was scored." }
        } @else { h3 { "Curves" } div.plots.small { @for chart in charts { (chart.figure()) } } }
        @if let Some(confusion) = confusion_at_half(set) { h3 { "At 0.5" } (matrix(confusion)) }
        @if !set.operating_points.is_empty() { h3 { "Thresholds to work with" } (operating_points(&set.operating_points)) }
        @if !set.seen_and_unseen.is_empty() {
            h3 { "Seen and unseen methods" } (breakdown("fakes of", &set.seen_and_unseen))
        }
        @if !set.methods.is_empty() { h3 { "By method" } (breakdown("method", &set.methods)) }
        @if !set.compressions.is_empty() { h3 { "By compression" } (breakdown("compression", &set.compressions)) }
        h3 { "Most confident mistakes" }
        (mistakes(run, &set.mistakes))
    }
}

/// The section of several sets together.
pub fn all_sets(AllSets { sets, mean_video_auc, pooled }: &AllSets) -> Markup {
    html! {
        p.soft {
            (plural(pooled.videos, "video")) " of " (sets) " other data sets, with one threshold for all. The mean of their video AUCs is "
            (number(*mean_video_auc)) "; where the AUC below is lower, scores shift from set to set."
        }
        (metrics(pooled))
    }
}

/// A table of metrics.
pub fn metrics(metrics: &Metrics) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr {
                th scope="col" { "metric" } th scope="col" { "value" } th scope="col" { "95 % interval" } th.text scope="col" { "what it is" }
            } }
            tbody { @for entry in metric_entries(metrics) {
                tr {
                    th scope="row" { (entry.name) }
                    td { strong { (number(entry.value)) } }
                    td { (interval(entry.interval)) }
                    td.text.soft.name { (entry.meaning) }
                }
            } }
        } }
    }
}

fn matrix(Confusion { real_as_real, real_as_fake, fake_as_real, fake_as_fake }: Confusion) -> Markup {
    let cell = |count: usize, other: usize, right: bool| {
        let share =
            if count + other == 0 { UNKNOWN.to_owned() } else { percent(count as f64 / (count + other) as f64) };
        html! { td class=(if right { "right" } else { "wrong" }) { b { (count) } (share) } }
    };
    html! {
        div.wide tabindex="0" { table.confusion {
            thead { tr { td {} th scope="col" { "called real" } th scope="col" { "called fake" } } }
            tbody {
                tr { th scope="row" { "is real" } (cell(real_as_real, real_as_fake, true)) (cell(real_as_fake, real_as_real, false)) }
                tr { th scope="row" { "is fake" } (cell(fake_as_real, fake_as_fake, false)) (cell(fake_as_fake, fake_as_real, true)) }
            }
        } }
    }
}

fn operating_points(points: &[OperatingPoint]) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr {
                @for name in ["chosen by", "threshold", "reals called fake", "fakes called fake", "wrong reals", "wrong fakes"] {
                    th scope="col" { (name) }
                }
            } }
            tbody { @for point in points {
                tr {
                    th scope="row" { (point.name) }
                    td { (number(point.threshold)) }
                    td { (percent(point.false_positive_rate)) }
                    td { (percent(point.true_positive_rate)) }
                    td { (point.confusion.real_as_fake) " of " (point.confusion.real_as_fake + point.confusion.real_as_real) }
                    td { (point.confusion.fake_as_real) " of " (point.confusion.fake_as_real + point.confusion.fake_as_fake) }
                }
            } }
        } }
    }
}

/// A table with a row for each part, the lowest AUC first.
fn breakdown(what: &str, parts: &BTreeMap<String, Metrics>) -> Markup {
    let mut parts: Vec<_> = parts.iter().collect();
    let auc = |metrics: &Metrics| metrics.video_auc.unwrap_or(f64::INFINITY);
    parts.sort_by(|a, b| auc(a.1).total_cmp(&auc(b.1)));
    html! {
        p.soft { "Hardest first. The line shows the AUC's 95 % interval from 0 to 1; the dashes are chance." }
        div.wide tabindex="0" { table {
            thead { tr {
                th scope="col" { (what) } th scope="col" { "videos" } th scope="col" { "video AUC" } th scope="col" { "95 % interval" }
                th.text scope="col" { "0 to 1" }
                @for name in ["EER", "AP", "accuracy", "recall"] { th scope="col" { (name) } }
            } }
            tbody { @for (name, metrics) in parts {
                tr {
                    th.name scope="row" { (name) }
                    td { (metrics.videos) }
                    td { strong { (number(metrics.video_auc)) } }
                    td { (interval(metrics.video_auc_ci95)) }
                    td.text { (interval_bar(metrics.video_auc, metrics.video_auc_ci95)) }
                    @for value in [metrics.eer, metrics.ap, metrics.acc, metrics.acc_fake] { td { (number(value)) } }
                }
            } }
        } }
    }
}

/// A drawing of a value between 0 and 1 with its interval.
pub fn interval_bar(value: Option<f64>, bounds: Option<[f64; 2]>) -> Markup {
    let x = |share: f64| format!("{:.1}", 4.0 + 136.0 * share.clamp(0.0, 1.0));
    html! {
        @if let Some(value) = value {
            svg.spread viewBox="0 0 144 18" aria-hidden="true" {
                line.axis x1="4" y1="9" x2="140" y2="9" {}
                line.chance x1="72" y1="2" x2="72" y2="16" {}
                @if let Some([lower, upper]) = bounds { line.range x1=(x(lower)) y1="9" x2=(x(upper)) y2="9" {} }
                circle.point cx=(x(value)) cy="9" r="4.5" {}
            }
        }
    }
}

fn mistakes(run: &Run, mistakes: &[Mistake]) -> Markup {
    html! {
        @if mistakes.is_empty() { p.empty { "None: every video is on the right side of 0.5." } }
        @else { ul.mistakes { @for mistake in mistakes { li { (mistaken(run, mistake)) } } } }
    }
}

fn mistaken(run: &Run, mistake: &Mistake) -> Markup {
    let (is, called, sure) = match mistake.label {
        Label::Real => ("Real", "fake", mistake.score),
        Label::Fake => ("Fake", "real", 1.0 - mistake.score),
    };
    let picture = mistake.picture.as_ref().and_then(|path| run.picture(path));
    html! {
        @match picture {
            Some(jpeg) => { img src=(data_uri(&jpeg)) alt={ "A frame of " (mistake.video) }; }
            None => { div.blank { "no picture" } }
        }
        div.about {
            strong { (is) ", called " (called) " with " (percent(sure)) }
            svg.score viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                rect.all width="100" height="4" {}
                rect.part width=(format!("{:.1}", 100.0 * sure.clamp(0.0, 1.0))) height="4" {}
            }
            @if let Some(method) = &mistake.method { span { (method) } }
            code { (mistake.video) }
        }
    }
}
