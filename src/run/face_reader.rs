//! Reads each video as whole frames or as cut-out faces, and counts the frames with a face. Which of the two has been
//! decided before, and is in the manifest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::RunError;
use crate::clip::{ClipReader, ReadClip};
use crate::config::Config;
use crate::dataset::{DataError, Manifest};
use crate::face::{CenterFace, Course, FaceFacts, Take};
use crate::video::ClipSpec;

/// The detector that faces are cut out with.
pub(super) fn load_face_detector() -> Result<CenterFace, RunError> {
    CenterFace::load().map_err(RunError::FaceDetector)
}

/// What was found in the videos that were read so far and whose faces are cut out.
#[derive(Default)]
pub struct FaceCounts(Mutex<BTreeMap<usize, Found>>);

/// What was found in a video.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// The number of frames with the face.
    pub frames_with_face: usize,
    /// The number of frames that were left out because they do not show it.
    pub left_out: usize,
    /// The number in the video of each frame of the clip, where some were left out.
    pub frame_numbers: Vec<usize>,
}

impl FaceCounts {
    pub(super) fn note(&self, video: usize, facts: &FaceFacts) {
        let frame_numbers = if facts.left_out > 0 { facts.frame_numbers.clone() } else { Vec::new() };
        let found = Found { frames_with_face: facts.frames_with_face, left_out: facts.left_out, frame_numbers };
        self.found().insert(video, found);
    }

    fn note_course(&self, video: usize, course: &Course) {
        let [frames_with_face, left_out] = course.seen();
        self.found().insert(video, Found { frames_with_face, left_out, frame_numbers: Vec::new() });
    }

    pub(super) fn note_none(&self, video: usize) {
        self.found().insert(video, Found::default());
    }

    /// Absent if no face is searched for.
    pub(super) fn of(&self, video: usize) -> Option<Found> {
        self.found().get(&video).cloned()
    }

    /// Videos in which none was found.
    #[must_use]
    pub fn missed(&self) -> Vec<usize> {
        self.found().iter().filter(|(_, found)| found.frames_with_face == 0).map(|(video, _)| *video).collect()
    }

    /// Videos with frames that were left out, and the number of these.
    pub(super) fn left_out(&self) -> Vec<(usize, usize)> {
        let found = self.found();
        let left_out = found.iter().filter(|(_, found)| found.left_out > 0);
        left_out.map(|(video, found)| (*video, found.left_out)).collect()
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<usize, Found>> {
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
    Ok(Arc::new(move |video, _, draw, notes| {
        let take = takes[sets[video]];
        // Frames are drawn anew each epoch, but where the face is is found once.
        let name = || format!("course 1 over {} frames, {}", spec.frames, take.key(&faces));
        let find = || take.course(notes.video(), &spec, &faces, &detector);
        let course = draw.and_then(|_| notes.kept(&name(), find).transpose()).transpose()?;
        let clip = take.read(notes.video(), &spec, draw, course.as_ref(), &faces, &detector);
        match &clip {
            Ok(clip) if take == Take::Faces => match &course {
                // Each epoch draws other frames, so the video is noted as it is in the course.
                Some(course) => found.note_course(video, course),
                None => found.note(video, &clip.facts),
            },
            Err(DataError::NoFace { .. }) => found.note_none(video),
            _ => {}
        }
        let meta = |facts: &FaceFacts| if take == Take::WholeFrames { Vec::new() } else { facts.to_bytes() };
        clip.map(|clip| ReadClip { meta: meta(&clip.facts), thwc: clip.thwc })
    }))
}
