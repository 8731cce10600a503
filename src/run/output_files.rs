//! Writes tables as CSV files. Knows nothing of their columns.

use std::path::Path;

use serde::Serialize;

use super::error::{RunError, cannot_write};
use crate::files;

/// Writes a table with a row for each of `rows`, whole or not at all.
pub(crate) fn write_csv(path: &Path, rows: impl IntoIterator<Item = impl Serialize>) -> Result<(), RunError> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row).map_err(RunError::format("a row cannot be written as CSV"))?;
    }
    let bytes = csv.into_inner().map_err(|error| RunError::Csv(error.into_error()))?;
    files::write_whole(path, &bytes).map_err(cannot_write(path))
}
