//! A picture of some clips of a batch, as the network sees them. Knows nothing of the file that it goes to.

use image::{RgbImage, imageops};

use crate::dataset::Label;
use crate::loader::HostBatch;

/// The largest number of clips on a sheet.
const ROWS: usize = 4;
/// The largest number of frames of a clip.
const COLUMNS: usize = 8;
/// The longer side of a frame, pixels.
const SIDE: u32 = 112;

/// A sheet with one row for each clip with this label; `None` if the batch has no such clip.
pub(super) fn clip_sheet(batch: &HostBatch, label: Label, [height, width]: [usize; 2]) -> Option<RgbImage> {
    let clips: Vec<_> = (0..batch.labels.len()).filter(|clip| batch.labels[*clip] == label).take(ROWS).collect();
    let frame_bytes = height * width * 3;
    let frames = batch.bytes() / frame_bytes.max(1) / batch.labels.len().max(1);
    let shown = frames.min(COLUMNS);
    if clips.is_empty() || shown == 0 {
        return None;
    }
    let scale = f64::from(SIDE) / height.max(width) as f64;
    let [row, column] = [height, width].map(|side| ((side as f64 * scale).round() as u32).max(1));
    let mut sheet = RgbImage::new(column * shown as u32, row * clips.len() as u32);
    for (y, clip) in (0..).zip(clips) {
        for x in 0..shown {
            let start = x * frames / shown * frame_bytes;
            let pixels = batch.clips[clip].thwc[start..start + frame_bytes].to_vec();
            let frame = RgbImage::from_raw(width as u32, height as u32, pixels)?;
            let small = imageops::thumbnail(&frame, column, row);
            imageops::replace(&mut sheet, &small, i64::from(x as u32 * column), i64::from(y * row));
        }
    }
    Some(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_has_a_row_a_clip_and_its_frames_in_order() {
        // Three clips of 10 frames of 4 x 8 pixels, each frame of one grey: 50 times the clip, and the frame.
        let grey = |clip: u8, frame: u8| vec![clip * 50 + frame; 4 * 8 * 3];
        let frames: Vec<u8> = (0..3).flat_map(|clip| (0..10).flat_map(move |frame| grey(clip, frame))).collect();
        let labels = vec![Label::Fake, Label::Real, Label::Fake];
        let batch = HostBatch::of_bytes(&frames, labels);
        let fakes = clip_sheet(&batch, Label::Fake, [4, 8]).unwrap();
        assert_eq!(fakes.dimensions(), (8 * SIDE, 2 * SIDE / 2));
        let at = |x: u32, y: u32| fakes.get_pixel(x * SIDE + 5, y * SIDE / 2 + 5)[0];
        assert_eq!((0..8).map(|x| at(x, 0)).collect::<Vec<_>>(), [0, 1, 2, 3, 5, 6, 7, 8]);
        assert_eq!((at(0, 1), at(7, 1)), (100, 108));
        assert_eq!(clip_sheet(&batch, Label::Real, [4, 8]).unwrap().height(), SIDE / 2);
        let reals = HostBatch { labels: vec![Label::Real; 3], ..batch };
        assert!(clip_sheet(&reals, Label::Fake, [4, 8]).is_none());
    }
}
