//! `report.json`: the outcome of a run in one object, a stable format for other programs, and its summary as text. The
//! caller collects the values.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::number_format::plural;
use super::provenance::Provenance;
use super::table::metrics_table;
use crate::dataset::SkippedVideo;
use crate::files;
use crate::metrics::Metrics;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All epochs were trained, or early stopping ended the run.
    Completed,
    /// The user pressed Ctrl-C; the run can be resumed.
    Interrupted,
    /// An error ended it; the run can be resumed from the last checkpoint.
    Failed,
}

/// The outcome of a run. Keys may be added, not renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run's folder.
    pub run: String,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Finished epochs.
    pub epochs: u32,
    /// Optimizer steps.
    pub steps: u64,
    /// Steps without an update because loss or gradients were not finite; counted in `steps`.
    #[serde(default)]
    pub skipped_steps: u64,
    /// Whether the run diverged and was rolled back to an earlier checkpoint.
    #[serde(default)]
    pub taken_back: bool,
    /// The best epoch, whose weights were tested unless the last ones or an average were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub best_epoch: Option<u32>,
    /// Time of the training steps.
    pub seconds: f64,
    /// Validation metrics of the best epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<Metrics>,
    /// The averaged network, which was tested (`training.average_best`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub average: Option<AverageSummary>,
    /// Test metrics; absent where there is no test split or it was not reached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub test: Option<Metrics>,
    /// Those of the fakes of methods that were trained on, and of other methods (`data.holdout_methods`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub seen_and_unseen: BTreeMap<String, Metrics>,
    /// Metrics on other data sets (`data.test_roots`).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cross_tests: Vec<CrossTest>,
    /// Memory over the run.
    pub memory: MemorySummary,
    /// Which videos were used.
    pub data: DataSummary,
    /// The speed of training.
    pub throughput: Throughput,
    /// Versions, command line, data and device.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// The mean of the weights of several epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AverageSummary {
    /// These epochs, the best first.
    pub epochs: Vec<u32>,
    /// Its validation metrics.
    pub validation: Metrics,
}

impl AverageSummary {
    /// The epochs as text: `3, 1`.
    #[must_use]
    pub fn epochs(&self) -> String {
        self.epochs.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// A test on another data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossTest {
    /// The data set's name: the last part of its path.
    pub name: String,
    /// Its metrics.
    pub test: Metrics,
}

/// Memory over the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemorySummary {
    /// Times that memory ran out.
    pub oom_events: usize,
    /// Why a GPU had too little memory the last time that it ran out, and what helps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oom_advice: Option<String>,
    /// Whether the run failed because memory ran out.
    #[serde(default)]
    pub ended_the_run: bool,
    /// Number of clean-ups: after memory ran out, when it was short, or on schedule.
    pub cleanups: usize,
    /// Bytes that the clean-ups freed together.
    #[serde(default)]
    pub cleanup_freed_bytes: u64,
    /// Time that the clean-ups took together, milliseconds.
    #[serde(default)]
    pub cleanup_ms: f64,
    /// Most host memory in use, by all processes, since the run was started or resumed.
    #[serde(default)]
    pub host_used_peak_bytes: u64,
    /// Mean host memory in use, likewise.
    #[serde(default)]
    pub host_used_mean_bytes: u64,
    /// How often a larger micro-batch was tried after many steps without running out.
    #[serde(default)]
    pub times_grown: usize,
    /// Passes that waited for their frames, because the GPU had no memory to send them ahead.
    #[serde(default)]
    pub late_passes: usize,
    /// Checkpoints that training waited for, because there was no host memory to copy them and go on.
    #[serde(default)]
    pub saves_without_copy: usize,
    /// Clips in a forward pass at the end.
    pub micro_batch_final: usize,
    /// Frames in a pass of the backbone at the end, where clips had to be cut along time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chunk_frames_final: Option<usize>,
    /// Whether training moved from the device to the CPU.
    #[serde(default)]
    pub moved_to_cpu: bool,
    /// Peak host memory of this process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_peak_bytes: Option<u64>,
    /// Peak device memory of tensors.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu_peak_bytes: Option<u64>,
    /// Peak device memory that libtorch reserved, free blocks included.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu_reserved_peak_bytes: Option<u64>,
}

