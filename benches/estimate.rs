//! Predicted against measured peaks: `cargo bench --bench estimate [-- fit]`.
//!
//! Runs real steps of this program on the CPU, each setting in a process of its own, and prints the growth of its resident
//! memory beside the prediction. `fit` runs the settings to which the margin in `memory::estimate` was fitted, and prints
//! what is in use without glibc's holes as well; without it come others, so that the margin is judged by what it was not
//! made from.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

use dfdetect::config::{Backbone, Config, DeviceChoice, Precision, Temporal};
use dfdetect::memory::{DeviceKind, evaluation_step, training_step};
use dfdetect::torch::Format;
use dfdetect::train::{Phase, Trial, Trialled};

use Backbone::{Resnet18, Resnet34, Resnet50, Resnet101};
use Precision::{Bf16, Off};
use Temporal::{LstmAttention, Mean};
use Work::{Evaluate, Recomputing, Train};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    Train,
    /// Training with activation checkpointing.
    Recomputing,
    Evaluate,
}

/// Work, backbone, clips, frames, side, format, head.
type Setting = (Work, Backbone, usize, usize, usize, Precision, Temporal);

const FIT: &[Setting] = &[
    (Train, Resnet18, 2, 8, 224, Off, Mean),
    (Train, Resnet18, 2, 8, 224, Bf16, Mean),
    (Train, Resnet18, 4, 8, 112, Bf16, Mean),
    (Train, Resnet18, 3, 16, 112, Off, LstmAttention),
    (Train, Resnet34, 2, 8, 128, Bf16, Mean),
    (Train, Resnet50, 2, 8, 224, Off, Mean),
    (Train, Resnet50, 2, 8, 224, Bf16, Mean),
    (Train, Resnet50, 1, 8, 112, Bf16, LstmAttention),
    (Train, Resnet101, 1, 8, 128, Bf16, Mean),
    (Recomputing, Resnet18, 3, 8, 160, Off, Mean),
    (Recomputing, Resnet50, 2, 12, 160, Bf16, LstmAttention),
    (Evaluate, Resnet18, 4, 8, 224, Off, Mean),
    (Evaluate, Resnet18, 4, 8, 224, Bf16, LstmAttention),
    (Evaluate, Resnet50, 4, 8, 224, Off, LstmAttention),
    (Evaluate, Resnet50, 4, 8, 160, Bf16, Mean),
];

const HELD_OUT: &[Setting] = &[
    (Train, Resnet18, 2, 4, 96, Off, Mean),
    (Train, Resnet18, 3, 8, 160, Off, Mean),
    (Train, Resnet18, 1, 16, 224, Bf16, Mean),
    (Train, Resnet18, 6, 8, 128, Off, LstmAttention),
    (Train, Resnet18, 4, 16, 112, Bf16, LstmAttention),
    (Train, Resnet34, 2, 8, 192, Off, Mean),
    (Train, Resnet34, 4, 8, 128, Bf16, LstmAttention),
    (Train, Resnet50, 1, 8, 160, Off, Mean),
    (Train, Resnet50, 3, 4, 224, Off, LstmAttention),
    (Train, Resnet50, 2, 12, 160, Bf16, LstmAttention),
    (Train, Resnet101, 2, 4, 160, Off, Mean),
    (Train, Resnet50, 2, 4, 128, Off, Mean),
    (Train, Resnet34, 1, 8, 160, Bf16, LstmAttention),
    (Train, Resnet101, 1, 4, 192, Bf16, Mean),
    (Recomputing, Resnet34, 2, 8, 160, Off, Mean),
    (Recomputing, Resnet50, 1, 8, 192, Bf16, LstmAttention),
    (Evaluate, Resnet101, 2, 8, 160, Bf16, Mean),
    (Evaluate, Resnet18, 2, 16, 224, Bf16, LstmAttention),
    (Evaluate, Resnet34, 6, 8, 128, Off, Mean),
    (Evaluate, Resnet50, 1, 16, 224, Off, Mean),
    (Evaluate, Resnet50, 6, 8, 128, Bf16, LstmAttention),
];

fn main() {
    let fit = std::env::args().any(|arg| arg == "fit");
    let settings = if fit { FIT } else { HELD_OUT };
    println!("| pass | backbone | clips | format | head | predicted MiB | measured MiB | ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut ratios = Vec::new();
    for setting in settings {
        let (work, backbone, clips, frames, side, precision, temporal) = *setting;
        let config = config(*setting);
        let format = Format::resolve(precision, false);
        let predict = if work == Evaluate { evaluation_step } else { training_step };
        let phase = if work == Evaluate { Phase::Evaluate } else { Phase::Train };
        let estimate = predict(&config, clips, DeviceKind::Cpu, format);
        let trial = Trial { config, phase, steps: 2, limit_bytes: None };
        let measured_bytes = measure(&trial, None);
        let ratio = estimate.peak_bytes as f64 / measured_bytes as f64;
        ratios.push(ratio);
        let names = [format!("{work:?}"), format!("{backbone:?}"), format!("{temporal:?}")].map(|n| n.to_lowercase());
        let [work, backbone, head] = names;
        print!("| {work} | {backbone} | {clips} x {frames} x {side} px | {} | {head} ", format.name());
        println!("| {} | {} | {ratio:.2} |", estimate.peak_bytes >> 20, measured_bytes >> 20);
        if fit {
            // glibc's heap made to keep no holes: what was really in use.
            let in_use_bytes = measure(&trial, Some("1048576"));
            let predicted_bytes = estimate.peak_bytes - estimate.breakdown.other;
            println!("    in use: predicted {}, measured {} MiB", predicted_bytes >> 20, in_use_bytes >> 20);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("predicted / measured: {:.2} to {:.2} in {} settings", ratios[0], ratios[ratios.len() - 1], ratios.len());
}

fn config((work, backbone, clips, frames, side, precision, temporal): Setting) -> Config {
    let mut config = Config::default();
    (config.model.backbone, config.model.temporal) = (backbone, temporal);
    config.model.activation_checkpointing = work == Recomputing;
    (config.data.max_frames, config.data.frame_size) = (frames, [side, side]);
    config.training.batch_size = dfdetect::config::BatchSize::Clips(clips);
    (config.gpu.device, config.gpu.mixed_precision) = (DeviceChoice::Cpu, precision);
    config
}

fn measure(trial: &Trial, mmap_threshold: Option<&str>) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.args(["--quiet", "trial-steps"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.envs(mmap_threshold.map(|bytes| ("MALLOC_MMAP_THRESHOLD_", bytes)));
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(trial).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{trial:?}: {}", output.status);
    match serde_json::from_slice(&output.stdout).unwrap() {
        Trialled::Done { peak_bytes, .. } => peak_bytes,
        out_of_memory => panic!("{trial:?}: {out_of_memory:?}"),
    }
}
