//! What is done once before training: every video is read into the cache, or looked at.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::source::{ClipSource, guarded, reason};
use crate::config::Sampling;
use crate::dataset::DataError;
use crate::progress::Bar;
use crate::video;

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

/// Those of the videos that cannot be used, with the reason.
#[must_use]
pub fn unusable(prepared: &[(usize, Prepared)]) -> Vec<(usize, String)> {
    prepared.iter().filter_map(|(video, prepared)| Some((*video, prepared.unusable()?.to_owned()))).collect()
}

/// Fills the cache; once that is full, or for a clip that is never asked for again, only looks whether the file can
/// be used.
fn prepare_video(source: &ClipSource, video: usize, varied: bool) -> Prepared {
    let footage = &source.footage[video];
    let prepare = || {
        if varied && source.spec().sampling == Sampling::RandomSegment {
            video::probe(footage, source.spec()).map(|_| Prepared::Probed)
        } else if let Some(meta) = source.cache().preload(video, footage, source.spec(), source.crop_key(video)) {
            Ok(Prepared::Cached(meta))
        } else if source.cache().has_room(source.spec().clip_bytes() as u64) {
            source.read_and_keep(video).map(|clip| Prepared::Read(clip.meta.clone()))
        } else {
            video::probe(footage, source.spec()).map(|_| Prepared::Probed)
        }
    };
    let prepared = guarded(|| match prepare() {
        Err(error @ DataError::NoFace { .. }) => Ok(Prepared::NoFace(reason(error))),
        prepared => prepared.map_err(reason),
    });
    prepared.unwrap_or_else(Prepared::Unusable)
}
