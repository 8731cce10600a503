//! `report.json`: the end of a run in one object that other programs may rely on.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::SkippedVideo;
use crate::metrics::Metrics;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All epochs, or stopped early by design.
    Completed,
    /// Ctrl-C; it can be resumed.
    Interrupted,
    /// An error; it can be resumed from the last checkpoint.
    Failed,
}

/// The end of a run. Keys may be added, not renamed.
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
    /// The epoch whose weights were tested.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub best_epoch: Option<u32>,
    /// Training and validation time.
    pub seconds: f64,
    /// Validation metrics of the best epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<Metrics>,
    /// Test metrics of the best epoch; absent where there is no test split or it was not reached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub test: Option<Metrics>,
    /// How memory held.
    pub memory: MemorySummary,
    /// Which videos were used.
    pub data: DataSummary,
    /// How fast it was.
    pub throughput: Throughput,
    /// What it ran with.
    pub versions: Versions,
}

/// How memory held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemorySummary {
    /// Times that memory ran out.
    pub oom_events: usize,
    /// Times that caches were given back because of it.
    pub cleanups: usize,
    /// Clips a forward pass at the end.
    pub micro_batch_final: usize,
    /// Most host memory this process took.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rss_peak_bytes: Option<u64>,
    /// Most device memory that tensors took.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu_peak_bytes: Option<u64>,
}

/// Which videos were used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Videos that were found.
    pub videos: usize,
    /// Of these, videos that could not be used.
    pub skipped: usize,
    /// Which, and why.
    pub skipped_videos: Vec<SkippedVideo>,
    /// Clips taken from the frame cache.
    pub cache_hits: u64,
    /// Clips that had to be decoded.
    pub cache_misses: u64,
}

/// How fast a run was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Clips learned from in a second of training.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clips_per_sec: Option<f64>,
    /// Share of the training time that waited for data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_wait_share: Option<f64>,
}

/// What a run ran with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// This program.
    pub dfdetect: String,
    /// The tensor library.
    pub libtorch: String,
    /// The version of the decoding library, libavcodec.
    pub ffmpeg: String,
}

impl Report {
    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let partial = path.with_extension("json.partial");
        let mut file = fs::File::create(&partial)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    }
}
