//! Formats: the lines of `metrics.jsonl`, the columns of `metrics.csv`, and the lines of text for an epoch and for the
//! progress bar. This file writes nothing.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::epoch::EpochRecord;
use super::state::{Average, TrainState};
use crate::memory::{self, Cleanup, MicroBatchSize, OomEvent, Reading};
use crate::metrics::Metrics;
use crate::report::Provenance;
use crate::torch;

/// The columns of `metrics.csv`, which are keys of [`EpochRecord`].
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

/// The start or the resumption of a run.
#[derive(Serialize)]
pub(super) struct StartLine<'a> {
    pub step: u64,
    pub time: String,
    #[serde(flatten)]
    pub provenance: &'a Provenance,
}

/// A training step.
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
    pub size: MicroBatchSize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clips_per_sec: Option<f64>,
    pub data_wait_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
}

/// A change of the micro-batch size.
#[derive(Serialize)]
pub(super) struct OomLine<'a> {
    pub step: u64,
    pub device: String,
    #[serde(flatten)]
    pub event: &'a OomEvent,
}

/// A `memory` line of `metrics.jsonl`: the memory that a run uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryLine {
    /// Training steps so far.
    pub step: u64,
    /// The micro-batch size.
    #[serde(flatten)]
    pub size: MicroBatchSize,
    /// The largest number of clips that are decoded ahead.
    pub clips_ahead: usize,
    /// Decoder threads.
    pub threads: usize,
    /// Size of the clips that the cache keeps in memory.
    pub cache_bytes: u64,
    /// Memory of host, process and device.
    #[serde(flatten)]
    pub reading: Reading,
}

/// A clean-up of memory.
#[derive(Serialize)]
pub(super) struct CleanupLine<'a> {
    pub step: u64,
    #[serde(flatten)]
    pub cleanup: &'a Cleanup,
}

/// A step without an update.
#[derive(Serialize)]
pub(super) struct SkipLine<'a> {
    pub step: u64,
    pub reason: &'a str,
    pub videos: Vec<String>,
}

/// A roll-back of a diverged run to an earlier step.
#[derive(Serialize)]
pub(super) struct RolledBackLine {
    pub step: u64,
    pub to_step: u64,
    pub lr_factor: f64,
}

/// The mean of the weights of several epochs.
#[derive(Serialize)]
pub(super) struct AverageLine<'a> {
    pub step: u64,
    #[serde(flatten)]
    pub average: &'a Average,
}

/// The line of text for the averaged network.
pub(super) fn average_line(average: &Average) -> String {
    let epochs: Vec<_> = average.epochs.iter().map(u32::to_string).collect();
    let Metrics { log_loss, video_auc, frame_auc, .. } = average.validation;
    format!(
        "mean of the weights of epochs {}: validation loss {} video auc {} frame auc {}",
        epochs.join(", "),
        number(log_loss),
        number(video_auc),
        number(frame_auc),
    )
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

/// The line of text for a finished epoch.
pub(super) fn epoch_line(record: &EpochRecord, epochs: u32) -> String {
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

/// The text of the progress bar, about the current epoch.
pub(super) fn progress_line(state: &TrainState, epochs: u32, device: Device, size: MicroBatchSize) -> String {
    let tally = &state.tally;
    let number = |value: Option<f64>, digits: usize| value.map_or("-".into(), |v| format!("{v:.digits$}"));
    let memory = match torch::peak_allocated_bytes(device) {
        Some(bytes) => format!("GPU {}", ByteSize(bytes)),
        None => memory::process_rss_bytes().map_or(String::new(), |bytes| format!("RSS {}", ByteSize(bytes))),
    };
    format!(
        "epoch {}/{epochs} loss {} auc {} {} clips/s {memory} {size}",
        state.epoch + 1,
        number(tally.loss(), 4),
        number(tally.auc(), 3),
        number(tally.clips_per_sec(), 1),
    )
}
