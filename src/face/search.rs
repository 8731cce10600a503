//! The search for faces in the frames of a clip. Cuts nothing out.

use std::collections::HashMap;

use image::RgbImage;

use super::course::Course;
use super::detection::{Face, FaceDetector};
use super::followed::{Frames, follow};
use super::likeness::Template;
use super::track::{Track, tracks};
use crate::config::{FaceConfig, FaceTrack, WhichFaces};
use crate::dataset::DataError;
use crate::video::HeldClip;

/// The largest number of faces that are followed: in a crowd, each is searched for in more frames.
const MOST_FACES: usize = 8;

/// The courses of the faces of a clip that are used, the largest first; a single one without a face if there is none.
pub(super) fn search(
    clip: &mut HeldClip,
    faces: &FaceConfig,
    detector: &dyn FaceDetector,
) -> Result<Vec<Course>, DataError> {
    let (numbers, size) = (clip.numbers(), clip.size());
    if size.contains(&0) {
        return Err(clip.error("the size of its frames is not known".into()));
    }
    let every = faces.detect_every.max(1);
    let most = if faces.which == WhichFaces::All { MOST_FACES } else { 1 };
    let large_enough = |track: &Track| track.side() >= faces.min_size as f64;
    let mut pictures = Pictures { clip, detector, templates: HashMap::new() };
    let (mut courses, searched): (Vec<_>, _) = match faces.track {
        FaceTrack::Follow => {
            let (followed, searched) = follow(&mut pictures, numbers.len(), every, most)?;
            let followed = followed.iter().filter(|followed| large_enough(&followed.track));
            (followed.map(|it| Course::following(it, &numbers, faces, size, searched)).collect(), searched)
        }
        FaceTrack::Fixed => {
            let frames: Vec<_> = (0..numbers.len()).step_by(every).collect();
            let found: Vec<_> = frames.iter().copied().zip(pictures.faces(&frames)?).collect();
            let tracks = tracks(&found).into_iter().take(most).filter(large_enough);
            (tracks.map(|it| Course::fixed(&it, &numbers, faces, size, frames.len())).collect(), frames.len())
        }
    };
    tracing::debug!(
        "{}: {searched} of {} frames were searched for faces",
        pictures.clip.path().display(),
        numbers.len()
    );
    if courses.is_empty() {
        courses.push(Course::none(searched));
    }
    Ok(courses)
}

/// Small pictures of the frames of a clip, made when they are needed.
struct Pictures<'a, 'c> {
    clip: &'a mut HeldClip<'c>,
    detector: &'a dyn FaceDetector,
    /// The faces of searched frames, with their boxes.
    templates: HashMap<usize, ([f32; 4], Template)>,
}

impl Pictures<'_, '_> {
    /// The factors by which coordinates of a small picture grow to those of the video.
    fn scale(&self, picture: &RgbImage) -> [f32; 2] {
        let [width, height] = self.clip.size().map(|side| side as f32);
        [width / picture.width().max(1) as f32, height / picture.height().max(1) as f32]
    }

    /// A small picture of a frame, and the face in pixels of that.
    fn picture(&mut self, frame: usize, face: &Face) -> Result<(RgbImage, Face), DataError> {
        let picture = self.clip.small(frame)?;
        let face = face.scaled(self.scale(&picture).map(f32::recip));
        Ok((picture, face))
    }
}

impl Frames for Pictures<'_, '_> {
    type Error = DataError;

    /// The faces are in pixels of the video.
    fn faces(&mut self, frames: &[usize]) -> Result<Vec<Vec<Face>>, DataError> {
        let mut found = Vec::with_capacity(frames.len());
        for frame in frames {
            let picture = self.clip.small(*frame)?;
            let scale = self.scale(&picture);
            let faces = self.detector.detect(std::slice::from_ref(&picture)).map_err(|error| self.clip.error(error))?;
            found.push(faces.iter().flatten().map(|face| face.scaled(scale)).collect());
        }
        Ok(found)
    }

    fn alike(&mut self, (frame, face): (usize, &Face), searched: (usize, &Face)) -> Result<bool, DataError> {
        if self.templates.get(&searched.0).is_none_or(|(corners, _)| *corners != searched.1.corners) {
            let (picture, face) = self.picture(searched.0, searched.1)?;
            self.templates.insert(searched.0, (searched.1.corners, Template::of(&picture, &face)));
        }
        let (picture, face) = self.picture(frame, face)?;
        Ok(self.templates[&searched.0].1.is_at(&picture, &face))
    }
}
