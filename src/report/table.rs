//! Tables for the terminal: their common style, and metrics and evaluations as tables. Computes no metric and prints
//! nothing; tables in HTML are in `page`.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::evaluation_report::{AllSets, BootstrapUnit, DatasetReport, Mistake, TOO_FEW_PEOPLE};
use crate::metrics::{Interval, Metrics, OperatingPoint};

/// One row for each named set; an undefined metric is a dash.
#[must_use]
pub fn metrics_table(rows: &[(&str, &Metrics)]) -> Table {
    let header = ["", "videos", "video AUC", "frame AUC", "EER", "AP", "accuracy", "real", "fake", "log-loss"];
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let cells = |(name, metrics): &(&str, &Metrics)| {
        vec![
            (*name).to_owned(),
            metrics.videos.to_string(),
            number(metrics.video_auc),
            number(metrics.frame_auc),
            number(metrics.eer),
            number(metrics.ap),
            number(metrics.acc),
            number(metrics.acc_real),
            number(metrics.acc_fake),
            number(metrics.log_loss),
        ]
    };
    plain_table(header.map(str::to_owned).to_vec(), rows.iter().map(cells))
}

/// The report on a data set as text: metrics, intervals, thresholds, calibration, mistakes, videos without a score.
#[must_use]
pub fn dataset_report_tables(report: &DatasetReport) -> String {
    let DatasetReport { name, overall, methods, seen_and_unseen, compressions, .. } = report;
    let mut rows = vec![(name.as_str(), overall)];
    // The row of a single part would repeat the first row.
    for parts in [seen_and_unseen, methods, compressions].into_iter().filter(|parts| parts.len() > 1) {
        rows.extend(parts.iter().map(|(name, metrics)| (name.as_str(), metrics)));
    }
    let mut text = format!("{}\n", metrics_table(&rows));
    let mut line = |line: String| text.extend([line.as_str(), "\n"]);
    line(intervals(report));
    if !report.operating_points.is_empty() {
        line(thresholds_table(&report.operating_points).to_string());
    }
    if let Some(calibration) = &report.calibration {
        let after = calibration.ece_calibrated.map_or(String::new(), |ece| format!(", {ece:.3} once calibrated"));
        line(format!("expected calibration error {:.3}{after}", calibration.ece));
    }
    for Mistake { video, label, method, score, .. } in &report.mistakes {
        let method = method.as_ref().map_or(String::new(), |method| format!(", {method}"));
        line(format!("mistaken: {video} ({label}{method}) got {score:.3}"));
    }
    for video in &report.unreadable {
        line(format!("not scored: {}: {}", video.path.display(), video.reason));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Several data sets together, as text; `others` says that there is a run's own test besides.
#[must_use]
pub fn all_sets_table(AllSets { sets, mean_video_auc, pooled }: &AllSets, others: bool) -> String {
    let mean = mean_video_auc.map_or("not defined".to_owned(), |auc| format!("{auc:.3}"));
    let which = if others { "other" } else { "all" };
    let table = metrics_table(&[(&format!("{which} sets as one"), pooled)]);
    format!("{table}\nmean video AUC of the {sets} sets: {mean}")
}

fn intervals(DatasetReport { overall, drawn_over, .. }: &DatasetReport) -> String {
    let named = [
        ("video AUC", overall.video_auc_ci95),
        ("frame AUC", overall.frame_auc_ci95),
        ("EER", overall.eer_ci95),
        ("AP", overall.ap_ci95),
        ("accuracy", overall.acc_ci95),
    ];
    let interval = |(name, interval): (&str, Option<Interval>)| {
        interval.map(|[low, high]| format!("{name} {low:.3} to {high:.3}"))
    };
    let listed: Vec<_> = named.into_iter().filter_map(interval).collect();
    let unit = match drawn_over.unit {
        BootstrapUnit::Identities => "people",
        BootstrapUnit::Videos | BootstrapUnit::TooFew => "videos",
    };
    match listed.is_empty() {
        true => format!("no 95% intervals. {TOO_FEW_PEOPLE}"),
        false => format!("95% intervals (over {} {unit}): {}", drawn_over.groups, listed.join(", ")),
    }
}

fn thresholds_table(points: &[OperatingPoint]) -> Table {
    let header = ["threshold at", "score", "reals called fake", "fakes found", "of reals", "of fakes"];
    let cells = |point: &OperatingPoint| {
        let c = &point.confusion;
        vec![
            point.name.clone(),
            point.threshold.map_or("none".into(), |threshold| format!("{threshold:.3}")),
            format!("{:.1}%", 100.0 * point.false_positive_rate),
            format!("{:.1}%", 100.0 * point.true_positive_rate),
            format!("{} of {}", c.real_as_fake, c.real_as_fake + c.real_as_real),
            format!("{} of {}", c.fake_as_fake, c.fake_as_fake + c.fake_as_real),
        ]
    };
    plain_table(header.map(str::to_owned).to_vec(), points.iter().map(cells))
}

/// An empty table in the style of this program; on a terminal it is no wider than the terminal.
#[must_use]
pub fn bordered_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A table with its first column left-aligned and the others right-aligned.
#[must_use]
pub fn plain_table(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = bordered_table();
    table.set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
