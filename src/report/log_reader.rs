//! Reads `metrics.jsonl` of a run, which may be in progress. Writes nothing; that is `run_log.rs`.
//!
//! The run may be writing to the file. An incomplete last line is ignored; any other unreadable line is counted.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::provenance::Provenance;
use crate::memory::{Cleanup, OomEvent, Reading};
use crate::metrics::Metrics;

/// The contents of a log, in its order. Steps that were rolled back are removed; events during them are kept.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Optimizer steps.
    pub steps: Vec<Step>,
    /// Finished epochs.
    pub epochs: Vec<Epoch>,
    /// Readings of memory.
    pub memory: Vec<MemoryLine>,
    /// Events: memory, skipped steps, rollbacks, resumptions.
    pub events: Vec<Event>,
    /// The last start or resumption.
    pub start: Option<Start>,
    /// Lines that could not be read.
    pub unreadable: usize,
    /// Length of the lines that were read.
    bytes: u64,
}

/// One optimizer step.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// Counted from 1.
    pub step: u64,
    /// Training loss; absent where it was not finite.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Training clips in the step.
    pub clips: usize,
    /// Throughput, waiting for data included.
    #[serde(default)]
    pub clips_per_sec: Option<f64>,
    /// Time spent waiting for clips, milliseconds.
    pub data_wait_ms: u64,
    /// Resident memory of the process.
    #[serde(default)]
    pub rss_bytes: Option<u64>,
}

/// One finished epoch.
#[derive(Debug, Clone, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps at its end.
    pub step: u64,
    /// Mean training loss.
    #[serde(default)]
    pub train_loss: Option<f64>,
    /// AUC over training clips.
    #[serde(default)]
    pub train_auc: Option<f64>,
    /// Loss on the validation videos.
    #[serde(default)]
    pub val_loss: Option<f64>,
    /// Metrics of the validation videos.
    #[serde(flatten)]
    pub validation: Metrics,
    /// Time of its steps, seconds.
    pub seconds: f64,
    /// Share of that time spent waiting for clips.
    pub data_wait_share: f64,
    /// Training clips per second.
    #[serde(default)]
    pub clips_per_sec: Option<f64>,
    /// Whether it was the best so far.
    pub is_best: bool,
}

/// A reading of memory after a step.
#[derive(Debug, Clone, Deserialize)]
pub struct MemoryLine {
    /// Steps done before.
    pub step: u64,
    /// Memory of cached clips.
    pub cache_bytes: u64,
    /// Memory of host, process and device.
    #[serde(flatten)]
    pub reading: Reading,
}

/// The start or a resumption of the run.
#[derive(Debug, Clone, Deserialize)]
pub struct Start {
    /// Steps done before.
    pub step: u64,
    /// Time of day.
    pub time: String,
    /// Versions, command line, data and device.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// An event after a step.
#[derive(Debug, Clone)]
pub struct Event {
    /// Steps done before.
    pub step: u64,
    /// What happened.
    pub kind: EventKind,
}

/// The kind of an event, with its details.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// Memory ran out.
    OutOfMemory(OomEvent),
    /// The micro-batch became smaller before memory ran out.
    Shrunk(OomEvent),
    /// A larger micro-batch is tried.
    Grown(OomEvent),
    /// A clean-up freed memory.
    Cleanup(Cleanup),
    /// A step without an update.
    Skipped(Skip),
    /// The run was rolled back to an earlier step.
    TakenBack(TakenBack),
    /// The run was resumed.
    Resumed(String),
}

/// A step without an update.
#[derive(Debug, Clone, Deserialize)]
pub struct Skip {
    /// Why.
    pub reason: String,
    /// The videos in it.
    #[serde(default)]
    pub videos: Vec<String>,
}

/// A rollback after divergence.
#[derive(Debug, Clone, Deserialize)]
pub struct TakenBack {
    /// The step that the run continues from.
    pub to_step: u64,
    /// Factor on the learning rate since then.
    pub lr_factor: f64,
}

#[derive(Deserialize)]
struct WithStep<T> {
    step: u64,
    #[serde(flatten)]
    body: T,
}

