//! Collects the report of a run and its provenance. Writes nothing; the format is in `report/run_report.rs`.

use std::collections::BTreeMap;

use super::clips::Clips;
use super::error::{RunError, error_chain};
use super::prepare::PreparedRun;
use crate::memory::{self, MemoryManager};
use crate::report::{
    AverageSummary, CrossTest, DataSummary, DatasetReport, EvaluationReport, FaceSummary, MemorySummary, Provenance,
    Report, RunFolder, Status, TEST_SET, Throughput, Versions,
};
use crate::torch;
use crate::train::{FitEnd, TrainState};

/// How training ended, and the evaluation on the test sets; `None` if it was interrupted before, or there are none.
pub(super) type TrainingResult = Result<(FitEnd, Option<EvaluationReport>), RunError>;

/// What is known of a run when it ends.
pub(super) struct EndedRun<'a> {
    pub run: &'a PreparedRun,
    pub folder: &'a RunFolder,
    pub clips: &'a Clips,
    pub state: &'a TrainState,
    pub memory: &'a MemoryManager,
    pub provenance: Provenance,
    pub result: &'a TrainingResult,
}

impl EndedRun<'_> {
    pub fn report(self) -> Report {
        let (state, failure) = (self.state, self.result.as_ref().err());
        let tested = self.result.as_ref().ok().and_then(|(_, tested)| tested.as_ref());
        let tested = tested.map_or(&[][..], |tested| tested.sets.as_slice());
        let own = |set: &&DatasetReport| set.name == TEST_SET;
        let cross = tested.iter().filter(|set| !own(set));
        Report {
            run: self.folder.path().display().to_string(),
            status: self.status(),
            error: failure.map(|error| error_chain(error)),
            epochs: state.epoch,
            steps: state.step,
            skipped_steps: state.skipped_steps,
            taken_back: state.lr_factor < 1.0,
            best_epoch: state.best.as_ref().map(|best| best.epoch),
            seconds: state.seconds,
            validation: state.best.as_ref().map(|best| best.validation.clone()),
            average: state.average.as_ref().map(|average| AverageSummary {
                epochs: average.epochs.clone(),
                validation: average.validation.clone(),
            }),
            test: tested.iter().find(own).map(|set| set.overall.clone()),
            seen_and_unseen: tested.iter().find(own).map(|set| set.seen_and_unseen.clone()).unwrap_or_default(),
            cross_tests: cross.map(|set| CrossTest { name: set.name.clone(), test: set.overall.clone() }).collect(),
            memory: self.memory_summary(),
            data: self.data_summary(),
            throughput: self.throughput(),
            provenance: self.provenance,
        }
    }

    fn status(&self) -> Status {
        match self.result {
            Ok((FitEnd::Completed, _)) => Status::Completed,
            Ok((FitEnd::Interrupted, _)) => Status::Interrupted,
            Err(_) => Status::Failed,
        }
    }

    fn memory_summary(&self) -> MemorySummary {
        let (state, history) = (self.state, self.memory.history());
        MemorySummary {
            oom_events: state.oom_events,
            oom_advice: state.oom_advice.clone(),
            ended_the_run: matches!(self.result, Err(RunError::Train(error)) if error.ran_out_of_memory()),
            cleanups: state.cleanups.times,
            cleanup_freed_bytes: state.cleanups.freed_bytes,
            cleanup_ms: state.cleanups.ms,
            host_used_peak_bytes: history.host.peak_bytes,
            host_used_mean_bytes: history.host.mean_bytes as u64,
            times_grown: state.times_grown,
            late_passes: state.late_passes,
            saves_without_copy: state.saves_without_copy,
            micro_batch_final: state.train_guard.size.micro_batch,
            chunk_frames_final: state.train_guard.size.chunk_frames,
            moved_to_cpu: state.train_guard.size.on_cpu,
            rss_peak_bytes: memory::process_peak_rss_bytes(),
            gpu_peak_bytes: state.gpu_peak_bytes,
            gpu_reserved_peak_bytes: state.gpu_reserved_peak_bytes,
        }
    }

    fn data_summary(&self) -> DataSummary {
        let (manifest, cache) = (&self.run.manifest, self.clips.source.cache().stats());
        DataSummary {
            videos: manifest.videos.len(),
            skipped: manifest.skipped.len(),
            skipped_videos: manifest.skipped.clone(),
            cache_hits: cache.hits,
            cache_disk_hits: cache.disk_hits,
            cache_misses: cache.misses,
            cache_bypassed: cache.bypassed,
            cache_damaged: cache.damaged,
            cache_write_failures: cache.write_failures,
            cache_refused: cache.refused,
            faces: self.face_summary(),
        }
    }

    /// Absent where no faces are cut out.
    fn face_summary(&self) -> Option<FaceSummary> {
        let manifest = &self.run.manifest;
        if manifest.sets.iter().all(|set| !set.crop_faces) {
            return None;
        }
        let method = |video: usize| {
            let record = &manifest.videos[video];
            record.method.clone().unwrap_or_else(|| record.label.to_string())
        };
        let missed = self.clips.faces.missed();
        let (mut missed_by_method, mut left_out_by_method) = (BTreeMap::new(), BTreeMap::new());
        for video in &missed {
            *missed_by_method.entry(method(*video)).or_insert(0) += 1;
        }
        let left_out = self.clips.faces.left_out();
        for (video, frames) in &left_out {
            *left_out_by_method.entry(method(*video)).or_insert(0) += frames;
        }
        let missed_videos = missed.iter().map(|video| manifest.video_name(*video)).collect();
        Some(FaceSummary {
            missed: missed.len(),
            missed_by_method,
            missed_videos,
            frames_left_out: left_out_by_method,
            videos_cut_short: left_out.len(),
        })
    }

    fn throughput(&self) -> Throughput {
        let history = &self.state.history;
        let train_secs: f64 = history.iter().map(|epoch| epoch.seconds).sum();
        let waited_secs: f64 = history.iter().map(|epoch| epoch.seconds * epoch.data_wait_share).sum();
        let learned: usize = history.iter().map(|epoch| epoch.train_clips).sum();
        Throughput {
            clips_per_sec: (train_secs > 0.0).then(|| learned as f64 / train_secs),
            data_wait_share: (train_secs > 0.0).then(|| waited_secs / train_secs),
        }
    }
}

/// The provenance of a run.
pub(super) fn provenance(run: &PreparedRun, state: &TrainState) -> Provenance {
    Provenance {
        versions: Versions {
            dfdetect: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("DFDETECT_COMMIT").map(Into::into),
            libtorch: torch::version(),
            ffmpeg: crate::video::libavcodec_version(),
        },
        command_line: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        manifest_hash: run.manifest.hash(),
        device: run.placement.reason.clone(),
        first_weights: state.first_weights.clone(),
    }
}
