//! What `train`, `evaluate` and `data` share: the stop flag, and the way from a manifest to clips.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::Interrupted;
use crate::clip::{
    CachePlan, ClipCache, ClipReader, ClipSource, DiskCache, Prepared, ReadClip, decide_face_crops, free_disk_bytes,
    plan_cache, prepare,
};
use crate::config::{AutoBytes, Config, FaceMode, Switch};
use crate::dataset::{DataError, Manifest, SkippedVideo, Split, VideoRecord};
use crate::face::{self, CenterFace, FaceFacts, Take};
use crate::loader::{DECODER_BYTES, Loader, LoaderNeeds, LoaderPlan, plan_loader};
use crate::memory::Snapshot;
use crate::report::TEST_SET;
use crate::video::ClipSpec;

/// A flag that Ctrl-C and termination set; a second signal ends the process at once with code 130.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .context("signals cannot be handled")?;
    }
    Ok(stop)
}

/// The clips of a manifest's videos, the cache they go through, and how the loader's memory is divided.
pub(super) struct Clips {
    pub source: Arc<ClipSource>,
    /// Of the videos whose faces are cut out.
    pub faces: Arc<Faces>,
    loader: LoaderPlan,
}

impl Clips {
    /// As configured, within `dataloader.host_memory_budget`. Where each clip is asked for `once`, none is kept in memory.
    pub fn new(config: &Config, manifest: &Manifest, once: bool) -> Result<Self> {
        let spec = ClipSpec::of(&config.data);
        let loader = plan_loader(host_memory_budget_bytes(config), &loader_needs(config, manifest, &spec));
        if let Some(why) = &loader.why {
            tracing::warn!("loader: {why}");
        }
        let memory_bytes = if once { 0 } else { loader.cache_bytes };
        let plan = plan_clip_cache(config, manifest, &spec, memory_bytes);
        // Where it was switched off, that is no news.
        if config.cache.enable_cache != Switch::Off {
            tracing::info!("clip cache: {}", plan.why);
        }
        let cache = Arc::new(ClipCache::new(plan.memory_bytes, open_disk(config, &plan)));
        let mut source = ClipSource::new(manifest, spec, cache)
            .with_augmentation(&config.augmentation)
            .with_training_frames(config.data.training_frames());
        let faces = Arc::new(Faces::default());
        let takes: Vec<_> = (0..manifest.sets.len()).map(|set| Take::of(manifest, set)).collect();
        if takes.iter().any(|take| *take != Take::WholeFrames) {
            let keys = takes.iter().map(|take| take.key(&config.data.faces)).collect();
            source = source.with_reader(face_reader(config, manifest, spec, takes, faces.clone())?, keys);
        }
        Ok(Self { source: Arc::new(source), faces, loader })
    }

    pub fn loader(&self) -> Loader {
        Loader::new(self.source.clone(), &self.loader)
    }
}

/// Decides for each data set whether its faces are cut out, and says so.
pub(super) fn decide_faces(config: &Config, manifest: &mut Manifest, stop: &AtomicBool) -> Result<()> {
    let faces = &config.data.faces;
    match faces.mode {
        FaceMode::Off => manifest.sets.iter_mut().for_each(|set| set.crop_faces = false),
        FaceMode::Crop => {
            manifest.sets.iter_mut().for_each(|set| (set.crop_faces, set.shows_faces) = (true, Some(true)));
        }
        FaceMode::Auto => {
            let spec = ClipSpec::of(&config.data);
            let cache = ClipCache::new(0, open_disk(config, &plan_clip_cache(config, manifest, &spec, 0)));
            decide_face_crops(manifest, faces, &spec, &cache, &load_detector()?, stop)?;
        }
    }
    match stop.load(Ordering::Relaxed) {
        true => Err(Interrupted(None).into()),
        false => Ok(()),
    }
}

pub(super) fn load_detector() -> Result<CenterFace> {
    CenterFace::load().map_err(|reason| anyhow::anyhow!("the face detector cannot be used: {reason}"))
}

/// In how many frames of each video the face was found, of those that were looked at so far.
#[derive(Default)]
pub(super) struct Faces(Mutex<BTreeMap<usize, usize>>);

impl Faces {
    fn note(&self, video: usize, frames_with_face: usize) {
        self.found().insert(video, frames_with_face);
    }

    pub fn frames_with_face(&self, video: usize) -> Option<usize> {
        self.found().get(&video).copied()
    }

