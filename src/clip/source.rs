//! The source of the clips of a data set: memory, disk, or the video. This file selects frames, self-blends and
//! augments as asked for. It knows nothing of batches, their order, and tensors.

use std::borrow::Cow;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::augment::Augmentation;
use super::cache::{ClipCache, Content, Notes, ReadClip};
use super::draw::Draw;
use super::further_faces::FurtherFaces;
use super::self_blend;
use crate::config::{AugmentationConfig, Sampling};
use crate::dataset::{DataError, Footage, Label, Manifest, shown_videos};
use crate::video::{self, ClipSpec, ReadFrames};

/// The pauses before a clip for which there was no memory is read again. After the last one it counts as unreadable.
const PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// A clip, or the reason why there is none.
pub(crate) type Clip = Result<Arc<ReadClip>, String>;

/// A clip that is to be read.
pub struct ClipRequest<'a> {
    /// The index of the video in the manifest.
    pub video: usize,
    /// Which of its faces is cut out, by their size; 0 is the largest.
    pub face: usize,
    /// Its files.
    pub footage: &'a Footage,
    /// The clip.
    pub spec: &'a ClipSpec,
    /// Seeds random choices, as in [`video::read_clip`].
    pub draw: Option<u64>,
    /// What is noted about the video.
    pub notes: Notes<'a>,
}

/// Reads clips.
pub type ClipReader = Arc<dyn Fn(&ClipRequest) -> Result<ReadClip, DataError> + Send + Sync>;

/// The source of the clips of all videos of a manifest.
pub struct ClipSource {
    pub(super) footage: Vec<Footage>,
    /// The content of each video, determined before it is first read.
    contents: Vec<OnceLock<Content>>,
    labels: Vec<Label>,
    /// For each video, the index of the video whose frames it shows: itself, or the real of a self-blended fake.
    shown: Vec<usize>,
    /// For each video, the index of its data set.
    sets: Vec<usize>,
    further_faces: FurtherFaces,
    /// All clips of a video, one after the other.
    spec: ClipSpec,
    clips_a_video: usize,
    cache: Arc<ClipCache>,
    reader: ClipReader,
    crop_keys: Vec<String>,
    augmentation: Option<Augmentation>,
    /// The specification of clips that are requested with a [`Draw`].
    training_spec: ClipSpec,
}

impl ClipSource {
    /// Whole frames of the videos of `manifest`, by their index, as `spec` describes.
    #[must_use]
    pub fn new(manifest: &Manifest, spec: ClipSpec, cache: Arc<ClipCache>) -> Self {
        let footage: Vec<_> = (0..manifest.videos.len()).map(|video| manifest.footage(video)).collect();
        let contents = vec![OnceLock::new(); footage.len()];
        let labels = manifest.videos.iter().map(|video| video.label).collect();
        let sets = manifest.videos.iter().map(|video| video.set).collect();
        let reader: ClipReader = Arc::new(|request| {
            let ReadFrames { thwc, usable_frames } =
                video::read_clip(request.notes.video(), request.spec, request.draw)?;
            Ok(ReadClip { thwc, usable_frames, meta: Vec::new() })
        });
        let crop_keys = vec![String::new(); manifest.sets.len()];
        let (shown, training_spec) = (shown_videos(manifest), spec);
        Self {
            footage,
            contents,
            labels,
            shown,
            sets,
            further_faces: FurtherFaces::default(),
            spec,
            clips_a_video: 1,
            cache,
            reader,
            crop_keys,
            augmentation: None,
            training_spec,
        }
    }

    /// Uses `reader` to read videos. `crop_keys` has, for each data set, the settings of the reader apart from the
    /// [`ClipSpec`]; they are part of the key in the cache.
    #[must_use]
    pub fn with_reader(self, reader: ClipReader, crop_keys: Vec<String>) -> Self {
        assert_eq!(crop_keys.len(), self.crop_keys.len(), "one key a data set");
        Self { reader, crop_keys, ..self }
    }

    /// Augments clips that are requested with a [`Draw`].
    #[must_use]
    pub fn with_augmentation(self, config: &AugmentationConfig) -> Self {
        Self { augmentation: config.enabled.then(|| Augmentation::new(config)), ..self }
    }

    /// Takes several clips of each video. A clip that is requested with a [`Draw`] is one of them, and has this number
    /// of its frames, drawn at random; other requests get all of them as one.
    #[must_use]
    pub fn with_training_frames(self, clips_a_video: usize, frames: usize) -> Self {
        assert!(frames * clips_a_video <= self.spec.frames, "a clip has no more frames than it has");
        Self { clips_a_video, training_spec: ClipSpec { frames, ..self.spec }, ..self }
    }

