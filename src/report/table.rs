//! Metrics as a table for the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::metrics::Metrics;

/// One row for each named set; what is not defined is a dash.
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

/// Names in the first column, the others to the right.
#[must_use]
pub fn plain_table(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
