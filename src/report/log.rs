//! `metrics.jsonl`, written as the run goes, and `metrics.csv`, rewritten after each epoch.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::files;

/// The open `metrics.jsonl` of a run.
#[derive(Debug)]
pub struct RunLog {
    file: File,
    bytes: u64,
}

#[derive(Serialize)]
struct Line<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

impl RunLog {
    /// Opens it at `bytes`, the length it had at the checkpoint that the run goes on from: whatever a killed run wrote
    /// after that is dropped, because it is about to be written again.
    ///
    /// # Errors
    /// The file cannot be opened or cut.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let bytes = bytes.min(file.metadata()?.len());
        file.set_len(bytes)?;
        Ok(Self { file, bytes })
    }

    /// Adds one object with its kind: `step`, `epoch`, `oom`, `skip` ...
    ///
    /// # Errors
    /// The disk is full.
    pub fn write(&mut self, kind: &str, body: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { kind, body })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Its length so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Writes one row for each of `rows`; `columns` are keys of their JSON objects, a missing one leaves its cell empty.
///
/// # Errors
/// The disk is full.
pub fn write_csv(path: &Path, columns: &[&str], rows: &[impl Serialize]) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(columns)?;
    for row in rows {
        let row = serde_json::to_value(row)?;
        csv.write_record(columns.iter().map(|column| match &row[*column] {
            serde_json::Value::Null => String::new(),
            value => value.to_string(),
        }))?;
    }
    files::write_whole(path, &csv.into_inner().map_err(|error| error.into_error())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        epoch: u32,
        auc: Option<f64>,
    }

    #[test]
    fn a_resumed_log_drops_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = RunLog::open(&path, 0).unwrap();
        log.write("epoch", &Row { epoch: 1, auc: Some(0.5) }).unwrap();
        let saved = log.bytes();
        log.write("epoch", &Row { epoch: 2, auc: None }).unwrap();
        RunLog::open(&path, saved).unwrap().write("epoch", &Row { epoch: 2, auc: Some(1.0) }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"kind\":\"epoch\",\"epoch\":1,\"auc\":0.5}\n{\"kind\":\"epoch\",\"epoch\":2,\"auc\":1.0}\n"
        );
    }

    #[test]
    fn unknown_values_are_empty_cells() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        write_csv(&path, &["epoch", "auc"], &[Row { epoch: 1, auc: None }, Row { epoch: 2, auc: Some(0.5) }]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "epoch,auc\n1,\n2,0.5\n");
    }
}