/// Which videos were used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Videos that were found.
    pub videos: usize,
    /// Videos that could not be used; counted in `videos`.
    pub skipped: usize,
    /// These videos, with the reason.
    pub skipped_videos: Vec<SkippedVideo>,
    /// Clips taken from memory.
    pub cache_hits: u64,
    /// Clips taken from the disk.
    #[serde(default)]
    pub cache_disk_hits: u64,
    /// Clips in neither cache, decoded from their videos.
    pub cache_misses: u64,
    /// Clips decoded from their videos because their frames are drawn anew each epoch.
    #[serde(default)]
    pub cache_bypassed: u64,
    /// Damaged files of the cache, whose clips were decoded again.
    #[serde(default)]
    pub cache_damaged: u64,
    /// Clips that could not be written to the disk.
    #[serde(default)]
    pub cache_write_failures: u64,
    /// Clips that were not written because this run's own clips fill the disk cache.
    #[serde(default)]
    pub cache_refused: u64,
    /// Videos without a face; absent where no faces are cut out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub faces: Option<FaceSummary>,
}

/// Videos and frames in which no face was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FaceSummary {
    /// Number of videos.
    pub missed: usize,
    /// Numbers by forgery method; `real` and `fake` where there is none.
    pub missed_by_method: BTreeMap<String, usize>,
    /// Their names.
    pub missed_videos: Vec<String>,
    /// The numbers of frames that were left out because they do not show the face that the others show, by forgery
    /// method.
    #[serde(default)]
    pub frames_left_out: BTreeMap<String, usize>,
    /// The number of videos that these are from.
    #[serde(default)]
    pub videos_cut_short: usize,
}

/// The speed of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Training clips per second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clips_per_sec: Option<f64>,
    /// Share of the training time spent waiting for data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_wait_share: Option<f64>,
}

impl Report {
    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        files::write_whole(path, &serde_json::to_vec_pretty(self)?)
    }
}

/// The summary that is printed at the end of a run.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let average = self.average.as_ref().map(|average| &average.validation);
        let own = [
            ("validation", self.validation.as_ref()),
            ("validation of the average", average),
            ("test", self.test.as_ref()),
        ];
        let mut rows: Vec<_> = own.into_iter().filter_map(|(name, metrics)| Some((name, metrics?))).collect();
        rows.extend(self.seen_and_unseen.iter().map(|(name, metrics)| (name.as_str(), metrics)));
        rows.extend(self.cross_tests.iter().map(|set| (set.name.as_str(), &set.test)));
        if !rows.is_empty() {
            writeln!(f, "{}", metrics_table(&rows))?;
        }
        let best = self.best_epoch.map_or(String::new(), |epoch| format!(", the best was epoch {epoch}"));
        writeln!(f, "{} of training in {:.0} s{best}", plural(self.epochs as usize, "epoch"), self.seconds)?;
        if let Some(average) = &self.average {
            writeln!(f, "tested: the mean of the weights of epochs {}", average.epochs())?;
        }
        if self.skipped_steps > 0 {
            let back = if self.taken_back { "; the run was taken back once, and went on more slowly" } else { "" };
            writeln!(
                f,
                "{} moved no weight: numbers were not finite{back}",
                plural(self.skipped_steps as usize, "step")
            )?;
        }
        match self.memory.oom_events {
            0 => writeln!(f, "memory held: it never ran out")?,
            times => {
                let MemorySummary { micro_batch_final, chunk_frames_final, moved_to_cpu, .. } = self.memory;
                let chunks =
                    chunk_frames_final.map_or(String::new(), |frames| format!(" in chunks of {frames} frames"));
                let place = if moved_to_cpu { ", on the CPU" } else { "" };
                writeln!(
                    f,
                    "memory ran out {}, no clip was lost; micro-batch now {micro_batch_final}{chunks}{place}",
                    plural(times, "time")
                )?;
                if let Some(advice) = &self.memory.oom_advice {
                    writeln!(f, "  the last time, {advice}")?;
                }
            }
        }
        let DataSummary { videos, skipped, skipped_videos, .. } = &self.data;
        if *skipped > 0 {
            writeln!(f, "{skipped} of {videos} videos were skipped:")?;
            for video in skipped_videos.iter().take(20) {
                writeln!(f, "  {}: {}", video.path.display(), video.reason)?;
            }
            if *skipped > 20 {
                writeln!(f, "  ... all of them are in manifest.json")?;
            }
        }
        if let Some(faces) = self.data.faces.as_ref().filter(|faces| faces.missed > 0) {
            let by_method: Vec<_> =
                faces.missed_by_method.iter().map(|(method, videos)| format!("{method} {videos}")).collect();
            writeln!(f, "no face was found in {} ({})", plural(faces.missed, "video"), by_method.join(", "))?;
        }
        if let Some(faces) = self.data.faces.as_ref().filter(|faces| faces.videos_cut_short > 0) {
            let by_method: Vec<_> =
                faces.frames_left_out.iter().map(|(method, frames)| format!("{method} {frames}")).collect();
            let videos = plural(faces.videos_cut_short, "video");
            writeln!(f, "frames without the face were left out of {videos} ({})", by_method.join(", "))?;
        }
        write!(f, "results: {}\npage: {}/report.html", self.run, self.run)
    }
}
