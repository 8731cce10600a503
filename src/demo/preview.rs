//! The contact sheet of a set: real clips on the left, the forgeries of the same clips on the right.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::{DemoError, io_error};

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
const PAPER: Rgb<u8> = Rgb([246, 245, 242]);
const REAL: Rgb<u8> = Rgb([38, 122, 92]);
const FAKE: Rgb<u8> = Rgb([184, 60, 50]);

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
        letter(&mut sheet, [left + FRAME / 2, FRAME / 2 + 10], label);
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

fn fill(sheet: &mut RgbImage, [left, top, width, height]: [u32; 4], color: Rgb<u8>) {
    for y in top..top + height {
        for x in left..left + width {
            sheet.put_pixel(x, y, color);
        }
    }
}

/// Writes a word in letters of 5 by 7 dots.
fn letter(sheet: &mut RgbImage, [left, top]: [u32; 2], word: &str) {
    const DOT: u32 = 3;
    for (i, character) in word.chars().enumerate() {
        for (row, dots) in glyph(character).into_iter().enumerate() {
            for column in (0..5).filter(|column| dots >> (4 - column) & 1 == 1) {
                let x = left + (i as u32 * 6 + column) * DOT;
                fill(sheet, [x, top + row as u32 * DOT, DOT, DOT], PAPER);
            }
        }
    }
}

/// The rows of a letter from top to bottom, a bit a dot: those that the two labels need.
fn glyph(character: char) -> [u8; 7] {
    match character {
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'L' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        'F' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000],
        'K' => [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001],
        _ => [0; 7],
    }
}
