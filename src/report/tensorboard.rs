//! TensorBoard event files: scalars, images, and precision-recall curves. Knows nothing of what is logged; `run_log.rs`
//! names the scalars.
//!
//! A file is a row of records: eight bytes with the length, a checksum of these, a protobuf message `Event`, a checksum
//! of that (TensorFlow's `record_writer.h`, `event.proto` and `summary.proto`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::RgbImage;
use prost::Message;

use super::tensorboard_pr_curve::{self, Metadata, TensorProto};
use crate::drawing;

const PREFIX: &str = "events.out.tfevents.";
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// Number of channels.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

/// The open event file of a run.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    bytes: u64,
}

impl EventFile {
    /// Opens the file in `folder`, or creates it, and truncates it to `bytes`, its length at the checkpoint that the
    /// run resumes from, so that no step is in it twice.
    ///
    /// # Errors
    /// The file cannot be created or truncated.
    pub fn open(folder: &Path, bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = match existing(folder)? {
            Some(path) => path,
            None => folder.join(format!("{PREFIX}{}.dfdetect", chrono::Utc::now().timestamp())),
        };
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let bytes = bytes.min(file.metadata()?.len());
        file.set_len(bytes)?;
        let mut events = Self { file, bytes };
        if bytes == 0 {
            events.write(&Event { wall_time: now(), file_version: Some(VERSION.into()), ..Event::default() })?;
        }
        Ok(events)
    }

    /// Length of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds scalars.
    ///
    /// # Errors
    /// The disk is full.
    pub fn numbers(&mut self, step: u64, numbers: Vec<(String, f64)>) -> io::Result<()> {
        self.write(&numbers_event(now(), step, numbers))
    }

    /// Adds an image.
    ///
    /// # Errors
    /// The disk is full.
    pub fn picture(&mut self, step: u64, tag: &str, picture: &RgbImage) -> io::Result<()> {
        let (width, height) = picture.dimensions();
        let jpeg = drawing::jpeg(picture).map_err(io::Error::other)?;
        self.write(&picture_event(now(), step, tag, [width, height], jpeg))
    }

    /// Adds a precision-recall curve of scores from 0 to 1.
    ///
    /// # Errors
    /// The disk is full.
    pub fn pr_curve(&mut self, step: u64, tag: &str, scores: &[f64], is_fake: &[bool]) -> io::Result<()> {
        self.write(&pr_event(now(), step, tag, scores, is_fake))
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        let record = record(&event.encode_to_vec());
        self.file.write_all(&record)?;
        self.bytes += record.len() as u64;
        Ok(())
    }
}

fn existing(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            paths.push(entry.path());
        }
    }
    Ok(paths.into_iter().min())
}

/// Seconds since 1970.
fn now() -> f64 {
    chrono::Utc::now().timestamp_micros() as f64 / 1e6
}

fn numbers_event(wall_time: f64, step: u64, numbers: Vec<(String, f64)>) -> Event {
    let value = |(tag, number)| Value { tag, simple_value: Some(number as f32), ..Value::default() };
    event(wall_time, step, numbers.into_iter().map(value).collect())
}

fn picture_event(wall_time: f64, step: u64, tag: &str, [width, height]: [u32; 2], encoded: Vec<u8>) -> Event {
    let (width, height) = (width as i32, height as i32);
    let image = Image { height, width, colorspace: 3, encoded_image_string: encoded };
    event(wall_time, step, vec![Value { tag: tag.to_owned(), image: Some(image), ..Value::default() }])
}

fn pr_event(wall_time: f64, step: u64, tag: &str, scores: &[f64], is_fake: &[bool]) -> Event {
    let (tensor, metadata) =
        (Some(tensorboard_pr_curve::tensor(scores, is_fake)), Some(tensorboard_pr_curve::metadata()));
    event(wall_time, step, vec![Value { tag: tag.to_owned(), tensor, metadata, ..Value::default() }])
}

fn event(wall_time: f64, step: u64, value: Vec<Value>) -> Event {
    Event { wall_time, step: step as i64, file_version: None, summary: Some(Summary { value }) }
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length, &masked_crc(&length).to_le_bytes()[..], event, &masked_crc(event).to_le_bytes()].concat()
}

/// TensorFlow's masked CRC-32C: rotated, plus a constant, because a CRC of data that contains CRCs is weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_tensorboards_own_writer() {
        let expected = include_bytes!("../../tests/fixtures/events.tfevents");
        let version = Event { wall_time: 1000.5, file_version: Some(VERSION.into()), ..Event::default() };
        let numbers = [("step/loss", 0.25), ("step/lr", 1e-4), ("memory/rss_bytes", 3e9), ("epoch/zero", 0.0)];
        let numbers = numbers.map(|(tag, number)| (tag.to_owned(), number)).to_vec();
        let events = [
            version,
            numbers_event(1001.0, 7, numbers),
            picture_event(1002.25, 300, "clips/real", [16, 8], b"not a picture".to_vec()),
            pr_event(1003.0, 400, "pr/validation", &[0.1, 0.5, 0.5, 0.9, 1.0], &[false, true, false, true, true]),
        ];
        let written: Vec<u8> = events.iter().flat_map(|event| record(&event.encode_to_vec())).collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn a_resumed_file_is_the_same_one_and_drops_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("tensorboard");
        let mut events = EventFile::open(&folder, 0).unwrap();
        events.numbers(1, vec![("a".into(), 1.0)]).unwrap();
        let saved = events.bytes();
        events.numbers(2, vec![("a".into(), 2.0)]).unwrap();
        let mut events = EventFile::open(&folder, saved).unwrap();
        events.picture(2, "p", &RgbImage::new(4, 2)).unwrap();
        let path = existing(&folder).unwrap().unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len() as u64, events.bytes());
        let mut steps = Vec::new();
        let mut rest = &bytes[..];
        while let Some((length, _)) = rest.split_first_chunk() {
            let length = u64::from_le_bytes(*length) as usize;
            let event = Event::decode(&rest[12..12 + length]).unwrap();
            steps.push((event.step, event.summary.map_or(0, |summary| summary.value.len())));
            rest = &rest[16 + length..];
        }
        assert_eq!(steps, [(0, 0), (1, 1), (2, 1)]);
    }
}
