//! The preparation before training: every video is read into the cache, or probed. Knows nothing of tensors and
//! batches.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::source::{ClipSource, guarded, reason};
use crate::config::Sampling;
use crate::dataset::DataError;
use crate::progress::Bar;
use crate::video;

/// The result of preparing a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// The clip was cached, and the video was not opened. Contains the data that is stored with the clip.
    Cached(Vec<u8>),
    /// The clip was read, and cached if it fits. Contains the data that is stored with the clip.
    Read(Vec<u8>),
    /// The clip does not fit in the cache, or its frames are drawn anew each epoch; so the video was only probed.
    Probed,
    /// The video shows no face, but faces are cropped. Contains the reason.
    NoFace(String),
    /// The video cannot be used for another reason.
    Unusable(String),
}

impl Prepared {
    /// The reason why the video cannot be used, if so.
    #[must_use]
    pub fn unusable(&self) -> Option<&str> {
        match self {
            Self::NoFace(reason) | Self::Unusable(reason) => Some(reason),
            Self::Cached(_) | Self::Read(_) | Self::Probed => None,
        }
    }
}

/// Reads `videos` into the cache while they fit, and probes the others. Videos of training (`is_varied`) are also only
/// probed if a [`Draw`](super::Draw) decides their frames. A video whose clip is cached is not opened. Returns the
/// results in the order of `videos`. After `stop` is set, it ends early, without results for the remaining videos.
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
            let prepared = prepare_video(source, *video, is_varied(*video));
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

/// The videos that cannot be used, with the reasons.
#[must_use]
pub fn unusable(prepared: &[(usize, Prepared)]) -> Vec<(usize, String)> {
    prepared.iter().filter_map(|(video, prepared)| Some((*video, prepared.unusable()?.to_owned()))).collect()
}

/// Reads the clip into the cache. If it does not fit, or is never requested again, only probes the video.
fn prepare_video(source: &ClipSource, video: usize, varied: bool) -> Prepared {
    let prepare = || {
        if varied && source.spec().sampling == Sampling::RandomSegment {
            video::probe(source.notes(video).video(), source.spec()).map(|_| Prepared::Probed)
        } else if let Some(meta) =
            source.cache().preload(video, source.content(video), source.spec(), source.crop_key(video))
        {
            Ok(Prepared::Cached(meta))
        } else if source.cache().has_room(source.spec().clip_bytes() as u64) {
            source.read_and_keep(video).map(|clip| Prepared::Read(clip.meta.clone()))
        } else {
            video::probe(source.notes(video).video(), source.spec()).map(|_| Prepared::Probed)
        }
    };
    let prepared = guarded(|| match prepare() {
        Err(error @ DataError::NoFace { .. }) => Ok(Prepared::NoFace(reason(error))),
        prepared => prepared.map_err(reason),
    });
    prepared.unwrap_or_else(Prepared::Unusable)
}
