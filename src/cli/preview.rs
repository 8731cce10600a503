//! `dfdetect data scan --preview`: the contact sheet of some videos, as a file.

use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use image::ImageFormat;

use super::Interrupted;
use super::pipeline::{decide_faces, load_detector};
use crate::config::Config;
use crate::dataset::{Manifest, VideoRecord};
use crate::face::FaceDetector;
use crate::files;
use crate::report::contact_sheet;

/// Videos on the sheet.
const ROWS: usize = 16;

/// Draws what training would cut out of the videos.
pub(super) fn draw(config: &Config, manifest: &mut Manifest, path: &Path, stop: &AtomicBool) -> Result<()> {
    decide_faces(config, manifest, stop)?;
    let needed =
        manifest.sets.iter().any(|set| set.crop_faces) || manifest.videos.iter().any(VideoRecord::is_self_blend);
    let detector = needed.then(load_detector).transpose()?;
    let detector = detector.as_ref().map(|detector| detector as &dyn FaceDetector);
    let sheet = contact_sheet(manifest, &config.data, detector, ROWS, stop)?;
    if stop.load(Ordering::Relaxed) {
        return Err(Interrupted(None).into());
    }
    let mut png = Cursor::new(Vec::new());
    sheet.write_to(&mut png, ImageFormat::Png).context("the preview cannot be made a PNG")?;
    files::write_whole(path, png.get_ref())
        .with_context(|| format!("{}: the preview cannot be written", path.display()))?;
    tracing::info!("preview: {}", path.display());
    Ok(())
}
