//! The files of an explanation: a contact sheet, and a video. Computes no heatmap and draws no sheet; that is
//! `explain`.

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::error::{RunError, cannot_write};
use crate::demo::{DemoError, VideoSettings, VideoWriter};
use crate::drawing;
use crate::explain::Explanation;
use crate::files;

/// Slow enough to look at each frame: those of a clip are far apart in time.
const FRAMES_A_SECOND: u32 = 4;
/// Smaller frames are enlarged.
const LEAST_SIDE: u32 = 320;
const CRF: u32 = 18;

/// Writes `NAME.jpg` and `NAME.mp4` into a folder; returns the path of the first.
pub(super) fn write_explanation(
    explanation: &Explanation,
    sheet: &RgbImage,
    folder: &Path,
    name: &str,
) -> Result<PathBuf, RunError> {
    fs::create_dir_all(folder).map_err(cannot_write(folder))?;
    let path = folder.join(format!("{name}.jpg"));
    let jpeg = drawing::jpeg(sheet).map_err(RunError::format("the sheet cannot be made a JPEG"))?;
    files::write_whole(&path, &jpeg).map_err(cannot_write(&path))?;
    write_video(&explanation.overlays(), &folder.join(format!("{name}.mp4")))?;
    Ok(path)
}

fn write_video(frames: &[RgbImage], path: &Path) -> Result<(), DemoError> {
    let Some(first) = frames.first() else { return Ok(()) };
    let larger = LEAST_SIDE.div_ceil(first.width().min(first.height()).max(1)).max(1);
    // H.264 halves both sides for colour.
    let [width, height] = [first.width(), first.height()].map(|side| (side * larger).next_multiple_of(2));
    let settings = VideoSettings { width, height, fps: FRAMES_A_SECOND, crf: CRF, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(path, &settings)?;
    for frame in frames {
        writer.write(imageops::resize(frame, width, height, FilterType::CatmullRom).as_raw())?;
    }
    writer.finish()
}
