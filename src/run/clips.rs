//! From a manifest to clips: the source that reads them, the cache they go through, and the loader's memory. Decodes
//! nothing and orders no batches. Whether faces are cut out has been decided before, and is in the manifest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytesize::ByteSize;

use super::clip_cache::{open_disk, plan_clip_cache};
use super::error::RunError;
use super::face_reader::{FaceCounts, FaceReader};
use crate::clip::{ClipCache, ClipSource, Prepared, prepare};
use crate::config::{AugmentationConfig, AutoBytes, Config, Switch};
use crate::dataset::{Manifest, Split};
use crate::face::{self, FaceFacts, Take};
use crate::loader::{DECODER_BYTES, Loader, LoaderNeeds, LoaderPlan, plan_loader};
use crate::memory::Snapshot;
use crate::video::ClipSpec;

/// The clips of a manifest's videos, the cache they go through, and how the loader's memory is divided.
pub(super) struct Clips {
    pub source: Arc<ClipSource>,
    /// Of the videos whose faces are cut out.
    pub faces: Arc<FaceCounts>,
    loader: LoaderPlan,
    augmentation: AugmentationConfig,
}

impl Clips {
    /// Of these `videos`, as configured, within `dataloader.host_memory_budget`. If each clip is read only `once`, none
    /// is kept in memory.
    pub fn new(
        config: &Config,
        manifest: &Manifest,
        videos: &[usize],
        once: bool,
        stop: &AtomicBool,
    ) -> Result<Self, RunError> {
        let spec = ClipSpec::of_all_clips(&config.data);
        let loader = plan_loader(host_memory_budget_bytes(config), &loader_needs(config, manifest, &spec));
        if let Some(why) = &loader.why {
            tracing::warn!("loader: {why}");
        }
        let memory_bytes = if once { 0 } else { loader.cache_bytes };
        let plan = plan_clip_cache(config, manifest, &spec, memory_bytes);
        // A cache that the user switched off needs no message.
        if config.cache.enable_cache != Switch::Off {
            tracing::info!("clip cache: {}", plan.why);
        }
        let cache = Arc::new(ClipCache::new(plan.memory_bytes, open_disk(config, &plan)));
        let mut source = ClipSource::new(manifest, spec, cache)
            .with_augmentation(&config.augmentation)
            .with_training_frames(config.data.clips_per_video, config.data.training_frames());
        let faces = Arc::new(FaceCounts::default());
        let takes: Vec<_> = (0..manifest.sets.len()).map(|set| Take::of(manifest, set)).collect();
        if takes.iter().any(|take| *take != Take::WholeFrames) {
            let keys = takes.iter().map(|take| take.key(&config.data.faces)).collect();
            let reader = Arc::new(FaceReader::load(config, manifest, spec, &takes, faces.clone())?);
            let read = reader.clone();
            source = source.with_reader(Arc::new(move |request| read.read(request)), keys);
            let skips = manifest.skips();
            let is_read = |video: &usize| {
                let record = &manifest.videos[*video];
                !record.is_self_blend() && skips.of(record).is_none()
            };
            let videos = videos.iter().copied().filter(is_read).collect();
            let further = reader.further_faces(&source, videos, loader.workers.max(1), stop);
            if stop.load(Ordering::Relaxed) {
                return Err(RunError::INTERRUPTED);
            }
            source = source.with_further_faces(further);
        }
        Ok(Self { source: Arc::new(source), faces, loader, augmentation: config.augmentation.clone() })
    }

    pub fn loader(&self) -> Loader {
        Loader::new(self.source.clone(), &self.loader).with_mixing(&self.augmentation)
    }
}

/// Reads `videos` once: fills the cache, finds unusable videos, and notes those without a face, or with frames without
/// it, cached ones too.
pub(super) fn fill_cache(
    clips: &Clips,
    manifest: &Manifest,
    videos: &[usize],
    threads: usize,
    stop: &AtomicBool,
) -> Result<Vec<(usize, Prepared)>, RunError> {
    let is_training = |video: usize| manifest.videos[video].split == Split::Train;
    // A self-blended fake has no file of its own to read.
    let videos: Vec<_> = videos.iter().copied().filter(|video| !manifest.videos[*video].is_self_blend()).collect();
    let prepared = prepare(&clips.source, &videos, is_training, threads, stop);
    if stop.load(Ordering::Relaxed) {
        return Err(RunError::INTERRUPTED);
    }
    for (video, outcome) in &prepared {
        match outcome {
            Prepared::Cached(meta) => {
                let facts = FaceFacts::from_bytes(meta).filter(|facts| facts.missed || facts.left_out > 0);
                facts.iter().for_each(|facts| clips.faces.note(*video, 0, facts));
            }
            Prepared::NoFace(_) => clips.faces.note_none(*video),
            _ => {}
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
    let face_bytes = if faces { face::worker_bytes(spec.frames) } else { 0 };
    LoaderNeeds {
        num_workers: config.dataloader.num_workers,
        prefetch_factor: config.dataloader.prefetch_factor,
        batch_size: config.training.batch_size.clips(),
        held_batches: config.training.gradient_accumulation + 1,
        clip_bytes: spec.clip_bytes() as u64,
        worker_bytes: DECODER_BYTES + face_bytes,
    }
}
