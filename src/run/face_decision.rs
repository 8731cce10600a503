//! Whether the faces of each data set are cut out, in training and evaluation. Cuts nothing out; that is
//! `face_reader.rs`. Prediction decides for each video, in `prediction.rs`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::clip_cache::{open_disk, plan_clip_cache};
use super::error::RunError;
use super::face_reader::load_face_detector;
use crate::clip::{ClipCache, decide_face_crops};
use crate::config::{Config, FaceMode};
use crate::dataset::Manifest;
use crate::video::ClipSpec;

/// Decides for each data set whether its faces are cut out, and notes it in the manifest.
pub(super) fn decide_faces(config: &Config, manifest: &mut Manifest, stop: &AtomicBool) -> Result<(), RunError> {
    let faces = &config.data.faces;
    match faces.mode {
        FaceMode::Off => manifest.sets.iter_mut().for_each(|set| set.crop_faces = false),
        FaceMode::Crop => {
            manifest.sets.iter_mut().for_each(|set| (set.crop_faces, set.shows_faces) = (true, Some(true)));
        }
        FaceMode::Auto => {
            let spec = ClipSpec::of(&config.data);
            let cache = ClipCache::new(0, open_disk(config, &plan_clip_cache(config, manifest, &spec, 0)));
            decide_face_crops(manifest, faces, &spec, &cache, &load_face_detector()?, stop)?;
        }
    }
    match stop.load(Ordering::Relaxed) {
        true => Err(RunError::INTERRUPTED),
        false => Ok(()),
    }
}
