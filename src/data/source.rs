//! Where the clips of a data set come from: memory, disk, or else the video. And what is done once before training.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::DataError;
use super::augment::Augmentation;
use super::cache::{ClipCache, ReadClip};
use super::decode::{self, ClipSpec};
use super::manifest::{Footage, Label, Manifest};
use super::plan::Draw;
use super::self_blend;
use crate::config::{AugmentationConfig, Sampling};
use crate::progress::Bar;

/// A clip, or why there is none.
pub(super) type Clip = Result<Arc<ReadClip>, String>;

/// Makes the clip of a video, by its number in the manifest; the last argument seeds what is random, as in
/// [`decode::read_clip`].
pub type ClipReader = Arc<dyn Fn(usize, &Footage, Option<u64>) -> Result<ReadClip, DataError> + Send + Sync>;

/// All that is needed to get the clip of any video of a manifest.
pub struct ClipSource {
    footage: Vec<Footage>,
    labels: Vec<Label>,
    /// Whose frames each video shows: its own, but for forgeries that are made of a real.
    shown: Vec<usize>,
    /// Which data set each video is from.
    sets: Vec<usize>,
    spec: ClipSpec,
    cache: Arc<ClipCache>,
    reader: ClipReader,
    crop_keys: Vec<String>,
    augmentation: Option<Augmentation>,
    /// How clips that are asked for with a [`Draw`] are taken.
    training_spec: ClipSpec,
}

/// What became of a video before training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// Its clip was there already; the video was not opened. With what is kept with the clip.
    Cached(Vec<u8>),
    /// It was read, and kept where there was room. With what is kept with the clip.
    Read(Vec<u8>),
    /// There was no room for its clip, or its frames are drawn anew each epoch; so it was only looked at.
    Probed,
    /// It shows no face where faces are cut out; with that in words.
    NoFace(String),
    /// It cannot be used for another reason.
    Unusable(String),
}

impl Prepared {
    /// Why it cannot be used, if so.
    #[must_use]
    pub fn unusable(&self) -> Option<&str> {
        match self {
            Self::NoFace(reason) | Self::Unusable(reason) => Some(reason),
            Self::Cached(_) | Self::Read(_) | Self::Probed => None,
        }
    }
}

impl ClipSource {
    /// Clips as `spec` wants them, of the videos of `manifest` by their number there: whole frames, as they are.
    #[must_use]
    pub fn new(manifest: &Manifest, spec: ClipSpec, cache: Arc<ClipCache>) -> Self {
        let footage = (0..manifest.videos.len()).map(|video| manifest.footage(video)).collect();
        let labels = manifest.videos.iter().map(|video| video.label).collect();
        let sets = manifest.videos.iter().map(|video| video.set).collect();
        let reader: ClipReader = Arc::new(move |_, footage, draw| {
            decode::read_clip(footage, &spec, draw).map(|thwc| ReadClip { thwc, meta: Vec::new() })
        });
        let crop_keys = vec![String::new(); manifest.sets.len()];
        let (shown, training_spec) = (manifest.shown(), spec);
        Self { footage, labels, shown, sets, spec, cache, reader, crop_keys, augmentation: None, training_spec }
    }

    /// Reads videos by `reader` instead. `crop_keys` has, for each data set, all that decides what the reader makes of a
    /// video beyond the [`ClipSpec`]; clips with other keys are other clips to the cache.
    #[must_use]
    pub fn with_reader(self, reader: ClipReader, crop_keys: Vec<String>) -> Self {
        assert_eq!(crop_keys.len(), self.crop_keys.len(), "one key a data set");
        Self { reader, crop_keys, ..self }
    }

    /// Varies clips that are asked for with a [`Draw`].
    #[must_use]
    pub fn with_augmentation(self, config: &AugmentationConfig) -> Self {
        Self { augmentation: config.enabled.then(|| Augmentation::new(config)), ..self }
    }

    /// Of clips that are asked for with a [`Draw`], takes this many frames, drawn at random.
    #[must_use]
    pub fn with_training_frames(self, frames: usize) -> Self {
        assert!(frames <= self.spec.frames, "a clip has no more frames than it has");
        Self { training_spec: ClipSpec { frames, ..self.spec }, ..self }
    }

    /// How clips are taken.
    #[must_use]
    pub fn spec(&self) -> &ClipSpec {
        &self.spec
    }

    /// How clips that are asked for with a [`Draw`] are taken.
    #[must_use]
    pub fn training_spec(&self) -> &ClipSpec {
        &self.training_spec
    }

    /// The clips that are kept.
    #[must_use]
    pub fn cache(&self) -> &ClipCache {
        &self.cache
    }

    /// The frames of a video's clip, as the network sees them where nothing is varied.
    ///
    /// # Errors
    /// The reason why there are none.
    pub fn pictures(&self, video: usize) -> Result<Vec<RgbImage>, String> {
        let clip = self.clip(video, None)?;
        Ok(decode::frames_of(&clip.thwc, self.spec.height, self.spec.width))
    }

    pub(super) fn label(&self, video: usize) -> Label {
        self.labels[video]
    }

    /// The clip of a video, from the cache if it is there; varied where there is a draw. Never panics: a thread that
    /// waits would wait for ever.
    pub(super) fn clip(&self, video: usize, draw: Option<Draw>) -> Clip {
        guarded(|| {
            let clip = self.original(video, draw)?;
            let frames = self.frames_taken(video, draw);
            let clip = match self.is_self_blend(video) {
                true => {
                    // Without a draw, it is the same one every time.
                    let draw = draw.unwrap_or(Draw { seed: 0, epoch: 0 });
                    Arc::new(self_blend::blended(&clip, &self.spec, &frames, draw.of(video, "self-blend"))?)
                }
                false => self.some_frames(clip, &frames),
            };
            let (Some(augmentation), Some(draw)) = (&self.augmentation, draw) else {
                return Ok(clip);
            };
            // The cache may hold the original too, so what is changed is a copy.
            let shape = [self.training_spec.frames, self.spec.height, self.spec.width];
            let thwc = augmentation.apply(&clip.thwc, shape, draw.of(video, "augmentation"));
            Ok(Arc::new(ReadClip { thwc, meta: clip.meta.clone() }))
        })
    }