    /// Videos in which none was found.
    pub fn missed(&self) -> Vec<usize> {
        self.found().iter().filter(|(_, frames)| **frames == 0).map(|(video, _)| *video).collect()
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the videos of each data set as it is to be taken, and takes note where there is no face to cut out.
fn face_reader(
    config: &Config,
    manifest: &Manifest,
    spec: ClipSpec,
    takes: Vec<Take>,
    found: Arc<Faces>,
) -> Result<ClipReader> {
    let detector = load_detector()?;
    let faces = config.data.faces.clone();
    let sets: Vec<usize> = manifest.videos.iter().map(|video| video.set).collect();
    Ok(Arc::new(move |video, footage, draw| {
        let take = takes[sets[video]];
        let clip = take.read(footage, &spec, draw, &faces, &detector);
        match &clip {
            Ok(clip) if take == Take::Faces => found.note(video, clip.facts.frames_with_face()),
            Err(DataError::NoFace { .. }) => found.note(video, 0),
            _ => {}
        }
        let meta = |facts: &FaceFacts| if take == Take::WholeFrames { Vec::new() } else { facts.to_bytes() };
        clip.map(|clip| ReadClip { meta: meta(&clip.facts), thwc: clip.thwc })
    }))
}

/// Goes over `videos` once: fills the cache, finds the unusable ones, and notes misses also of clips that were cached.
pub(super) fn extract(
    clips: &Clips,
    manifest: &Manifest,
    videos: &[usize],
    threads: usize,
    stop: &AtomicBool,
) -> Result<Vec<(usize, Prepared)>> {
    let is_training = |video: usize| manifest.videos[video].split == Split::Train;
    // What is made of another video has no file of its own to look at.
    let videos: Vec<_> = videos.iter().copied().filter(|video| !manifest.videos[*video].is_self_blend()).collect();
    let prepared = prepare(&clips.source, &videos, is_training, threads, stop);
    if stop.load(Ordering::Relaxed) {
        return Err(Interrupted(None).into());
    }
    for (video, outcome) in &prepared {
        let missed = match outcome {
            Prepared::Cached(meta) => FaceFacts::from_bytes(meta).is_some_and(|facts| facts.missed),
            outcome => matches!(outcome, Prepared::NoFace(_)),
        };
        if missed {
            clips.faces.note(*video, 0);
        }
        if let Some(reason) = outcome.unusable() {
            tracing::warn!("{} is skipped: {reason}", manifest.video_name(*video));
        }
    }
    Ok(prepared)
}

fn host_memory_budget_bytes(config: &Config) -> u64 {
    let free_bytes = Snapshot::take().host_free_bytes();
    match config.dataloader.host_memory_budget {
        AutoBytes::Auto => free_bytes / 2,
        AutoBytes::Bytes(bytes) => {
            if bytes > free_bytes {
                let [asked, free] = [bytes, free_bytes].map(|bytes| ByteSize(bytes).to_string());
                tracing::warn!("dataloader.host_memory_budget is {asked}, only {free} are free: that is what counts");
            }
            bytes.min(free_bytes)
        }
    }
}

fn loader_needs(config: &Config, manifest: &Manifest, spec: &ClipSpec) -> LoaderNeeds {
    let faces = (0..manifest.sets.len()).any(|set| Take::of(manifest, set) != Take::WholeFrames);
    let face_bytes = if faces { face::WORKER_BYTES } else { 0 };
    LoaderNeeds {
        num_workers: config.dataloader.num_workers,
        prefetch_factor: config.dataloader.prefetch_factor,
        batch_size: config.training.batch_size.clips(),
        held_batches: config.training.gradient_accumulation + 1,
        clip_bytes: spec.clip_bytes() as u64,
        worker_bytes: DECODER_BYTES + face_bytes,
    }
}

fn plan_clip_cache(config: &Config, manifest: &Manifest, spec: &ClipSpec, memory_bytes: u64) -> CachePlan {
    let directory = &config.cache.directory;
    let needed_bytes = (manifest.videos.len() * spec.clip_bytes()) as u64;
    let free_bytes = free_disk_bytes(directory).unwrap_or_else(|error| {
        tracing::warn!("{}: nothing is cached on disk: {error}", directory.display());
        0
    });
    plan_cache(&config.cache, needed_bytes, free_bytes, memory_bytes)
}

fn open_disk(config: &Config, plan: &CachePlan) -> Option<DiskCache> {
    (plan.disk_bytes > 0).then(|| DiskCache::open(&config.cache.directory, plan.disk_bytes))
}

/// Videos of a manifest under a name.
pub(super) struct NamedSet {
    pub name: String,
    /// Those that can be used, by index.
    pub videos: Vec<usize>,
    /// Those that are known to be of no use.
    pub unusable: Vec<SkippedVideo>,
}

impl NamedSet {
    /// The videos for which `is_in` holds.
    pub fn of(name: String, manifest: &Manifest, is_in: impl Fn(&VideoRecord) -> bool) -> Self {
        let skipped: HashMap<_, _> = manifest.skipped.iter().map(|video| ((video.set, &video.path), video)).collect();
        let (mut videos, mut unusable) = (Vec::new(), Vec::new());
        for (index, video) in manifest.videos.iter().enumerate().filter(|(_, video)| is_in(video)) {
            match skipped.get(&(video.set, &video.path)) {
                None => videos.push(index),
                Some(video) => unusable.push((*video).clone()),
            }
        }
        Self { name, videos, unusable }
    }
}

/// The test videos of a run: its own, and those of each other data set by its folder's name.
pub(super) fn test_sets(manifest: &Manifest) -> Vec<NamedSet> {
    let mut sets = vec![NamedSet::of(TEST_SET.to_owned(), manifest, |video| video.split == Split::Test)];
    for (number, set) in manifest.sets.iter().enumerate() {
        let name = set.name();
        let taken = sets.iter().any(|other| other.name == name);
        let name = if taken { set.root.display().to_string() } else { name };
        let is_in = |video: &VideoRecord| video.split == Split::CrossTest && video.set == number;
        sets.push(NamedSet::of(name, manifest, is_in));
    }
    sets.retain(|set| !set.videos.is_empty());
    sets
}
