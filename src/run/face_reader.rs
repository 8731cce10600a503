//! Reads each video as whole frames or as cut-out faces, and counts the frames with a face. Which of the two has been
//! decided before, and is in the manifest.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::RunError;
use crate::clip::{ClipRequest, ClipSource, FurtherFaces, Notes, ReadClip, guarded};
use crate::config::{Config, FaceConfig, WhichFaces};
use crate::dataset::{DataError, Manifest};
use crate::face::{CenterFace, Course, FaceFacts, Take};
use crate::parallel::in_parallel;
use crate::progress::Bar;
use crate::video::ClipSpec;

/// The detector that faces are cut out with.
pub(super) fn load_face_detector() -> Result<CenterFace, RunError> {
    CenterFace::load().map_err(RunError::FaceDetector)
}

/// What was found in the videos that were read so far and whose faces are cut out, by video and face.
#[derive(Default)]
pub struct FaceCounts(Mutex<BTreeMap<(usize, usize), Found>>);

/// What was found in a video.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// The number of frames with the face.
    pub frames_with_face: usize,
    /// The number of frames that were left out because they do not show it.
    pub left_out: usize,
    /// The number in the video of each frame of the clip, where some were left out.
    pub frame_numbers: Vec<usize>,
    /// The first frame with the face, and its box there.
    pub first: Option<(usize, [f32; 4])>,
}

impl FaceCounts {
    pub(super) fn note(&self, video: usize, face: usize, facts: &FaceFacts) {
        let frame_numbers = if facts.left_out > 0 { facts.frame_numbers.clone() } else { Vec::new() };
        let &FaceFacts { frames_with_face, left_out, first, .. } = facts;
        self.found().insert((video, face), Found { frames_with_face, left_out, frame_numbers, first });
    }

    fn note_course(&self, video: usize, face: usize, course: &Course) {
        let [frames_with_face, left_out] = course.seen();
        self.found().insert((video, face), Found { frames_with_face, left_out, ..Found::default() });
    }

    pub(super) fn note_none(&self, video: usize) {
        self.found().insert((video, 0), Found::default());
    }

    /// Absent if no face is searched for.
    pub(super) fn of(&self, video: usize, face: usize) -> Option<Found> {
        self.found().get(&(video, face)).cloned()
    }

    /// Videos in which none was found.
    #[must_use]
    pub fn missed(&self) -> Vec<usize> {
        self.found().iter().filter(|(_, found)| found.frames_with_face == 0).map(|((video, _), _)| *video).collect()
    }

    /// Videos with frames that were left out of the clip of the largest face, and the number of these.
    pub(super) fn left_out(&self) -> Vec<(usize, usize)> {
        let found = self.found();
        let left_out = found.iter().filter(|((_, face), found)| *face == 0 && found.left_out > 0);
        left_out.map(|((video, _), found)| (*video, found.left_out)).collect()
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<(usize, usize), Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads whole frames or faces, as was decided for each data set, and counts the frames with a face.
pub(super) struct FaceReader {
    detector: CenterFace,
    faces: FaceConfig,
    /// All clips of a video.
    spec: ClipSpec,
    /// Of each video.
    takes: Vec<Take>,
    found: Arc<FaceCounts>,
}

impl FaceReader {
    /// For the videos of `manifest`, whose data sets are read as `takes`.
    pub(super) fn load(
        config: &Config,
        manifest: &Manifest,
        spec: ClipSpec,
        takes: &[Take],
        found: Arc<FaceCounts>,
    ) -> Result<Self, RunError> {
        let takes = manifest.videos.iter().map(|video| takes[video.set]).collect();
        Ok(Self { detector: load_face_detector()?, faces: config.data.faces.clone(), spec, takes, found })
    }

    pub(super) fn read(&self, request: &ClipRequest) -> Result<ReadClip, DataError> {
        let ClipRequest { video, face, footage, spec, draw, notes } = request;
        let take = self.takes[*video];
        // Frames are drawn anew each epoch, but where the faces are is found once.
        let courses = match draw.is_some() || self.faces.which == WhichFaces::All {
            true => self.courses(*video, notes)?,
            false => None,
        };
        let found = courses.as_ref().map_or(0, Vec::len);
        let reason = || format!("it had more than {face} faces when it was searched, and {found} now");
        let fewer = || DataError::Video { path: footage.path.clone(), reason: reason() };
        let course = courses.as_ref().map(|courses| courses.get(*face).ok_or_else(fewer)).transpose()?;
        let clip = take.read(notes.video(), spec, *draw, course, &self.faces, &self.detector);
        match &clip {
            Ok(clip) if take == Take::Faces => match course.filter(|_| draw.is_some()) {
                // Each epoch draws other frames, so the video is noted as it is in the course.
                Some(course) => self.found.note_course(*video, *face, course),
                None => self.found.note(*video, *face, &clip.facts),
            },
            Err(DataError::NoFace { .. }) => self.found.note_none(*video),
            _ => {}
        }
        let meta = |facts: &FaceFacts| if take == Take::WholeFrames { Vec::new() } else { facts.to_bytes() };
        clip.map(|clip| ReadClip { meta: meta(&clip.facts), usable_frames: clip.usable_frames, thwc: clip.thwc })
    }

    /// The courses of the faces of a video, from its notes if possible.
    fn courses(&self, video: usize, notes: &Notes) -> Result<Option<Vec<Course>>, DataError> {
        let take = self.takes[video];
        let name = format!("courses 1 over {} frames, {}", self.spec.frames, take.key(&self.faces));
        notes.kept(&name, || take.courses(notes.video(), &self.spec, &self.faces, &self.detector))
    }

    /// Searches for all faces of `videos`, where they are used. A video that cannot be read has none.
    pub(super) fn further_faces(
        &self,
        source: &ClipSource,
        mut videos: Vec<usize>,
        threads: usize,
        stop: &AtomicBool,
    ) -> FurtherFaces {
        videos.retain(|video| self.takes[*video] == Take::Faces);
        if self.faces.which == WhichFaces::Largest || videos.is_empty() {
            return FurtherFaces::default();
        }
        videos.sort_unstable();
        videos.dedup();
        let bar = Bar::new("faces", videos.len() as u64, 100);
        FurtherFaces::new(in_parallel(&videos, threads, stop, |video| {
            let courses = guarded(|| self.courses(*video, &source.notes(*video)).map_err(|error| error.to_string()));
            bar.advance(1, String::new);
            let courses = courses.unwrap_or_else(|reason| {
                tracing::warn!("no face besides the largest is used: {reason}");
                None
            });
            (*video, courses.map_or(0, |courses| courses.len()))
        }))
    }
}
