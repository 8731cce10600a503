//! The contact sheet of a set (`preview.png`): real videos on the left, the fakes of the same videos on the right.
//! Decodes no video; the thumbnails are passed in.

use std::path::Path;

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::error::{DemoError, io_error};
use crate::drawing::{FAKE, PAPER, REAL, fill, write as write_text};

/// A frame, cropped to a square and resized to a cell of the sheet.
pub(super) type Thumbnail = RgbImage;

/// Real videos on the sheet, each with its fake.
pub(super) const ROWS: usize = 6;
/// Frames per video.
pub(super) const THUMBNAILS: usize = 3;

const CELL: u32 = 192;
const GAP: u32 = 6;
const FRAME: u32 = 14;
const HEADER: u32 = 40;

/// Crops the central square of a frame and resizes it.
pub(super) fn thumbnail(width: u32, height: u32, rgb: Vec<u8>) -> Thumbnail {
    let frame = RgbImage::from_raw(width, height, rgb).expect("a frame has width x height pixels");
    let side = width.min(height);
    let square = imageops::crop_imm(&frame, (width - side) / 2, (height - side) / 2, side, side).to_image();
    imageops::resize(&square, CELL, CELL, FilterType::CatmullRom)
}

/// Writes the sheet: each row has the thumbnails of a real video and of its fake.
pub(super) fn write(path: &Path, rows: &[[Vec<Thumbnail>; 2]]) -> Result<(), DemoError> {
    let block_width = THUMBNAILS as u32 * (CELL + GAP) - GAP;
    let width = 2 * (block_width + 2 * FRAME) + FRAME;
    let height = HEADER + rows.len() as u32 * (CELL + GAP) - GAP + FRAME;
    let mut sheet = RgbImage::from_pixel(width, height + FRAME / 2, PAPER);
    for (side, (label, color)) in [("REAL", REAL), ("FAKE", FAKE)].into_iter().enumerate() {
        let left = FRAME / 2 + side as u32 * (block_width + 2 * FRAME);
        fill(&mut sheet, [left, FRAME / 2, block_width + FRAME, height - FRAME / 2], color);
        write_text(&mut sheet, [left + FRAME / 2, FRAME / 2 + 10], label, 3, PAPER);
        for (row, thumbnails) in rows.iter().enumerate() {
            for (column, thumbnail) in thumbnails[side].iter().enumerate() {
                let x = left + FRAME / 2 + column as u32 * (CELL + GAP);
                let y = HEADER + FRAME / 2 + row as u32 * (CELL + GAP);
                imageops::replace(&mut sheet, thumbnail, i64::from(x), i64::from(y));
            }
        }
    }
    sheet.save(path).map_err(|error| io_error(path, std::io::Error::other(error)))
}
