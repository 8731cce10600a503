//! What training writes down: the lines of `metrics.jsonl`, the columns of `metrics.csv`, an epoch in words.

use serde::{Deserialize, Serialize};

use super::state::EpochRecord;
use crate::memory::{Cleanup, Cut, OomEvent, Reading};
use crate::report::Provenance;

/// Columns of `metrics.csv`: keys of an [`EpochRecord`].
pub(super) const CSV_COLUMNS: &[&str] = &[
    "epoch",
    "step",
    "lr",
    "train_loss",
    "train_auc",
    "val_loss",
    "video_auc",
    "frame_auc",
    "eer",
    "ap",
    "acc",
    "acc_real",
    "acc_fake",
    "seconds",
    "clips_per_sec",
    "data_wait_share",
    "is_best",
];

/// A run is started or resumed.
#[derive(Serialize)]
pub(super) struct StartLine<'a> {
    pub step: u64,
    pub time: String,
    #[serde(flatten)]
    pub provenance: &'a Provenance,
}

/// A step as it stands in `metrics.jsonl`.
#[derive(Serialize)]
pub(super) struct StepLine {
    pub step: u64,
    pub epoch: u32,
    pub loss: f64,
    pub lr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backbone_lr: Option<f64>,
    pub grad_norm: f64,
    pub scale: f64,
    pub clips: usize,
    #[serde(flatten)]
    pub cut: Cut,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clips_per_sec: Option<f64>,
    pub data_wait_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
}

/// Memory ran out, or a larger size is tried.
#[derive(Serialize)]
pub(super) struct OomLine<'a> {
    pub step: u64,
    pub device: String,
    #[serde(flatten)]
    pub event: &'a OomEvent,
}

/// A `memory` line of `metrics.jsonl`: how a run stands with memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryLine {
    /// Steps that are done.
    pub step: u64,
    /// How batches are cut.
    #[serde(flatten)]
    pub cut: Cut,
    /// Clips that are decoded ahead, at most.
    pub clips_ahead: usize,
    /// Threads that decode.
    pub threads: usize,
    /// Clips kept in memory.
    pub cache_bytes: u64,
    /// Host, process and device.
    #[serde(flatten)]
    pub reading: Reading,
}

/// Memory was given back.
#[derive(Serialize)]
pub(super) struct CleanupLine<'a> {
    pub step: u64,
    #[serde(flatten)]
    pub cleanup: &'a Cleanup,
}

/// A step that moved no weight.
#[derive(Serialize)]
pub(super) struct SkipLine<'a> {
    pub step: u64,
    pub reason: &'a str,
    pub videos: Vec<String>,
}

/// The run has diverged and goes on from an earlier step.
#[derive(Serialize)]
pub(super) struct TakenBackLine {
    pub step: u64,
    pub to_step: u64,
    pub lr_factor: f64,
}

/// An epoch in one line for people.
pub(super) fn epoch_line(record: &EpochRecord, epochs: u32) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    format!(
        "epoch {}/{epochs}: train loss {} auc {}, validation loss {} video auc {} frame auc {}{} ({:.0} s)",
        record.epoch,
        number(record.train_loss),
        number(record.train_auc),
        number(record.val_loss),
        number(record.validation.video_auc),
        number(record.validation.frame_auc),
        if record.is_best { ", the best so far" } else { "" },
        record.seconds,
    )
}
