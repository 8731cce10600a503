//! The file format of a cached clip: a header, the data that is stored with the clip, the pixels.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `DFDCLIP` and a newline |
//! | 4 | format version |
//! | 12 | T, height, width |
//! | 8, 8 | length of the stored data, and of the pixels |
//! | 8 | the largest `data.min_frames` with which the video can be used |
//! | 16 | the clip's key |
//! | 8, 8 | checksums (XXH3) of these two |
//! | 8 | checksum of the header so far |
//!
//! Numbers are little-endian. The format of a record (the hash of a video's content) is here, too. This file knows
//! nothing of folders; that is `disk.rs`.

use std::fs::File;
use std::io::Read;

use xxhash_rust::xxh3::xxh3_64;

use super::key::{ClipKey, FORMAT_VERSION};
use super::read_clip::ReadClip;

const MAGIC: &[u8; 8] = b"DFDCLIP\n";
const HEAD_BYTES: usize = 88;

/// The reason why a file has no usable clip.
pub(super) enum Unreadable {
    /// The content is not as it was written.
    Damaged,
    /// There is no memory for the clip.
    NoMemory,
}

/// The header of a clip.
pub(super) fn head(key: &ClipKey, clip: &ReadClip) -> Vec<u8> {
    let mut head = head_prefix(key, clip.meta.len() as u64, clip.thwc.len() as u64, clip.usable_frames as u64);
    head.extend(xxh3_64(&clip.meta).to_le_bytes());
    head.extend(xxh3_64(&clip.thwc).to_le_bytes());
    head.extend(xxh3_64(&head).to_le_bytes());
    head
}

/// The header without its checksums.
fn head_prefix(key: &ClipKey, meta_bytes: u64, pixel_bytes: u64, usable_frames: u64) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(FORMAT_VERSION.to_le_bytes());
    head.extend(key.shape.iter().flat_map(|size| size.to_le_bytes()));
    head.extend(meta_bytes.to_le_bytes());
    head.extend(pixel_bytes.to_le_bytes());
    head.extend(usable_frames.to_le_bytes());
    head.extend(key.hash.to_le_bytes());
    head
}

/// Reads the whole clip.
pub(super) fn read(file: &mut File, key: &ClipKey) -> Result<ReadClip, Unreadable> {
    let head = Head::read(file, key)?;
    let meta = part(file, head.meta_bytes, head.meta_sum)?;
    Ok(ReadClip { meta, thwc: part(file, head.pixel_bytes, head.pixel_sum)?, usable_frames: head.usable_frames })
}

/// Reads the clip without its pixels.
pub(super) fn read_meta(file: &mut File, key: &ClipKey) -> Result<ReadClip, Unreadable> {
    let head = Head::read(file, key)?;
    let meta = part(file, head.meta_bytes, head.meta_sum)?;
    Ok(ReadClip { meta, thwc: Vec::new(), usable_frames: head.usable_frames })
}

struct Head {
    meta_bytes: u64,
    pixel_bytes: u64,
    usable_frames: usize,
    meta_sum: u64,
    pixel_sum: u64,
}

impl Head {
    /// Checks the whole header against the key, and the lengths against the size of the file.
    fn read(file: &mut File, key: &ClipKey) -> Result<Self, Unreadable> {
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact(&mut bytes).map_err(|_| Unreadable::Damaged)?;
        let number = |at: usize| {
            let eight = bytes[at..at + 8].try_into().expect("eight bytes of an array");
            u64::from_le_bytes(eight)
        };
        let (meta_bytes, pixel_bytes, usable_frames) = (number(24), number(32), number(40));
        let pixels = key.shape.iter().map(|size| u64::from(*size)).product::<u64>() * 3;
        let length = file.metadata().map_err(|_| Unreadable::Damaged)?.len();
        let expected = pixels.checked_add(HEAD_BYTES as u64).and_then(|bytes| bytes.checked_add(meta_bytes));
        let whole = xxh3_64(&bytes[..HEAD_BYTES - 8]) == number(HEAD_BYTES - 8)
            && bytes.starts_with(&head_prefix(key, meta_bytes, pixels, usable_frames))
            && expected == Some(length);
        if !whole {
            return Err(Unreadable::Damaged);
        }
        let usable_frames = usize::try_from(usable_frames).unwrap_or(usize::MAX);
        Ok(Self { meta_bytes, pixel_bytes, usable_frames, meta_sum: number(64), pixel_sum: number(72) })
    }
}

/// Reads the next bytes of the file directly into the returned buffer.
fn part(file: &mut File, length: u64, sum: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let capacity = usize::try_from(length).map_err(|_| Unreadable::NoMemory)?;
    bytes.try_reserve_exact(capacity).map_err(|_| Unreadable::NoMemory)?;
    file.take(length).read_to_end(&mut bytes).map_err(|_| Unreadable::Damaged)?;
    match bytes.len() as u64 == length && xxh3_64(&bytes) == sum {
        true => Ok(bytes),
        false => Err(Unreadable::Damaged),
    }
}

/// The bytes of a record: a content hash, with a checksum.
pub(super) fn record(content: u128) -> Vec<u8> {
    let content = content.to_le_bytes();
    [&content[..], &record_sum(content).to_le_bytes()].concat()
}

/// Reads the bytes of a [`record`].
pub(super) fn read_record(file: &mut File) -> Option<u128> {
    let mut bytes = Vec::new();
    file.take(25).read_to_end(&mut bytes).ok()?;
    let (content, sum) = bytes.split_first_chunk::<16>()?;
    (sum == record_sum(*content).to_le_bytes()).then(|| u128::from_le_bytes(*content))
}

fn record_sum(content: [u8; 16]) -> u64 {
    xxh3_64(&[&content[..], &FORMAT_VERSION.to_le_bytes()].concat())
}
