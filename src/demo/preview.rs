//! The contact sheet of a set: real clips on the left, the forgeries of the same clips on the right.

use std::path::Path;

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::{DemoError, io_error};
use crate::drawing::{FAKE, PAPER, REAL, fill, write as letter};

/// A frame, cropped to a square cell of the sheet.
pub(super) type Still = RgbImage;

/// Clips on the sheet, each with its forgery.
pub(super) const ROWS: usize = 6;
/// Frames a clip.
pub(super) const STILLS: usize = 3;

const CELL: u32 = 192;
const GAP: u32 = 6;
const FRAME: u32 = 14;
const HEADER: u32 = 40;

/// Cuts a square out of the middle of a frame.
pub(super) fn still(width: u32, height: u32, rgb: Vec<u8>) -> Still {
    let frame = RgbImage::from_raw(width, height, rgb).expect("a frame has width x height pixels");
    let side = width.min(height);
    let square = imageops::crop_imm(&frame, (width - side) / 2, (height - side) / 2, side, side).to_image();
    imageops::resize(&square, CELL, CELL, FilterType::CatmullRom)
}

/// Writes the sheet: each row a real clip's stills and those of its forgery.
pub(super) fn write(path: &Path, rows: &[[Vec<Still>; 2]]) -> Result<(), DemoError> {
    let block_width = STILLS as u32 * (CELL + GAP) - GAP;
    let width = 2 * (block_width + 2 * FRAME) + FRAME;
    let height = HEADER + rows.len() as u32 * (CELL + GAP) - GAP + FRAME;
    let mut sheet = RgbImage::from_pixel(width, height + FRAME / 2, PAPER);
    for (side, (label, color)) in [("REAL", REAL), ("FAKE", FAKE)].into_iter().enumerate() {
        let left = FRAME / 2 + side as u32 * (block_width + 2 * FRAME);
        fill(&mut sheet, [left, FRAME / 2, block_width + FRAME, height - FRAME / 2], color);
        letter(&mut sheet, [left + FRAME / 2, FRAME / 2 + 10], label, 3, PAPER);
        for (row, stills) in rows.iter().enumerate() {
            for (column, still) in stills[side].iter().enumerate() {
                let x = left + FRAME / 2 + column as u32 * (CELL + GAP);
                let y = HEADER + FRAME / 2 + row as u32 * (CELL + GAP);
                imageops::replace(&mut sheet, still, i64::from(x), i64::from(y));
            }
        }
    }
    sheet.save(path).map_err(|error| io_error(path, std::io::Error::other(error)))
}
