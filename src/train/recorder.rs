//! The recorder of a run: it writes steps, epochs, changes of the micro-batch size, clean-ups, pictures and skipped
//! videos to the folder of the run.
//!
//! It also counts rare events in the [`TrainState`], so that a resumed run goes on counting. It knows nothing of the
//! network and decides nothing.

use std::io;

use tch::Device;

use super::clip_sheet::clip_sheet;
use super::epoch::EpochRecord;
use super::log_lines::{
    AverageLine, CSV_COLUMNS, CleanupLine, MemoryLine, OomLine, RolledBackLine, SkipLine, StartLine, StepLine,
    average_line, epoch_line,
};
use super::state::{Average, TrainState};
use crate::config::Config;
use crate::dataset::{Label, Manifest};
use crate::loader::HostBatch;
use crate::memory::{Cause, Cleanup, OomEvent, Shortage};
use crate::metrics::ScoredVideos;
use crate::report::{LivePage, Provenance, RunFolder, RunLog, write_csv};
use crate::video::ClipSpec;

/// Writes what happens in a run.
pub struct Recorder<'a> {
    /// The configuration of the run.
    pub config: &'a Config,
    /// The videos of the run, for their names.
    pub manifest: &'a Manifest,
    /// The folder of the run.
    pub folder: RunFolder,
    /// `metrics.jsonl`.
    pub log: RunLog,
    /// `report.html`.
    pub page: LivePage,
}

impl Recorder<'_> {
    /// Records the start or the resumption of a run at `step`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn start(&mut self, step: u64, provenance: &Provenance) -> io::Result<()> {
        let time = chrono::Local::now().to_rfc3339();
        self.log.write("start", &StartLine { step, time, provenance })
    }

    pub(super) fn step(&mut self, line: &StepLine) -> io::Result<()> {
        self.log.write("step", line)
    }

    /// Records a step without an update. An overflow of fp16 alone is expected now and then.
    pub(super) fn bad_step(
        &mut self,
        state: &mut TrainState,
        batches: &[HostBatch],
        loss: f64,
        is_overflow: bool,
    ) -> io::Result<()> {
        let step = state.step;
        if is_overflow {
            tracing::debug!("step {step}: fp16 gradients overflowed, the loss scale is halved");
            return Ok(());
        }
        let videos = batches.iter().flat_map(|batch| &batch.videos);
        let videos: Vec<_> = videos.map(|video| self.manifest.video_name(*video)).collect();
        let reason = if loss.is_finite() { "gradients are not finite" } else { "the loss is not finite" };
        state.skipped_steps += 1;
        tracing::warn!("step {step}: {reason}; no weight was moved. Clips: {}", videos.join(", "));
        self.log.write("skip", &SkipLine { step, reason, videos })
    }

    /// Records videos that could not be read, each once in a run.
    pub(super) fn skipped_videos(&self, state: &mut TrainState, skipped: &[(usize, String)]) {
        for (video, reason) in skipped {
            if state.skipped.iter().all(|(known, _)| known != video) {
                tracing::warn!("{} is skipped: {reason}", self.manifest.video_name(*video));
                state.skipped.push((*video, reason.clone()));
            }
        }
    }

    /// Records changes of the micro-batch size.
    pub(super) fn size_changes(
        &mut self,
        state: &mut TrainState,
        device: Device,
        events: &[OomEvent],
    ) -> io::Result<()> {
        for event in events {
            let line = OomLine { step: state.step, device: format!("{device:?}"), event };
            match event.cause {
                Cause::Headroom | Cause::Returned => {
                    self.log.write("grow", &line)?;
                    state.times_grown += 1;
                }
                Cause::Pressure => self.log.write("shrink", &line)?,
                Cause::OutOfMemory | Cause::MaybeOutOfMemory | Cause::AllocatorRetries | Cause::Waited => {
                    self.log.write("oom", &line)?;
                    state.oom_events += 1;
                    state.oom_advice = event.shortage.as_ref().map(Shortage::advice).or(state.oom_advice.take());
                }
            }
        }
        Ok(())
    }

    /// Records clean-ups of memory.
    pub(super) fn cleanups(&mut self, state: &mut TrainState, cleanups: Vec<Cleanup>) -> io::Result<()> {
        for cleanup in cleanups {
            self.log.write("cleanup", &CleanupLine { step: state.step, cleanup: &cleanup })?;
            state.cleanups.times += 1;
            state.cleanups.freed_bytes += cleanup.freed_bytes.unwrap_or(0);
            state.cleanups.ms += cleanup.ms;
        }
        Ok(())
    }

    pub(super) fn memory(&mut self, line: &MemoryLine) -> io::Result<()> {
        self.log.write("memory", line)
    }

    /// Draws clips of a batch as the network sees them, augmented: a sheet of reals and one of fakes.
    pub(super) fn clips(&mut self, step: u64, batch: &HostBatch) -> io::Result<()> {
        let spec = ClipSpec::of(&self.config.data);
        for (label, tag) in [(Label::Real, "clips/real"), (Label::Fake, "clips/fake")] {
            self.log.picture(step, tag, || clip_sheet(batch, label, [spec.height, spec.width]))?;
        }
        Ok(())
    }

    /// Records a finished epoch; `samples` are those of its validation.
    pub(super) fn epoch(&mut self, record: &EpochRecord, samples: &ScoredVideos) -> io::Result<()> {
        tracing::info!("{}", epoch_line(record, self.config.training.epochs));
        self.log.write("epoch", record)?;
        self.log.pr_curve(record.step, "pr/validation", &samples.scores, &samples.is_fake)
    }

    /// Records the averaged network.
    pub(super) fn average(&mut self, step: u64, average: &Average) -> io::Result<()> {
        tracing::info!("{}", average_line(average));
        self.log.write("average", &AverageLine { step, average })
    }

    /// Writes the table of all finished epochs, `metrics.csv`.
    pub(super) fn epoch_table(&self, history: &[EpochRecord]) -> io::Result<()> {
        write_csv(&self.folder.csv(), CSV_COLUMNS, history)
    }

    /// Writes `report.html` anew.
    pub(super) fn refresh_page(&mut self) {
        self.page.refresh(&self.folder, self.config);
    }

    /// Records that the run was rolled back from `step` to `to_step`.
    pub(super) fn rolled_back(&mut self, step: u64, to_step: u64, lr_factor: f64) -> io::Result<()> {
        self.log.write("taken_back", &RolledBackLine { step, to_step, lr_factor })
    }
}
