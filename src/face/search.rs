//! The search for the largest face in the frames of a clip. Cuts nothing out.

use std::collections::HashMap;

use image::RgbImage;

use super::course::Course;
use super::detection::{Face, FaceDetector};
use super::likeness::Thumbnail;
use super::path::{Frames, Path, follow};
use super::track::{Track, largest_track};
use crate::config::{FaceConfig, FaceTrack};
use crate::dataset::DataError;
use crate::video::HeldClip;

/// The course of the largest face of a clip.
pub(super) fn search(
    clip: &mut HeldClip,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<Course, DataError> {
    let (numbers, size) = (clip.numbers(), clip.size());
    let every = faces.detect_every.max(1);
    let mut pictures = Pictures { clip, min_size: faces.min_size, detector, small: HashMap::new() };
    match faces.track {
        FaceTrack::Follow => {
            let (path, searched) = follow(&mut pictures, numbers.len(), every)?;
            let following = |path: Path| Course::following(&path, numbers, faces, size, searched);
            Ok(path.map_or(Course::none(searched), following))
        }
        FaceTrack::Fixed => {
            let frames: Vec<_> = (0..numbers.len()).step_by(every).collect();
            let found: Vec<_> = frames.iter().copied().zip(pictures.faces(&frames)?).collect();
            let fixed = |track: Track| Course::fixed(track, numbers, faces, size, frames.len());
            Ok(largest_track(&found).map_or(Course::none(frames.len()), fixed))
        }
    }
}

/// Small pictures of the frames of a clip, made when they are needed.
struct Pictures<'a, 'c> {
    clip: &'a mut HeldClip<'c>,
    /// The smallest face, pixels of the video.
    min_size: usize,
    detector: &'a dyn FaceDetector,
    small: HashMap<usize, RgbImage>,
}

impl Pictures<'_, '_> {
    /// The factors by which coordinates of a small picture grow to those of the video.
    fn scale(&self, picture: &RgbImage) -> [f32; 2] {
        let [width, height] = self.clip.size().map(|side| side as f32);
        [width / picture.width().max(1) as f32, height / picture.height().max(1) as f32]
    }

    fn thumbnail(&mut self, frame: usize, face: &Face) -> Result<Thumbnail, DataError> {
        if !self.small.contains_key(&frame) {
            self.small.insert(frame, self.clip.small(frame)?);
        }
        let picture = &self.small[&frame];
        Ok(Thumbnail::of(picture, &face.scaled(self.scale(picture).map(f32::recip))))
    }
}

impl Frames for Pictures<'_, '_> {
    type Error = DataError;

    /// The faces are in pixels of the video.
    fn faces(&mut self, frames: &[usize]) -> Result<Vec<Vec<Face>>, DataError> {
        let mut found = Vec::with_capacity(frames.len());
        for frame in frames {
            let picture = match self.small.remove(frame) {
                Some(picture) => picture,
                None => self.clip.small(*frame)?,
            };
            let detected = self.detector.detect(std::slice::from_ref(&picture)).map_err(|error| self.clip.error(error))?;
            let scale = self.scale(&picture);
            let large_enough = |face: &Face| f64::from(face.side()) >= self.min_size as f64;
            found.push(detected.iter().flatten().map(|face| face.scaled(scale)).filter(large_enough).collect());
            self.small.insert(*frame, picture);
        }
        Ok(found)
    }

    fn alike(&mut self, a: (usize, &Face), b: (usize, &Face)) -> Result<bool, DataError> {
        Ok(self.thumbnail(a.0, a.1)?.is_like(&self.thumbnail(b.0, b.1)?))
    }
}
