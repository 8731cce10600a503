//! Predicted against measured peaks: `cargo bench --bench estimate [--
//! fit|lite|efficient|transformers|cuda|trial|f32]`.
//!
//! Runs real steps of this program on the CPU, each setting in a process of its own, and prints the growth of its
//! resident memory without code beside the prediction, without and with what glibc's heap loses to holes. `fit` runs
//! the settings to which the margin for these holes in `memory::predict` was fitted; without it come others, so that
//! the margin is judged by what it was not made from. `lite` runs EfficientNet-Lites; their share of holes was fitted
//! to some of these very settings; `efficient` runs EfficientNet-B0, B4, ConvNeXt-T and Xception, `transformers` Vision
//! Transformers. `cuda` runs ten settings of the sizes that people train on a GPU, with fp16 for bf16: the tensors' own
//! peak there has no column, what is measured is what libtorch reserved, with the context as predicted. `trial` runs
//! one tiny setting, to see that the bench runs. `f32` leaves the settings in half precision out, which take minutes
//! each on a CPU without bf16. Names of backbones, such as `xception`, leave the others out.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

use dfdetect::backbone::Backbone;
use dfdetect::config::{Config, DeviceChoice, Freeze, OptimizerChoice, Precision, Temporal};
use dfdetect::memory::{DeviceKind, evaluation_step, training_step};
use dfdetect::torch::{AMPERE, Format};
use dfdetect::train::{Phase, Trial, TrialOutcome};

use Backbone::{ConvnextTiny, EfficientnetB0 as B0, EfficientnetB4 as B4, TfEfficientnetB4 as TfB4, Xception};
use Backbone::{Dinov2Vitb14, Dinov2Vitl14, Dinov2Vits14, VitB16Clip, VitL14Clip};
use Backbone::{EfficientnetLite0 as Lite0, EfficientnetLite1 as Lite1, EfficientnetLite2 as Lite2};
use Backbone::{Resnet18, Resnet34, Resnet50, Resnet101};
use Precision::{Bf16, Fp16, Off};
use Temporal::{LstmAttention, Mean};
use Work::{Climbing, Evaluate, NormsOnly, Recomputing, Train};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    Train,
    /// Training with activation checkpointing.
    Recomputing,
    /// Training of the backbone's norms and the head.
    NormsOnly,
    /// Training with sharpness-aware minimisation.
    Climbing,
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
    (Evaluate, Resnet101, 2, 8, 160, Bf16, Mean),
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
    (Train, Resnet18, 2, 12, 144, Off, LstmAttention),
    (Train, Resnet34, 3, 6, 176, Off, Mean),
    (Train, Resnet50, 2, 8, 128, Bf16, LstmAttention),
    (Recomputing, Resnet34, 2, 8, 128, Off, LstmAttention),
    (Evaluate, Resnet101, 3, 6, 144, Bf16, LstmAttention),
    (Evaluate, Resnet34, 2, 8, 192, Bf16, Mean),
    (Evaluate, Resnet18, 2, 16, 224, Bf16, LstmAttention),
    (Evaluate, Resnet34, 6, 8, 128, Off, Mean),
    (Evaluate, Resnet50, 1, 16, 224, Off, Mean),
    (Evaluate, Resnet50, 6, 8, 128, Bf16, LstmAttention),
];

const EFFICIENT: &[Setting] = &[
    (Train, B0, 4, 8, 112, Off, Mean),
    (Train, B0, 2, 8, 224, Off, Mean),
    (Train, B0, 3, 8, 128, Bf16, LstmAttention),
    (Train, B4, 1, 4, 224, Off, Mean),
    (Train, B4, 1, 2, 380, Off, Mean),
    (Recomputing, B0, 3, 8, 160, Off, Mean),
    (Recomputing, B4, 2, 4, 192, Off, LstmAttention),
    (Recomputing, B0, 2, 8, 224, Bf16, Mean),
    (Recomputing, B4, 1, 6, 256, Off, Mean),
    (Train, ConvnextTiny, 2, 4, 224, Off, Mean),
    (Train, ConvnextTiny, 2, 8, 128, Bf16, LstmAttention),
    (Recomputing, ConvnextTiny, 2, 8, 160, Off, Mean),
    (Evaluate, ConvnextTiny, 4, 8, 224, Off, Mean),
    (Evaluate, B0, 4, 8, 224, Off, Mean),
    (Evaluate, B4, 2, 4, 224, Off, LstmAttention),
    (Train, TfB4, 1, 2, 380, Off, Mean),
    (Climbing, TfB4, 1, 3, 256, Off, Mean),
    (Train, Xception, 1, 4, 256, Off, Mean),
    (Recomputing, Xception, 2, 4, 192, Off, LstmAttention),
    (Evaluate, Xception, 2, 4, 256, Off, Mean),
];