    fn is_self_blend(&self, video: usize) -> bool {
        self.shown[video] != video
    }

    /// Which frames of a clip are used: all, or as many as training takes, in their order.
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

    fn some_frames(&self, clip: Arc<ReadClip>, frames: &[usize]) -> Arc<ReadClip> {
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
        // Frames that are drawn anew each epoch are never asked for again.
        if let (Sampling::RandomSegment, Some(draw)) = (self.spec.sampling, draw) {
            self.cache.count_bypassed();
            return self.read(shown, Some(draw.of(video, "frames"))).map(Arc::new).map_err(reason);
        }
        match self.cache.get(shown, &self.footage[shown], &self.spec, self.crop_key(shown)) {
            Some(clip) => Ok(clip),
            None => self.read_and_keep(shown).map_err(reason),
        }
    }

    /// The clip of a video that is not in the cache. That a video shows no face is kept as a clip would be.
    fn read_and_keep(&self, video: usize) -> Result<Arc<ReadClip>, DataError> {
        let (footage, key) = (&self.footage[video], self.crop_key(video));
        let no_face = format!("no face, {key}");
        let noted = self.cache.note(footage, &self.spec, &no_face);
        if let Some(looked_at) = noted.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Err(DataError::NoFace { path: footage.path.clone(), looked_at });
        }
        let read = self.read(video, None).map(Arc::new);
        match &read {
            Ok(clip) => self.cache.insert(video, clip, footage, &self.spec, key),
            Err(DataError::NoFace { looked_at, .. }) => {
                self.cache.keep_note(footage, &self.spec, &no_face, looked_at.to_string().into_bytes());
            }
            Err(_) => {}
        }
        read
    }

    fn read(&self, video: usize, draw: Option<u64>) -> Result<ReadClip, DataError> {
        let footage = &self.footage[video];
        let clip = (self.reader)(video, footage, draw)?;
        let (bytes, wanted) = (clip.thwc.len(), self.spec.clip_bytes());
        match bytes == wanted {
            true => Ok(clip),
            false => Err(DataError::Video {
                path: footage.path.clone(),
                reason: format!("its clip has {bytes} bytes instead of {wanted}"),
            }),
        }
    }

    fn crop_key(&self, video: usize) -> &str {
        &self.crop_keys[self.sets[video]]
    }

    /// Fills the cache; once that is full, or for a clip that is never asked for again, only looks whether the file can
    /// be used.
    fn prepare(&self, video: usize, varied: bool) -> Prepared {
        let footage = &self.footage[video];
        let prepare = || {
            if varied && self.spec.sampling == Sampling::RandomSegment {
                decode::probe(footage, &self.spec).map(|_| Prepared::Probed)
            } else if let Some(meta) = self.cache.preload(video, footage, &self.spec, self.crop_key(video)) {
                Ok(Prepared::Cached(meta))
            } else if self.cache.has_room(self.spec.clip_bytes() as u64) {
                self.read_and_keep(video).map(|clip| Prepared::Read(clip.meta.clone()))
            } else {
                decode::probe(footage, &self.spec).map(|_| Prepared::Probed)
            }
        };
        let prepared = guarded(|| match prepare() {
            Err(error @ DataError::NoFace { .. }) => Ok(Prepared::NoFace(reason(error))),
            prepared => prepared.map_err(reason),
        });
        prepared.unwrap_or_else(Prepared::Unusable)
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

/// Goes over `videos` before training: reads them into the cache while it has room and only probes the files beyond
/// that, and those that are asked for with a [`Draw`] (`is_varied`) where that draws their frames; a clip that is there
/// already costs no look at its video. Gives back what became of each, in the order of `videos`. Ends early, without a
/// word on the rest, once `stop` is set.
pub fn prepare(
    source: &ClipSource,
    videos: &[usize],
    is_varied: impl Fn(usize) -> bool + Sync,
    threads: usize,
    stop: &AtomicBool,
) -> Vec<(usize, Prepared)> {
    let bar = Bar::new("extract", videos.len() as u64, (videos.len() as u64).div_ceil(4));
    let next = AtomicUsize::new(0);
    let unusable = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(videos.len()));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(video) = videos.get(position) else {
                return;
            };
            let prepared = source.prepare(*video, is_varied(*video));
            if prepared.unusable().is_some() {
                unusable.fetch_add(1, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((position, *video, prepared));
            bar.advance(1, || format!("{} unusable", unusable.load(Ordering::Relaxed)));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(position, ..)| *position);
    done.into_iter().map(|(_, video, prepared)| (video, prepared)).collect()
}

/// Those of the videos that cannot be used, with the reason.
#[must_use]
pub fn unusable(prepared: &[(usize, Prepared)]) -> Vec<(usize, String)> {
    prepared.iter().filter_map(|(video, prepared)| Some((*video, prepared.unusable()?.to_owned()))).collect()
}

/// The reason alone: whoever reports it names the video.
fn reason(error: DataError) -> String {
    match error {
        DataError::Video { reason, .. } => reason,
        DataError::NoFace { looked_at, .. } => format!("no face was found in {looked_at} frames"),
        other => other.to_string(),
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("reading it failed unexpectedly: {}", text.unwrap_or("no reason given")))
    })
}
