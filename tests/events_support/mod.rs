//! Reads TensorBoard's event files, checksums included, from the format's description alone.

use std::fs;
use std::path::Path;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct Event {
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, tag = "3")]
    pub file_version: String,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub number: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Image {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

/// CRC-32C, bit by bit (polynomial 0x1EDC6F41, reflected), as TensorFlow masks it.
fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// All events of a run, in the order of the file.
pub fn events(run: &Path) -> Vec<Event> {
    let files: Vec<_> = fs::read_dir(run.join("tensorboard")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    let bytes = fs::read(&files[0]).unwrap();
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    let crc = |at: &[u8]| u32::from_le_bytes(at[..4].try_into().unwrap());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(crc(&rest[8..]), masked_crc(&rest[..8]));
        let event = &rest[12..12 + length];
        assert_eq!(crc(&rest[12 + length..]), masked_crc(event));
        events.push(Event::decode(event).unwrap());
        rest = &rest[16 + length..];
    }
    assert_eq!(events[0].file_version, "brain.Event:2");
    events
}

/// The points of a curve: steps and numbers.
pub fn curve(run: &Path, tag: &str) -> Vec<(i64, f32)> {
    let events = events(run).into_iter();
    let points =
        events.flat_map(|event| event.summary.unwrap_or_default().value.into_iter().map(move |v| (event.step, v)));
    points.filter(|(_, value)| value.tag == tag).filter_map(|(step, value)| Some((step, value.number?))).collect()
}
