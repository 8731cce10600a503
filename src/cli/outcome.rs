//! What is reported of a run: what it was made of, and what came out.

use std::collections::BTreeMap;

use anyhow::Result;

use super::carry_out::Tested;
use super::pipeline::Clips;
use super::plan::Plan;
use crate::memory::{self, MemoryManager};
use crate::report::{
    Assessment, CrossTest, DataSummary, FaceSummary, MemorySummary, OWN_TEST, Provenance, Report, RunFolder, Status,
    Throughput, Versions,
};
use crate::torch;
use crate::train::{FitEnd, TrainError, TrainState};

impl Plan {
    /// Absent where no faces are cut out.
    fn face_summary(&self, clips: &Clips) -> Option<FaceSummary> {
        if self.manifest.sets.iter().all(|set| !set.crop_faces) {
            return None;
        }
        let missed = clips.faces.missed();
        let mut missed_by_method = BTreeMap::new();
        for video in &missed {
            let record = &self.manifest.videos[*video];
            let method = record.method.clone().unwrap_or_else(|| record.label.to_string());
            *missed_by_method.entry(method).or_insert(0) += 1;
        }
        let missed_videos = missed.iter().map(|video| self.manifest.video_name(*video)).collect();
        Some(FaceSummary { missed: missed.len(), missed_by_method, missed_videos })
    }

    pub(super) fn report(
        &self,
        folder: &RunFolder,
        clips: &Clips,
        state: &TrainState,
        memory: &MemoryManager,
        provenance: Provenance,
        result: &Result<Tested>,
    ) -> Report {
        let status = match result {
            Ok((FitEnd::Completed, _)) => Status::Completed,
            Ok((FitEnd::Interrupted, _)) => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        let failure = result.as_ref().err();
        let tested = result.as_ref().ok().and_then(|(_, tested)| tested.as_ref());
        let tested = tested.map_or(&[][..], |tested| tested.sets.as_slice());
        let own = |set: &&Assessment| set.name == OWN_TEST;
        let cross = tested.iter().filter(|set| !own(set));
        let cache = clips.source.cache().stats();
        let history = memory.history();
        let train_secs: f64 = state.history.iter().map(|epoch| epoch.seconds).sum();
        let waited_secs: f64 = state.history.iter().map(|epoch| epoch.seconds * epoch.data_wait_share).sum();
        let learned: usize = state.history.iter().map(|epoch| epoch.train_clips).sum();
        Report {
            run: folder.path().display().to_string(),
            status,
            error: failure.map(|error| format!("{error:#}")),
            epochs: state.epoch,
            steps: state.step,
            skipped_steps: state.skipped_steps,
            taken_back: state.lr_factor < 1.0,
            best_epoch: state.best.as_ref().map(|best| best.epoch),
            seconds: state.seconds,
            validation: state.best.as_ref().map(|best| best.validation.clone()),
            test: tested.iter().find(own).map(|set| set.overall.clone()),
            cross_tests: cross.map(|set| CrossTest { name: set.name.clone(), test: set.overall.clone() }).collect(),
            memory: MemorySummary {
                oom_events: state.oom_events,
                ended_the_run: failure
                    .and_then(|error| error.downcast_ref())
                    .is_some_and(TrainError::ran_out_of_memory),
                cleanups: state.cleanups.times,
                cleanup_freed_bytes: state.cleanups.freed_bytes,
                cleanup_ms: state.cleanups.ms,
                host_used_peak_bytes: history.host.peak_bytes,
                host_used_mean_bytes: history.host.mean_bytes as u64,
                times_grown: state.times_grown,
                micro_batch_final: state.train_guard.cut.micro_batch,
                chunk_frames_final: state.train_guard.cut.chunk_frames,
                moved_to_cpu: state.train_guard.cut.on_cpu,
                rss_peak_bytes: memory::process_peak_rss_bytes(),
                gpu_peak_bytes: state.gpu_peak_bytes,
                gpu_reserved_peak_bytes: state.gpu_reserved_peak_bytes,
            },
            data: DataSummary {
                videos: self.manifest.videos.len(),
                skipped: self.manifest.skipped.len(),
                skipped_videos: self.manifest.skipped.clone(),
                cache_hits: cache.hits,
                cache_disk_hits: cache.disk_hits,
                cache_misses: cache.misses,
                cache_bypassed: cache.bypassed,
                cache_damaged: cache.damaged,
                cache_write_failures: cache.write_failures,
                cache_refused: cache.refused,
                faces: self.face_summary(clips),
            },
            throughput: Throughput {
                clips_per_sec: (train_secs > 0.0).then(|| learned as f64 / train_secs),
                data_wait_share: (train_secs > 0.0).then(|| waited_secs / train_secs),
            },
            provenance,
        }
    }

    /// What the run is made of.
    pub(super) fn provenance(&self) -> Provenance {
        Provenance {
            versions: Versions {
                dfdetect: env!("CARGO_PKG_VERSION").into(),
                commit: option_env!("DFDETECT_COMMIT").map(Into::into),
                libtorch: torch::version(),
                ffmpeg: crate::video::libavcodec_version(),
            },
            command_line: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
            manifest_hash: self.manifest.hash(),
            device: self.placement.reason.clone(),
        }
    }
}
