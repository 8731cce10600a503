//! Writes `metrics.jsonl` and TensorBoard events during a run, and `metrics.csv` after each epoch. What is logged, and
//! when, is up to the caller.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use image::RgbImage;
use serde::Serialize;
use serde_json::Value;

use super::tensorboard::EventFile;
use crate::files;

/// Kinds of lines whose numbers go to TensorBoard.
const SCALAR_KINDS: [&str; 3] = ["step", "epoch", "memory"];

/// The open `metrics.jsonl` of a run.
#[derive(Debug)]
pub struct RunLog {
    file: File,
    bytes: u64,
    events: Option<EventFile>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

impl RunLog {
    /// Opens the log and truncates it to `bytes`, its length at the checkpoint that the run resumes from: later lines
    /// of a killed run are dropped, because the resumed run writes them again.
    ///
    /// # Errors
    /// The file cannot be opened or truncated.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let bytes = bytes.min(file.metadata()?.len());
        file.set_len(bytes)?;
        Ok(Self { file, bytes, events: None })
    }

    /// Also writes the numbers to this TensorBoard file, each under `KIND/KEY`.
    #[must_use]
    pub fn with_events(self, events: EventFile) -> Self {
        Self { events: Some(events), ..self }
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
        match &mut self.events {
            Some(events) if SCALAR_KINDS.contains(&kind) => {
                let body = serde_json::to_value(body)?;
                let mut numbers = Vec::new();
                collect_numbers(kind, &body, &mut numbers);
                events.numbers(body["step"].as_u64().unwrap_or_default(), numbers)
            }
            _ => Ok(()),
        }
    }

    /// Adds an image to the TensorBoard file, if there is one and `draw` returns one.
    ///
    /// # Errors
    /// The disk is full.
    pub fn picture(&mut self, step: u64, tag: &str, draw: impl FnOnce() -> Option<RgbImage>) -> io::Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        draw().map_or(Ok(()), |picture| events.picture(step, tag, &picture))
    }

    /// Adds a precision-recall curve of scores from 0 to 1 to the TensorBoard file, if there is one.
    ///
    /// # Errors
    /// The disk is full.
    pub fn pr_curve(&mut self, step: u64, tag: &str, scores: &[f64], is_fake: &[bool]) -> io::Result<()> {
        self.events.as_mut().map_or(Ok(()), |events| events.pr_curve(step, tag, scores, is_fake))
    }

    /// Length of the log in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Length of the TensorBoard file in bytes; 0 where there is none.
    #[must_use]
    pub fn event_bytes(&self) -> u64 {
        self.events.as_ref().map_or(0, EventFile::bytes)
    }
}

/// Collects the numbers of an object and its nested objects with their paths, except `step`, which is the x axis.
fn collect_numbers(path: &str, value: &Value, numbers: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => numbers.extend(number.as_f64().map(|number| (path.to_owned(), number))),
        Value::Object(entries) => {
            for (key, value) in entries.iter().filter(|(key, _)| *key != "step") {
                collect_numbers(&format!("{path}/{key}"), value, numbers);
            }
        }
        _ => {}
    }
}

/// Writes a CSV file with one line for each of `rows`; `columns` are keys of their JSON objects, a missing key gives an
/// empty cell.
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