const TRANSFORMERS: &[Setting] = &[
    (Train, VitB16Clip, 2, 4, 224, Off, Mean),
    (Train, VitB16Clip, 1, 8, 160, Bf16, Mean),
    (NormsOnly, VitB16Clip, 2, 8, 224, Off, Mean),
    (Recomputing, VitB16Clip, 2, 8, 224, Off, Mean),
    (Evaluate, VitB16Clip, 4, 8, 224, Off, Mean),
    (Train, Dinov2Vits14, 2, 8, 224, Off, LstmAttention),
    (NormsOnly, Dinov2Vits14, 4, 8, 224, Bf16, Mean),
    (Train, Dinov2Vitb14, 1, 4, 224, Off, Mean),
    (NormsOnly, Dinov2Vitb14, 2, 6, 182, Off, Mean),
    (Train, VitL14Clip, 1, 2, 224, Off, Mean),
    (NormsOnly, VitL14Clip, 1, 4, 224, Off, Mean),
    (NormsOnly, VitL14Clip, 1, 8, 224, Bf16, Mean),
    (Train, Dinov2Vitl14, 1, 2, 224, Off, Mean),
    (NormsOnly, Dinov2Vitl14, 1, 4, 224, Off, Mean),
    (Evaluate, Dinov2Vitl14, 2, 4, 224, Off, Mean),
];

const LITE: &[Setting] = &[
    (Train, Lite0, 4, 8, 112, Off, Mean),
    (Train, Lite0, 2, 8, 224, Off, Mean),
    (Train, Lite0, 16, 1, 112, Off, Mean),
    (Train, Lite1, 2, 8, 160, Off, LstmAttention),
    (Train, Lite2, 2, 4, 260, Off, Mean),
    (Train, Lite0, 3, 8, 128, Bf16, LstmAttention),
    (Recomputing, Lite0, 3, 8, 160, Off, Mean),
    (Recomputing, Lite2, 2, 6, 192, Off, LstmAttention),
    (Evaluate, Lite0, 4, 8, 224, Off, Mean),
    (Evaluate, Lite2, 4, 8, 160, Off, LstmAttention),
    (Evaluate, Lite1, 3, 8, 192, Bf16, Mean),
];

/// Those first that matter most: the time on a GPU may be short. The first three are presets.
const CUDA: &[Setting] = &[
    (Train, Resnet18, 6, 16, 224, Bf16, LstmAttention),
    (Train, Resnet50, 12, 32, 224, Bf16, LstmAttention),
    (Train, Resnet50, 10, 24, 224, Bf16, LstmAttention),
    (Train, Resnet50, 6, 32, 224, Bf16, LstmAttention),
    (Evaluate, Resnet50, 12, 32, 224, Bf16, LstmAttention),
    (Recomputing, Resnet50, 12, 32, 224, Bf16, LstmAttention),
    (Train, Lite0, 16, 4, 160, Bf16, Mean),
    (Train, Resnet18, 8, 16, 224, Off, Mean),
    (Train, Resnet34, 4, 8, 128, Bf16, LstmAttention),
    (Evaluate, Resnet18, 6, 16, 224, Off, Mean),
];

const TRIAL: &[Setting] = &[(Train, Resnet18, 1, 2, 32, Off, Mean)];

