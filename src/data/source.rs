//! Where the clips of a data set come from: the cache, or else the file. And what is done once before training.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::DataError;
use super::cache::FrameCache;
use super::decode::{self, ClipSpec};
use super::manifest::{Footage, Label, Manifest};
use crate::progress::Bar;

/// A clip's pixels (T x height x width x 3), or why there are none.
pub(super) type Clip = Result<Arc<[u8]>, String>;

/// All that is needed to get the clip of any video of a manifest.
#[derive(Debug)]
pub struct ClipSource {
    footage: Vec<Footage>,
    labels: Vec<Label>,
    spec: ClipSpec,
    cache: Arc<FrameCache>,
}

impl ClipSource {
    /// Clips as `spec` wants them, of the videos of `manifest` by their number there.
    #[must_use]
    pub fn new(manifest: &Manifest, spec: ClipSpec, cache: Arc<FrameCache>) -> Self {
        let footage = (0..manifest.videos.len()).map(|video| manifest.footage(video)).collect();
        let labels = manifest.videos.iter().map(|video| video.label).collect();
        Self { footage, labels, spec, cache }
    }

    /// How clips are taken.
    #[must_use]
    pub fn spec(&self) -> &ClipSpec {
        &self.spec
    }

    /// The clips that are kept in memory.
    #[must_use]
    pub fn cache(&self) -> &FrameCache {
        &self.cache
    }

    pub(super) fn label(&self, video: usize) -> Label {
        self.labels[video]
    }

    /// The clip of a video, from the cache if it is there. Never panics: a thread that waits would wait for ever.
    pub(super) fn clip(&self, video: usize) -> Clip {
        guarded(|| match self.cache.get(video) {
            Some(clip) => Ok(clip),
            None => self.decode(video),
        })
    }

    fn decode(&self, video: usize) -> Clip {
        let clip: Arc<[u8]> = decode::read_clip(&self.footage[video], &self.spec, None).map_err(reason)?.into();
        self.cache.insert(video, clip.clone());
        Ok(clip)
    }

    /// Fills the cache; once that is full, only looks whether the file can be used.
    fn prepare(&self, video: usize) -> Result<(), String> {
        guarded(|| {
            if self.cache.contains(video) {
                Ok(())
            } else if self.cache.has_room(self.spec.clip_bytes() as u64) {
                self.decode(video).map(drop)
            } else {
                decode::probe(&self.footage[video], &self.spec).map(drop).map_err(reason)
            }
        })
    }
}

/// Goes over `videos` before training: decodes them into the cache while it has room and only probes the files beyond
/// that. Gives back the videos that cannot be used, with the reason, in the order of `videos`. Ends early, without a
/// word on the rest, once `stop` is set.
pub fn prepare(source: &ClipSource, videos: &[usize], threads: usize, stop: &AtomicBool) -> Vec<(usize, String)> {
    let bar = Bar::new("extract", videos.len() as u64, (videos.len() as u64).div_ceil(4));
    let next = AtomicUsize::new(0);
    let unusable = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(video) = videos.get(position) else {
                return;
            };
            let result = source.prepare(*video);
            let mut unusable = unusable.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(reason) = result {
                unusable.push((position, *video, reason));
            }
            bar.advance(1, || format!("{} unusable", unusable.len()));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut unusable = unusable.into_inner().unwrap_or_else(PoisonError::into_inner);
    unusable.sort_unstable();
    unusable.into_iter().map(|(_, video, reason)| (video, reason)).collect()
}

/// The reason alone: whoever reports it names the video.
fn reason(error: DataError) -> String {
    match error {
        DataError::Video { reason, .. } => reason,
        other => other.to_string(),
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("reading it failed unexpectedly: {}", text.unwrap_or("no reason given")))
    })
}