impl Log {
    /// Reads a log; a file that does not exist is an empty log.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut log = Self::default();
        log.read_on(path)?;
        Ok(log)
    }

    /// Reads the lines that were added to the file since it was read last. A file that has become shorter is read anew.
    ///
    /// # Errors
    /// The file cannot be read. What was read until then stays.
    pub fn read_on(&mut self, path: &Path) -> io::Result<()> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                *self = Self::default();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() < self.bytes {
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.bytes))?;
        let (mut lines, mut line) = (BufReader::new(file), Vec::new());
        while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            if self.take(&line).is_none() {
                self.unreadable += 1;
            }
            self.bytes += line.len() as u64;
            line.clear();
        }
        Ok(())
    }

    /// The last step in the log.
    #[must_use]
    pub fn last_step(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.step)
    }

    /// The best epoch so far.
    #[must_use]
    pub fn best(&self) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.is_best)
    }

    /// Adds a line, which begins with its kind. `None` where it cannot be read.
    fn take(&mut self, line: &[u8]) -> Option<()> {
        let rest = line.strip_prefix(b"{\"kind\":\"")?;
        let kind = &rest[..rest.iter().position(|byte| *byte == b'"')?];
        match kind {
            b"step" => self.steps.push(parse(line)?),
            b"epoch" => self.epochs.push(parse(line)?),
            b"memory" => self.memory.push(parse(line)?),
            b"start" => self.note_start(parse(line)?),
            b"oom" => self.note(line, EventKind::OutOfMemory)?,
            b"shrink" => self.note(line, EventKind::Shrunk)?,
            b"grow" => self.note(line, EventKind::Grown)?,
            b"cleanup" => self.note(line, EventKind::Cleanup)?,
            b"skip" => self.note(line, EventKind::Skipped)?,
            b"taken_back" => {
                self.note(line, EventKind::TakenBack)?;
                let to_step = parse::<TakenBack>(line)?.to_step;
                self.steps.retain(|step| step.step <= to_step);
                self.epochs.retain(|epoch| epoch.step <= to_step);
                self.memory.retain(|line| line.step <= to_step);
            }
            // Kinds of newer versions are ignored.
            _ => {}
        }
        Some(())
    }

    fn note<T: DeserializeOwned>(&mut self, line: &[u8], kind: impl Fn(T) -> EventKind) -> Option<()> {
        let WithStep { step, body } = parse::<WithStep<T>>(line)?;
        self.events.push(Event { step, kind: kind(body) });
        Some(())
    }

    fn note_start(&mut self, start: Start) {
        if self.start.is_some() {
            self.events.push(Event { step: start.step, kind: EventKind::Resumed(start.time.clone()) });
        }
        self.start = Some(start);
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        Log::read(&path).unwrap()
    }

    fn step(step: u64, loss: &str) -> String {
        format!(
            "{{\"kind\":\"step\",\"step\":{step},\"epoch\":1,\"loss\":{loss},\"lr\":0.1,\"clips\":4,\"data_wait_ms\":0}}\n"
        )
    }

    #[test]
    fn a_line_that_is_being_written_is_left_out_and_a_damaged_one_is_counted() {
        let text = [step(1, "0.5"), "{\"kind\":\"step\",\"st\n".into(), step(2, "null"), step(3, "0.1")].concat();
        let log = read(&text[..text.len() - 5]);
        let losses: Vec<_> = log.steps.iter().map(|step| (step.step, step.loss)).collect();
        assert_eq!(losses, [(1, Some(0.5)), (2, None)]);
        assert_eq!((log.unreadable, log.last_step()), (1, 2));
    }

    #[test]
    fn steps_that_a_run_was_taken_back_from_are_left_out_and_the_event_stays() {
        let back = "{\"kind\":\"taken_back\",\"step\":3,\"to_step\":1,\"lr_factor\":0.5}\n".to_owned();
        let log = read(&[step(1, "1"), step(2, "9"), step(3, "9"), back, step(2, "0.5")].concat());
        assert_eq!(log.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2]);
        assert!(
            matches!(log.events.as_slice(), [Event { step: 3, kind: EventKind::TakenBack(back) }] if back.to_step == 1)
        );
    }

    /// Read after each part that the run writes, with a line cut in two, a damaged one and a roll-back among them, the log
    /// is what one reading of the whole file gives. Lines that were read are not read again.
    #[test]
    fn a_log_that_grows_is_read_on_from_where_it_was_left() {
        let back = "{\"kind\":\"taken_back\",\"step\":3,\"to_step\":1,\"lr_factor\":0.5}\n".to_owned();
        let parts = [step(1, "1") + "{\"kind\":\"step\",\"st\n", step(2, "9") + &step(3, "9"), back, step(2, "0.5")];
        let text = parts.concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = Log::read(&path).unwrap();
        let cuts = [parts[0].len(), parts[0].len() + 10, parts[0].len() + parts[1].len(), text.len() - 3, text.len()];
        for cut in cuts {
            std::fs::write(&path, &text[..cut]).unwrap();
            log.read_on(&path).unwrap();
            assert_eq!(format!("{log:?}"), format!("{:?}", read(&text[..cut])));
        }
        let read_before = vec![b'\n'; text.len()];
        std::fs::write(&path, [read_before, step(7, "0.25").into_bytes()].concat()).unwrap();
        log.read_on(&path).unwrap();
        assert_eq!(log.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 7]);
        assert_eq!(log.unreadable, 1);
        std::fs::write(&path, step(5, "1")).unwrap();
        log.read_on(&path).unwrap();
        assert_eq!((log.last_step(), log.steps.len(), log.events.len()), (5, 1, 0), "a shorter file is another log");
    }

    #[test]
    fn a_log_that_is_not_there_is_empty() {
        let log = Log::read(Path::new("/nowhere/metrics.jsonl")).unwrap();
        assert!(log.steps.is_empty() && log.best().is_none());
    }
}