fn main() {
    let asked = |name: &str| std::env::args().any(|arg| arg == name);
    let (cuda, f32_only) = (asked("cuda"), asked("f32"));
    let kind = if cuda { DeviceKind::Cuda } else { DeviceKind::Cpu };
    let groups = [
        ("fit", FIT),
        ("lite", LITE),
        ("efficient", EFFICIENT),
        ("transformers", TRANSFORMERS),
        ("cuda", CUDA),
        ("trial", TRIAL),
    ];
    let settings = groups.into_iter().find(|(name, _)| asked(name)).map_or(HELD_OUT, |(_, settings)| settings);
    println!(
        "| pass | backbone | clips | format | head | in use: predicted, measured | resident: predicted, measured |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let (mut of_use, mut of_resident) = (Vec::new(), Vec::new());
    let all_backbones = !Backbone::ALL.iter().any(|backbone| asked(backbone.name()));
    let wanted = |(_, backbone, .., precision, _): &&Setting| {
        (all_backbones || asked(backbone.name())) && (!f32_only || *precision == Off)
    };
    for setting in settings.iter().filter(wanted) {
        let (work, backbone, clips, frames, side, _, temporal) = *setting;
        let config = config(*setting, cuda);
        let format = Format::resolve(config.gpu.mixed_precision, cuda.then_some(AMPERE));
        let predict = if work == Evaluate { evaluation_step } else { training_step };
        let phase = if work == Evaluate { Phase::Evaluate } else { Phase::Train };
        let estimate = predict(&config, clips, kind, format);
        let trial = Trial { config, phase, steps: 2, limit_bytes: None };
        let in_use_bytes = estimate.peak_bytes - estimate.breakdown.other;
        // What the allocator of a GPU keeps is not the C heap's to change.
        let in_use = if cuda { "-".into() } else { column(in_use_bytes, measure(&trial, true), &mut of_use) };
        let resident = column(estimate.peak_bytes, measure(&trial, false), &mut of_resident);
        let names = [format!("{work:?}"), format!("{backbone:?}"), format!("{temporal:?}")].map(|n| n.to_lowercase());
        let [work, backbone, head] = names;
        let format = format.name();
        println!(
            "| {work} | {backbone} | {clips} x {frames} x {side} px | {format} | {head} | {in_use} | {resident} |"
        );
    }
    for (what, mut ratios) in [("in use", of_use), ("resident", of_resident)] {
        if ratios.is_empty() {
            continue;
        }
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        println!("{what}: predicted / measured {least:.2} to {most:.2} in {} settings", ratios.len());
    }
}

/// Both in MiB, and their ratio.
fn column(predicted_bytes: u64, measured_bytes: Option<u64>, ratios: &mut Vec<f64>) -> String {
    let Some(measured_bytes) = measured_bytes else { return format!("{}, out of memory", predicted_bytes >> 20) };
    let ratio = predicted_bytes as f64 / measured_bytes as f64;
    ratios.push(ratio);
    format!("{}, {}: {ratio:.2}", predicted_bytes >> 20, measured_bytes >> 20)
}

/// On CUDA, fp16 stands where bf16 is on the CPU.
fn config((work, backbone, clips, frames, side, precision, temporal): Setting, cuda: bool) -> Config {
    let mut config = Config::default();
    (config.model.backbone, config.model.temporal) = (backbone, temporal);
    config.model.activation_checkpointing = work == Recomputing;
    if work == NormsOnly {
        config.model.freeze = Freeze::all_but_norms();
    }
    if work == Climbing {
        config.training.optimizer = OptimizerChoice::Sam;
    }
    (config.data.max_frames, config.data.frame_size) = (frames, [side, side]);
    config.training.batch_size = dfdetect::config::BatchSize::Clips(clips);
    (config.gpu.device, config.gpu.mixed_precision) = match (cuda, precision) {
        (true, Bf16) => (DeviceChoice::Cuda(0), Fp16),
        (true, _) => (DeviceChoice::Cuda(0), precision),
        (false, _) => (DeviceChoice::Cpu, precision),
    };
    config
}

/// Growth of resident memory; with `large_blocks_apart`, glibc maps every block from 1 MiB on by itself, so that its
/// heap has no holes to speak of, and what is resident is what is in use. `None` if a GPU does not have that much.
fn measure(trial: &Trial, large_blocks_apart: bool) -> Option<u64> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.args(["--quiet", "trial-steps"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    if large_blocks_apart {
        command.env("MALLOC_MMAP_THRESHOLD_", "1048576");
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(trial).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{trial:?}: {}", output.status);
    match serde_json::from_slice(&output.stdout).unwrap() {
        TrialOutcome::Done { peak_bytes, .. } => Some(peak_bytes),
        TrialOutcome::OutOfMemory { .. } => None,
    }
}