    /// Takes a clip of each of the further faces, too.
    #[must_use]
    pub fn with_further_faces(self, further_faces: FurtherFaces) -> Self {
        Self { further_faces, ..self }
    }

    /// The numbers of a video's clips: that of the largest face, then that of each further one.
    #[must_use]
    pub fn clips_of(&self, video: usize) -> Vec<usize> {
        let further = self.further_faces.of(video).map(|further| self.footage.len() + further);
        std::iter::once(video).chain(further).collect()
    }

    /// The video and the face of a clip.
    #[must_use]
    pub fn face_of(&self, clip: usize) -> (usize, usize) {
        clip.checked_sub(self.footage.len()).map_or((clip, 0), |further| self.further_faces.faces[further])
    }

    /// The specification of clips: of all clips of a video, one after the other.
    #[must_use]
    pub fn spec(&self) -> &ClipSpec {
        &self.spec
    }

    /// The specification of clips that are requested with a [`Draw`].
    #[must_use]
    pub fn training_spec(&self) -> &ClipSpec {
        &self.training_spec
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &ClipCache {
        &self.cache
    }

    /// The frames of a clip, as the network sees them without augmentation.
    ///
    /// # Errors
    /// Returns the reason why the clip could not be read.
    pub fn pictures(&self, clip: usize) -> Result<Vec<RgbImage>, String> {
        let clip = self.clip(clip, None)?;
        Ok(video::frames_of(&clip.thwc, self.spec.height, self.spec.width))
    }

    pub(crate) fn label(&self, clip: usize) -> Label {
        self.labels[self.face_of(clip).0]
    }

    /// A clip by the number of its video, or by one of those of [`clips_of`](Self::clips_of), from the cache if
    /// possible. With a draw, it is augmented, and of a face that is drawn. It never panics, because a waiting thread
    /// would wait forever.
    pub(crate) fn clip(&self, clip: usize, draw: Option<Draw>) -> Clip {
        guarded(|| {
            let (video, _) = self.face_of(clip);
            let clip = self.original(clip, draw)?;
            let frames = self.frames_taken(video, draw);
            let clip = match self.is_self_blend(video) {
                true => {
                    // Without a draw, the seed is always the same.
                    let draw = draw.unwrap_or(Draw::new(0, 0));
                    Arc::new(self_blend::blended(&clip, &self.spec, &frames, draw.of(video, "self-blend"))?)
                }
                false => self.select_frames(clip, &frames),
            };
            let (Some(augmentation), Some(draw)) = (&self.augmentation, draw) else {
                return Ok(clip);
            };
            // The cache may share the original, so a copy is changed.
            let shape = [self.training_spec.frames, self.spec.height, self.spec.width];
            let thwc = augmentation.apply(&clip.thwc, shape, draw.of(video, "augmentation"));
            Ok(Arc::new(ReadClip { thwc, ..clip.without_pixels() }))
        })
    }

    fn is_self_blend(&self, video: usize) -> bool {
        self.shown[video] != video
    }

    /// The frames of the clips of a video that are used: all, or the number for training of one clip, in order.
    fn frames_taken(&self, video: usize, draw: Option<Draw>) -> Vec<usize> {
        let Some(draw) = draw else { return (0..self.spec.frames).collect() };
        let (all, some) = (self.spec.frames / self.clips_a_video, self.training_spec.frames);
        let start = draw.clip(video, self.clips_a_video) * all;
        if some == all {
            return (start..start + all).collect();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(draw.of(video, "subset"));
        let mut frames = rand::seq::index::sample(&mut rng, all, some).into_vec();
        frames.sort_unstable();
        frames.iter_mut().for_each(|frame| *frame += start);
        frames
    }

    /// Whether the frames of a clip are drawn anew each epoch, and therefore not cached.
    fn is_drawn_anew(&self, draw: Option<Draw>) -> bool {
        self.spec.sampling == Sampling::RandomSegment && draw.is_some()
    }

    fn select_frames(&self, clip: Arc<ReadClip>, frames: &[usize]) -> Arc<ReadClip> {
        let frame_bytes = self.spec.clip_bytes() / self.spec.frames;
        if frames.len() * frame_bytes == clip.thwc.len() {
            return clip;
        }
        let of = |frame: &usize| &clip.thwc[frame * frame_bytes..(frame + 1) * frame_bytes];
        let thwc = frames.iter().map(of).collect::<Vec<_>>().concat();
        Arc::new(ReadClip { thwc, ..clip.without_pixels() })
    }

    fn original(&self, clip: usize, draw: Option<Draw>) -> Clip {
        let (video, _) = self.face_of(clip);
        // A self-blended fake shows any face of its real, as the real does, so that size does not tell them apart.
        let shown = self.drawn_face(if self.is_self_blend(video) { self.shown[video] } else { clip }, draw);
        if let Some(drawn) = draw.filter(|_| self.is_drawn_anew(draw)) {
            self.cache.count_bypassed();
            let draw = drawn.of(video, "frames");
            return self.read(shown, &self.spec, Some(draw)).map(Arc::new).map_err(reason);
        }
        match self.cache.get(shown, self.content(shown), &self.spec, &self.crop_key(shown)) {
            Some(clip) => Ok(clip),
            None => self.read_and_keep(shown).map_err(reason),
        }
    }

    /// A clip of one of the faces of the video.
    fn drawn_face(&self, clip: usize, draw: Option<Draw>) -> usize {
        let clips = self.clips_of(clip);
        match draw.filter(|_| clips.len() > 1) {
            Some(draw) => clips[(draw.of(clip, "face") % clips.len() as u64) as usize],
            None => clip,
        }
    }

    /// Reads a clip that is not cached. That a video shows no face is cached like a clip.
    pub(super) fn read_and_keep(&self, clip: usize) -> Result<Arc<ReadClip>, DataError> {
        let (content, key) = (self.content(clip), self.crop_key(clip));
        let (video, _) = self.face_of(clip);
        let (notes, no_face) = (self.notes(video), format!("no face in {} frames, {key}", self.spec.frames));
        if let Some(looked_at) = notes.get(&no_face) {
            return Err(DataError::NoFace { path: self.footage[video].path.clone(), looked_at });
        }
        let read = self.read(clip, &self.spec, None).map(Arc::new);
        match &read {
            Ok(read) => self.cache.insert(clip, read, content, &self.spec, &key),
            Err(DataError::NoFace { looked_at, .. }) => notes.keep(&no_face, looked_at),
            Err(_) => {}
        }
        read
    }

    /// Reads a clip. Where there is no memory for it, the cache in memory is halved, and the clip is read again after a
    /// pause.
    fn read(&self, clip: usize, spec: &ClipSpec, draw: Option<u64>) -> Result<ReadClip, DataError> {
        for pause in PAUSES {
            match self.read_once(clip, spec, draw) {
                Err(error @ DataError::NoMemory { .. }) => {
                    tracing::warn!("{error}; it is tried again in {} s", pause.as_secs());
                    self.cache.shrink();
                    thread::sleep(pause);
                }
                result => return result,
            }
        }
        self.read_once(clip, spec, draw)
    }

    fn read_once(&self, clip: usize, spec: &ClipSpec, draw: Option<u64>) -> Result<ReadClip, DataError> {
        let (video, face) = self.face_of(clip);
        let footage = &self.footage[video];
        let clip = (self.reader)(&ClipRequest { video, face, footage, spec, draw, notes: self.notes(video) })?;
        let (bytes, wanted) = (clip.thwc.len(), spec.clip_bytes());
        match bytes == wanted {
            true => Ok(clip),
            false => Err(DataError::Video {
                path: footage.path.clone(),
                reason: format!("its clip has {bytes} bytes instead of {wanted}"),
            }),
        }
    }

    pub(super) fn content(&self, clip: usize) -> Content {
        let (video, _) = self.face_of(clip);
        if let Some(content) = self.contents[video].get() {
            return *content;
        }
        // What is not known now may be later.
        let content = self.cache.content(&self.footage[video]);
        if content.is_known() { *self.contents[video].get_or_init(|| content) } else { content }
    }

    /// What is noted about a video.
    #[must_use]
    pub fn notes(&self, video: usize) -> Notes<'_> {
        Notes::new(&self.cache, self.content(video), &self.footage[video], &self.spec)
    }

    pub(super) fn crop_key(&self, clip: usize) -> Cow<'_, str> {
        let (video, face) = self.face_of(clip);
        let key = &self.crop_keys[self.sets[video]];
        if face == 0 { Cow::Borrowed(key) } else { Cow::Owned(format!("{key}, face {face}")) }
    }
}

impl fmt::Debug for ClipSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClipSource")
            .field("videos", &self.footage.len())
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// The reason without the name of the video, which the caller adds.
pub(super) fn reason(error: DataError) -> String {
    match error {
        DataError::Video { reason, .. } => reason,
        DataError::NoFace { looked_at, .. } => format!("no face was found in {looked_at} frames"),
        other => other.to_string(),
    }
}

/// The result of `work`, also if it panics.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("reading it failed unexpectedly: {}", text.unwrap_or("no reason given")))
    })
}
