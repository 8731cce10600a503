//! Drawing on pictures: rectangles, text in an 8x8 font, the colours of contact sheets, and JPEG compression.
//!
//! Lays out no sheet and writes no file; the callers do both.

use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageResult, Rgb, RgbImage};

const JPEG_QUALITY: u8 = 90;

/// Width and height of a letter, in dots.
pub const GLYPH: u32 = 8;
/// The background of sheets.
pub const PAPER: Rgb<u8> = Rgb([246, 245, 242]);
/// The colour of text.
pub const INK: Rgb<u8> = Rgb([44, 44, 48]);
/// The colour of less important text.
pub const FAINT: Rgb<u8> = Rgb([104, 102, 98]);
/// The colour of real videos.
pub const REAL: Rgb<u8> = Rgb([38, 122, 92]);
/// The colour of fake videos.
pub const FAKE: Rgb<u8> = Rgb([184, 60, 50]);

/// A picture as the bytes of a JPEG file.
///
/// # Errors
/// A side is longer than the JPEG format allows.
pub fn jpeg(picture: &RgbImage) -> ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
    Ok(bytes)
}

/// Draws a border of two pixels, inside the rectangle.
pub fn frame(picture: &mut RgbImage, [left, top, width, height]: [u32; 4], color: Rgb<u8>) {
    for thick in 0..2 {
        fill(picture, [left, top + thick, width, 1], color);
        fill(picture, [left, (top + height).saturating_sub(1 + thick), width, 1], color);
        fill(picture, [left + thick, top, 1, height], color);
        fill(picture, [(left + width).saturating_sub(1 + thick), top, 1, height], color);
    }
}

/// Fills the part of the rectangle that is on the sheet.
pub fn fill(sheet: &mut RgbImage, [left, top, width, height]: [u32; 4], color: Rgb<u8>) {
    for y in top..top.saturating_add(height).min(sheet.height()) {
        for x in left..left.saturating_add(width).min(sheet.width()) {
            sheet.put_pixel(x, y, color);
        }
    }
}

/// Writes one line; characters that the font lacks become `?`.
pub fn write(sheet: &mut RgbImage, [left, top]: [u32; 2], text: &str, dot: u32, color: Rgb<u8>) {
    for (i, sign) in text.chars().enumerate() {
        let glyph = BASIC_FONTS.get(sign).or_else(|| BASIC_FONTS.get('?')).unwrap_or_default();
        for (row, dots) in glyph.into_iter().enumerate() {
            for column in (0..GLYPH).filter(|column| dots >> column & 1 == 1) {
                let x = left + (i as u32 * GLYPH + column) * dot;
                fill(sheet, [x, top + row as u32 * dot, dot, dot], color);
            }
        }
    }
}

/// Breaks a text at words, and names at their parts, into lines of `length` characters. Of more than `most` lines,
/// those in the middle are left out.
#[must_use]
pub fn lines(text: &str, length: usize, most: usize) -> Vec<String> {
    if most < 2 {
        return vec![shortened(text, length)];
    }
    let mut lines = vec![String::new()];
    for part in text.split_inclusive([' ', '/', '_', '-']) {
        let signs: Vec<char> = part.chars().collect();
        for piece in signs.chunks(length) {
            let line = lines.last_mut().expect("there is always a line");
            let trailing_space = usize::from(piece.last() == Some(&' '));
            if line.chars().count() + piece.len() - trailing_space > length {
                lines.push(piece.iter().collect());
            } else {
                line.extend(piece);
            }
        }
    }
    if lines.len() > most {
        let end = lines.len() - most / 2;
        lines.splice(most - most / 2..end, []);
        lines[most - most / 2 - 1] = format!("{}..", shortened(lines[most - most / 2 - 1].trim_end(), length - 2));
    }
    lines
}

/// Shortens a text to `length` characters by leaving out its middle: names differ at the end, and are recognised by
/// their start.
#[must_use]
pub fn shortened(text: &str, length: usize) -> String {
    let signs: Vec<char> = text.chars().collect();
    if signs.len() <= length {
        return text.to_owned();
    }
    let kept = length.saturating_sub(2);
    let start = signs[..kept / 2].iter();
    start.chain(&['.', '.']).chain(&signs[signs.len() - (kept - kept / 2)..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_at_words_and_long_names_lose_their_middle() {
        assert_eq!(lines("no face was found", 8, 4), ["no face ", "was ", "found"]);
        assert_eq!(lines("abcdefghij", 4, 4), ["abcd", "efgh", "ij"]);
        let long = lines(&"part/".repeat(20), 10, 4);
        assert!(long.len() == 4 && long.iter().all(|line| line.trim_end().chars().count() <= 10), "{long:?}");
        assert_eq!(shortened("abcdefghij", 6), "ab..ij");
        assert_eq!(shortened("abc", 6), "abc");
    }
}
