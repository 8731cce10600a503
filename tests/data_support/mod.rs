//! Real videos for the tests of the data room.

use std::path::Path;

use dfdetect::demo::{VideoSettings, VideoWriter};

/// Small enough to be quick, odd enough that rows are padded after resizing.
pub const SETTINGS: VideoSettings =
    VideoSettings { width: 96, height: 64, fps: 25, crf: 28, bits_per_sec: None, gop: 12, b_frames: 2 };

/// A frame that no other resembles: a moving bar on a gradient, with `salt` telling videos apart.
fn picture(settings: &VideoSettings, frame: usize, salt: usize) -> Vec<u8> {
    let (width, height) = (settings.width as usize, settings.height as usize);
    let bar = (frame * 5 + salt * 11) % width;
    let pixel = |x: usize, y: usize| {
        let on_bar = x.abs_diff(bar) < 6;
        [if on_bar { 230 } else { (x + salt * 40) as u8 }, (y * 2 + frame * 3) as u8, (x + y + frame) as u8]
    };
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

pub fn write_video(path: &Path, settings: &VideoSettings, frames: usize, salt: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = VideoWriter::create(path, settings).unwrap();
    for frame in 0..frames {
        writer.write(&picture(settings, frame, salt)).unwrap();
    }
    writer.finish().unwrap();
}
