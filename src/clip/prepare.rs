//! The preparation before training: every video is read into the cache, or probed. Knows nothing of tensors and
//! batches.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::source::{ClipSource, guarded, reason};
use crate::config::Sampling;
use crate::dataset::DataError;
use crate::parallel::in_parallel;
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
    let unusable = AtomicUsize::new(0);
    in_parallel(videos, threads, stop, |video| {
        let prepared = prepare_video(source, *video, is_varied(*video));
        if prepared.unusable().is_some() {
            unusable.fetch_add(1, Ordering::Relaxed);
        }
        bar.advance(1, || format!("{} unusable", unusable.load(Ordering::Relaxed)));
        (*video, prepared)
    })
}

/// The videos that cannot be used, with the reasons.
#[must_use]
pub fn unusable(prepared: &[(usize, Prepared)]) -> Vec<(usize, String)> {
    prepared.iter().filter_map(|(video, prepared)| Some((*video, prepared.unusable()?.to_owned()))).collect()
}

/// The clips of all faces that are taken; one that is not usable counts for all.
fn prepare_video(source: &ClipSource, video: usize, varied: bool) -> Prepared {
    let mut clips = source.clips_of(video).into_iter().map(|clip| prepare_clip(source, clip, varied));
    let largest = clips.next().expect("the largest face is always taken");
    clips.find(|clip| largest.unusable().is_none() && clip.unusable().is_some()).unwrap_or(largest)
}

/// Reads the clip into the cache. If it does not fit, or is never requested again, only probes the video.
fn prepare_clip(source: &ClipSource, clip: usize, varied: bool) -> Prepared {
    let (video, _) = source.face_of(clip);
    let prepare = || {
        if varied && source.spec().sampling == Sampling::RandomSegment {
            video::probe(source.notes(video).video(), source.spec()).map(|_| Prepared::Probed)
        } else if let Some(meta) =
            source.cache().preload(clip, source.content(clip), source.spec(), &source.crop_key(clip))
        {
            Ok(Prepared::Cached(meta))
        } else if source.cache().has_room(source.spec().clip_bytes() as u64) {
            source.read_and_keep(clip).map(|clip| Prepared::Read(clip.meta.clone()))
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
