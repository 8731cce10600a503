//! Reads each video as whole frames or as cut-out faces, and counts the frames with a face. Which of the two has been
//! decided before, and is in the manifest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::RunError;
use crate::clip::{ClipReader, ReadClip};
use crate::config::Config;
use crate::dataset::{DataError, Manifest};
use crate::face::{CenterFace, FaceFacts, Take};
use crate::video::ClipSpec;

/// The detector that faces are cut out with.
pub(super) fn load_face_detector() -> Result<CenterFace, RunError> {
    CenterFace::load().map_err(RunError::FaceDetector)
}

/// The number of frames with a face, for each video that was read so far.
#[derive(Default)]
pub struct FaceCounts(Mutex<BTreeMap<usize, usize>>);

impl FaceCounts {
    pub(super) fn note(&self, video: usize, frames_with_face: usize) {
        self.found().insert(video, frames_with_face);
    }

    /// Absent if no face is searched for.
    #[must_use]
    pub fn frames_with_face(&self, video: usize) -> Option<usize> {
        self.found().get(&video).copied()
    }

    /// Videos in which none was found.
    #[must_use]
    pub fn missed(&self) -> Vec<usize> {
        self.found().iter().filter(|(_, frames)| **frames == 0).map(|(video, _)| *video).collect()
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader of whole frames or faces, as `takes` says for each data set. It counts the frames with a face in `found`.
pub(super) fn face_reader(
    config: &Config,
    manifest: &Manifest,
    spec: ClipSpec,
    takes: Vec<Take>,
    found: Arc<FaceCounts>,
) -> Result<ClipReader, RunError> {
    let detector = load_face_detector()?;
    let faces = config.data.faces.clone();
    let sets: Vec<usize> = manifest.videos.iter().map(|video| video.set).collect();
    Ok(Arc::new(move |video, footage, draw, notes| {
        let take = takes[sets[video]];
        // Frames are drawn anew each epoch, but where the face is is found once.
        let name = || format!("course 1 over {} frames, {}", spec.frames, take.key(&faces));
        let find = || take.course(footage, &spec, &faces, &detector);
        let course = draw.and_then(|_| notes.kept(&name(), find).transpose()).transpose()?;
        let clip = take.read(footage, &spec, draw, course.as_ref(), &faces, &detector);
        match &clip {
            Ok(clip) if take == Take::Faces => found.note(video, clip.facts.frames_with_face),
            Err(DataError::NoFace { .. }) => found.note(video, 0),
            _ => {}
        }
        let meta = |facts: &FaceFacts| if take == Take::WholeFrames { Vec::new() } else { facts.to_bytes() };
        clip.map(|clip| ReadClip { meta: meta(&clip.facts), thwc: clip.thwc })
    }))
}
