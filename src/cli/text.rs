//! How numbers are written in the tables of several subcommands. Text of a single subcommand stays in its own file.

use comfy_table::{CellAlignment, Table};

pub(super) use crate::run::size;

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

    #[test]
    fn bars_stay_within_their_width() {
        assert_eq!(bar(0, 0), format!("{}   0%", "░".repeat(20)));
        assert_eq!(bar(9, 3), format!("{} 100%", "█".repeat(20)));
    }
}
