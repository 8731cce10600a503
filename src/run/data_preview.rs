//! Writes a contact sheet of what training would cut out of some videos. Draws nothing; that is
//! `report/contact_sheet.rs`.

use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use image::ImageFormat;

use super::error::RunError;
use super::face_decision::decide_faces;
use super::face_reader::load_face_detector;
use crate::config::Config;
use crate::dataset::{Manifest, VideoRecord};
use crate::face::FaceDetector;
use crate::files;
use crate::report::contact_sheet;

/// Videos on the sheet.
const ROWS: usize = 16;

/// Draws what training would cut out of the videos, to a PNG file.
///
/// # Errors
/// The face detector cannot be used, the file cannot be written, or `stop` was set.
pub fn draw_data_preview(
    config: &Config,
    manifest: &mut Manifest,
    path: &Path,
    stop: &AtomicBool,
) -> Result<(), RunError> {
    decide_faces(config, manifest, stop)?;
    let needed =
        manifest.sets.iter().any(|set| set.crop_faces) || manifest.videos.iter().any(VideoRecord::is_self_blend);
    let detector = needed.then(load_face_detector).transpose()?;
    let detector = detector.as_ref().map(|detector| detector as &dyn FaceDetector);
    let sheet = contact_sheet(manifest, &config.data, detector, ROWS, stop)?;
    if stop.load(Ordering::Relaxed) {
        return Err(RunError::INTERRUPTED);
    }
    let mut png = Cursor::new(Vec::new());
    sheet.write_to(&mut png, ImageFormat::Png).map_err(RunError::format("the preview cannot be made a PNG"))?;
    files::write_whole(path, png.get_ref())
        .map_err(RunError::io(format!("{}: the preview cannot be written", path.display())))?;
    tracing::info!("preview: {}", path.display());
    Ok(())
}
