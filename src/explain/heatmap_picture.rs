//! Pictures of heatmaps over frames: single frames for a video, and a contact sheet. Runs no network and writes no
//! file.

use std::ops::Range;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::explanation::Explanation;
use crate::drawing::{FAINT, FAKE, GLYPH, INK, PAPER, REAL, fill, shortened, write};

/// Most frames on a contact sheet.
const COLUMNS: usize = 8;
const CELL: u32 = 192;
const GAP: u32 = 6;
const MARGIN: u32 = 16;
const TITLE: u32 = 2 * GLYPH;
const LINE: u32 = GLYPH + 6;
/// Height of the bars for scores and attention.
const BAR: u32 = 6;
/// Opacity of the heatmap at its maximum.
const OPACITY: f32 = 0.6;
/// Matplotlib's `inferno` at nine places from cold to hot (S. van der Walt and N. Smith, CC0).
const INFERNO: [[f32; 3]; 9] = [
    [0.0, 0.0, 4.0],
    [31.0, 12.0, 72.0],
    [85.0, 15.0, 109.0],
    [136.0, 34.0, 106.0],
    [187.0, 55.0, 84.0],
    [227.0, 89.0, 51.0],
    [249.0, 140.0, 10.0],
    [249.0, 201.0, 50.0],
    [252.0, 255.0, 164.0],
];

impl Explanation {
    /// The frames with their heatmaps; the opacity is proportional to the heatmap.
    #[must_use]
    pub fn overlays(&self) -> Vec<RgbImage> {
        self.frames.iter().zip(&self.heat).map(|(frame, heat)| overlay(frame, heat)).collect()
    }

    /// A contact sheet of up to eight frames in temporal order: the frame, its heatmap, its score, and its attention
    /// weight where the head has attention. `secs` is the part of the video that the clip is from.
    #[must_use]
    pub fn contact_sheet(&self, title: &str, secs: Option<Range<f64>>) -> RgbImage {
        let shown: Vec<usize> = if self.frames.len() <= COLUMNS {
            (0..self.frames.len()).collect()
        } else {
            (0..COLUMNS).map(|i| (2 * i + 1) * self.frames.len() / (2 * COLUMNS)).collect()
        };
        let notes = 2 + u32::from(self.attention.is_some());
        let width = 2 * MARGIN + shown.len() as u32 * (CELL + GAP) - GAP;
        let top = MARGIN + TITLE + LINE + 10;
        let height = top + 2 * (CELL + GAP) + notes * (LINE + BAR) + MARGIN;
        let mut sheet = RgbImage::from_pixel(width.max(420), height, PAPER);
        let verdict = if self.is_fake { ("fake", FAKE) } else { ("real", REAL) };
        let most = (sheet.width() - 2 * MARGIN) / TITLE;
        write(&mut sheet, [MARGIN, MARGIN], &shortened(title, most as usize), 2, INK);
        let text = format!("{}, {:.3}: bright is what speaks for {}", verdict.0, self.score, verdict.0);
        write(&mut sheet, [MARGIN, MARGIN + TITLE + 6], &text, 1, verdict.1);
        for (column, frame) in shown.into_iter().enumerate() {
            let left = MARGIN + column as u32 * (CELL + GAP);
            let time = secs
                .as_ref()
                .map(|secs| secs.start + (secs.end - secs.start) * (frame as f64 + 0.5) / self.frames.len() as f64);
            self.column(&mut sheet, [left, top], frame, time);
        }
        sheet
    }

    fn column(&self, sheet: &mut RgbImage, [left, mut top]: [u32; 2], frame: usize, time_secs: Option<f64>) {
        for picture in [self.frames[frame].clone(), overlay(&self.frames[frame], &self.heat[frame])] {
            let cell = fitted(&picture);
            imageops::replace(sheet, &cell, i64::from(left), i64::from(top));
            top += CELL + GAP;
        }
        let time = time_secs.map_or_else(|| format!("frame {}", frame + 1), |secs| format!("{secs:.2} s"));
        write(sheet, [left, top], &time, 1, FAINT);
        top += LINE;
        let score = self.frame_scores[frame];
        let color = if score >= 0.5 { FAKE } else { REAL };
        let mut noted = |text: String, share: f64, color: Rgb<u8>| {
            write(sheet, [left, top], &text, 1, INK);
            fill(sheet, [left, top + LINE - 2, (share.clamp(0.0, 1.0) * f64::from(CELL)) as u32, BAR - 2], color);
            top += LINE + BAR;
        };
        noted(format!("score {score:.3}"), score, color);
        if let Some(attention) = &self.attention {
            let most = attention.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
            noted(format!("attention {:.0}%", 100.0 * attention[frame]), attention[frame] / most, FAINT);
        }
    }
}

/// Resized to fit a cell, with its aspect ratio.
fn fitted(picture: &RgbImage) -> RgbImage {
    let scale = f64::from(CELL) / f64::from(picture.width().max(picture.height()).max(1));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    imageops::resize(picture, side(picture.width()), side(picture.height()), FilterType::CatmullRom)
}

fn overlay(frame: &RgbImage, heat: &[f32]) -> RgbImage {
    let mut picture = frame.clone();
    for (pixel, heat) in picture.pixels_mut().zip(heat) {
        let hot = color(*heat);
        let opacity = OPACITY * heat;
        for (channel, hot) in pixel.0.iter_mut().zip(hot) {
            *channel = (f32::from(*channel) * (1.0 - opacity) + hot * opacity).round() as u8;
        }
    }
    picture
}

fn color(heat: f32) -> [f32; 3] {
    let place = heat.clamp(0.0, 1.0) * (INFERNO.len() - 1) as f32;
    let below = (place as usize).min(INFERNO.len() - 2);
    let share = place - below as f32;
    std::array::from_fn(|channel| INFERNO[below][channel] * (1.0 - share) + INFERNO[below + 1][channel] * share)
}
