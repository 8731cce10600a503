//! The source of the clips of a data set: memory, disk, or the video. This file selects frames, self-blends and
//! augments as asked for. It knows nothing of batches, their order, and tensors.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::augment::Augmentation;
use super::cache::{ClipCache, Content, Notes, ReadClip};
use super::draw::Draw;
use super::self_blend;
use crate::config::{AugmentationConfig, Sampling};
use crate::dataset::{DataError, Footage, Label, Manifest, shown_videos};
use crate::video::{self, ClipSpec};

/// A clip, or the reason why there is none.
pub(crate) type Clip = Result<Arc<ReadClip>, String>;

/// Reads the clip of a video, by its index in the manifest. The third argument seeds random choices, as in
/// [`video::read_clip`].
pub type ClipReader = Arc<dyn Fn(usize, &Footage, Option<u64>, Notes) -> Result<ReadClip, DataError> + Send + Sync>;

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
    spec: ClipSpec,
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
        let reader: ClipReader = Arc::new(move |_, _, draw, notes| {
            video::read_clip(notes.video(), &spec, draw).map(|thwc| ReadClip { thwc, meta: Vec::new() })
        });
        let crop_keys = vec![String::new(); manifest.sets.len()];
        let (shown, training_spec) = (shown_videos(manifest), spec);
        Self {
            footage,
            contents,
            labels,
            shown,
            sets,
            spec,
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

    /// Sets the number of frames, drawn at random, of clips that are requested with a [`Draw`].
    #[must_use]
    pub fn with_training_frames(self, frames: usize) -> Self {
        assert!(frames <= self.spec.frames, "a clip has no more frames than it has");
        Self { training_spec: ClipSpec { frames, ..self.spec }, ..self }
    }

    /// The specification of clips.
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

    /// The frames of the clip of a video, as the network sees them without augmentation.
    ///
    /// # Errors
    /// Returns the reason why the clip could not be read.
    pub fn pictures(&self, video: usize) -> Result<Vec<RgbImage>, String> {
        let clip = self.clip(video, None)?;
        Ok(video::frames_of(&clip.thwc, self.spec.height, self.spec.width))
    }

    pub(crate) fn label(&self, video: usize) -> Label {
        self.labels[video]
    }

    /// The clip of a video, from the cache if possible; augmented if there is a draw. It never panics, because a
    /// waiting thread would wait forever.
    pub(crate) fn clip(&self, video: usize, draw: Option<Draw>) -> Clip {
        guarded(|| {
            let clip = self.original(video, draw)?;
            let frames = self.frames_taken(video, draw);
            let clip = match self.is_self_blend(video) {
                true => {
                    // Without a draw, the seed is always the same.
                    let draw = draw.unwrap_or(Draw { seed: 0, epoch: 0 });
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
            Ok(Arc::new(ReadClip { thwc, meta: clip.meta.clone() }))
        })
    }

    fn is_self_blend(&self, video: usize) -> bool {
        self.shown[video] != video
    }

    /// The frames of a clip that are used: all, or the number for training, in order.
    fn frames_taken(&self, video: usize, draw: Option<Draw>) -> Vec<usize> {
        let (all, some) = (self.spec.frames, self.training_spec.frames);
        match draw.filter(|_| some < all) {
            None => (0..all).collect(),
            Some(draw) => {
                let mut rng = ChaCha8Rng::seed_from_u64(draw.of(video, "subset"));
                let mut frames = rand::seq::index::sample(&mut rng, all, some).into_vec();
                frames.sort_unstable();
                frames
            }
        }
    }

    fn select_frames(&self, clip: Arc<ReadClip>, frames: &[usize]) -> Arc<ReadClip> {
        if frames.len() == self.spec.frames {
            return clip;
        }
        let frame_bytes = self.spec.clip_bytes() / self.spec.frames;
        let of = |frame: &usize| &clip.thwc[frame * frame_bytes..(frame + 1) * frame_bytes];
        let thwc = frames.iter().map(of).collect::<Vec<_>>().concat();
        Arc::new(ReadClip { thwc, meta: clip.meta.clone() })
    }

    fn original(&self, video: usize, draw: Option<Draw>) -> Clip {
        let shown = self.shown[video];
        // Frames that are drawn anew each epoch are never requested again, so they are not cached.
        if let (Sampling::RandomSegment, Some(draw)) = (self.spec.sampling, draw) {
            self.cache.count_bypassed();
            return self.read(shown, Some(draw.of(video, "frames"))).map(Arc::new).map_err(reason);
        }
        match self.cache.get(shown, self.content(shown), &self.spec, self.crop_key(shown)) {
            Some(clip) => Ok(clip),
            None => self.read_and_keep(shown).map_err(reason),
        }
    }

    /// Reads the clip of a video that is not cached. That a video shows no face is cached like a clip.
    pub(super) fn read_and_keep(&self, video: usize) -> Result<Arc<ReadClip>, DataError> {
        let (content, key) = (self.content(video), self.crop_key(video));
        let (notes, no_face) = (self.notes(video), format!("no face in {} frames, {key}", self.spec.frames));
        if let Some(looked_at) = notes.get(&no_face) {
            return Err(DataError::NoFace { path: self.footage[video].path.clone(), looked_at });
        }
        let read = self.read(video, None).map(Arc::new);
        match &read {
            Ok(clip) => self.cache.insert(video, clip, content, &self.spec, key),
            Err(DataError::NoFace { looked_at, .. }) => notes.keep(&no_face, looked_at),
            Err(_) => {}
        }
        read
    }

    fn read(&self, video: usize, draw: Option<u64>) -> Result<ReadClip, DataError> {
        let footage = &self.footage[video];
        let clip = (self.reader)(video, footage, draw, self.notes(video))?;
        let (bytes, wanted) = (clip.thwc.len(), self.spec.clip_bytes());
        match bytes == wanted {
            true => Ok(clip),
            false => Err(DataError::Video {
                path: footage.path.clone(),
                reason: format!("its clip has {bytes} bytes instead of {wanted}"),
            }),
        }
    }

    pub(super) fn content(&self, video: usize) -> Content {
        if let Some(content) = self.contents[video].get() {
            return *content;
        }
        // What is not known now may be later.
        let content = self.cache.content(&self.footage[video]);
        if content.is_known() { *self.contents[video].get_or_init(|| content) } else { content }
    }

    pub(super) fn notes(&self, video: usize) -> Notes<'_> {
        Notes::new(&self.cache, self.content(video), &self.footage[video], &self.spec)
    }

    pub(super) fn crop_key(&self, video: usize) -> &str {
        &self.crop_keys[self.sets[video]]
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

pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("reading it failed unexpectedly: {}", text.unwrap_or("no reason given")))
    })
}
