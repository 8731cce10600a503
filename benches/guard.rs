//! What the memory guard costs and what it saves. Run: `cargo bench --bench guard -- MODE`
//!
//! - `overhead`: a step under the guard against the same step written out without it, in turns.
//! - `recovery`: what a failed attempt costs beyond itself, with libtorch really refused memory by an address-space
//!   limit.
//! - `leak`: resident memory over a thousand such recoveries.
//! - `preset`: one step of the `default` preset (ResNet-50, 12 clips of 32 frames) inside what one clip needs, and
//!   inside a quarter of that.
//!
//! Without a mode: all but `preset`, which takes minutes.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop where it cannot go on")]

use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dfdetect::backbone::Backbone;
use dfdetect::config::{BatchSize, Config, Precision, Temporal};
use dfdetect::dataset::Label;
use dfdetect::loader::HostBatch;
use dfdetect::memory::{DeviceGauge, Guard, GuardState, MicroBatchSize, MicroBatchSizes};
use dfdetect::model::{Detector, Draws, Mode};
use dfdetect::optim::{Loss, LossScaler};
use dfdetect::torch::Format;
use dfdetect::train::{Learner, Stepper};
use dfdetect::video::ClipSpec;
use rustix::process::{Resource, Rlimit, setrlimit};
use tch::{Device, Kind, Reduction, Tensor};

const MIB: u64 = 1 << 20;

fn main() {
    let modes: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    match modes.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => ["overhead", "recovery", "leak"].iter().for_each(|mode| in_own_process(&[mode])),
        ["overhead"] => overhead(),
        ["recovery"] => recovery(),
        ["leak"] => leak(),
        ["preset"] => preset(),
        ["preset-step", precision, clips, limit_mib] => {
            preset_step(precision, clips.parse().unwrap(), limit_mib.parse().unwrap(), None);
        }
        ["preset-step", precision, clips, "0", chunk_frames] => {
            preset_step(precision, clips.parse().unwrap(), 0, Some(chunk_frames.parse().unwrap()));
        }
        other => panic!("no such mode: {other:?}"),
    }
}

/// Limits and peaks are a process's own. Small tensors share one heap, large ones lie outside of it.
fn own_process(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "1048576");
    command
}

fn in_own_process(arguments: &[&str]) {
    assert!(own_process(arguments).status().unwrap().success());
}

/// A line of `/proc/self/status`, in bytes.
fn status_bytes(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

fn limit_address_space(bytes: Option<u64>) {
    setrlimit(Resource::As, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// ResNet-18 on 4 clips of 8 frames of 112 x 112.
fn small() -> Config {
    let mut config = Config::default();
    (config.model.backbone, config.model.hidden_dim) = (Backbone::Resnet18, 128);
    (config.data.max_frames, config.data.frame_size, config.training.batch_size) = (8, [112, 112], BatchSize::Clips(4));
    (config.model.temporal, config.gpu.mixed_precision) = (Temporal::LstmAttention, Precision::Off);
    config
}

fn learner(config: &Config) -> Learner {
    tch::manual_seed(1);
    let format = Format::resolve(config.gpu.mixed_precision, None);
    let detector = Detector::new(&config.model, Device::Cpu, format, true).unwrap();
    Learner::new(&config.training, detector, None).unwrap()
}

fn guard(config: &Config, size: MicroBatchSize) -> Guard<'static> {
    Guard::new("train", MicroBatchSizes::training(config, false), Box::new(DeviceGauge::new(Device::Cpu)), true, 200)
        .resume(&GuardState::at(size))
}

fn stepper(config: &Config, clean_up: Box<dyn FnMut()>) -> Stepper<'static> {
    let (learner, loss) = (learner(config), Loss::new(&config.loss, [1, 1]));
    let guard = guard(config, MicroBatchSize::whole(config.training.batch_size.clips()));
    Stepper::new(config, learner, loss, LossScaler::new(false), guard, clean_up).unwrap()
}

fn batch(config: &Config, clips: usize) -> HostBatch {
    let bytes: Vec<_> = (0..clips * ClipSpec::of(&config.data).clip_bytes()).map(|i| (i * 7919 % 251) as u8).collect();
    let label = |clip: usize| if clip.is_multiple_of(2) { Label::Real } else { Label::Fake };
    HostBatch::of_bytes(&bytes, (0..clips).map(label).collect())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// The least that a training step can be: forward, loss, backward, update.
fn bare_step(learner: &mut Learner, batch: &HostBatch, config: &Config) {
    let spec = ClipSpec::of(&config.data);
    let shape = [batch.labels.len(), spec.frames, spec.height, spec.width, 3].map(|size| size as i64);
    let frames_bthwc = Tensor::from_data_size(&batch.frames_bthwc(), &shape, Kind::Uint8);
    let targets: Vec<f32> = batch.labels.iter().map(|label| f32::from(u8::from(*label == Label::Fake))).collect();
    learner.detector.parameters().zero_gradients().unwrap();
    let logits_b = learner.detector.forward(&frames_bthwc, Mode::Train(Draws::default())).unwrap().clips_b;
    let (targets_b, mean) = (Tensor::from_slice(&targets), Reduction::Mean);
    logits_b.binary_cross_entropy_with_logits(&targets_b, None::<Tensor>, None::<Tensor>, mean).backward();
    learner.optimizer.step(1e-4).unwrap();
}

fn overhead() {
    let config = small();
    let batch = batch(&config, 4);
    let mut guarded = stepper(&config, Box::new(|| {}));
    let mut bare = learner(&config);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..41 {
        let started = Instant::now();
        bare_step(&mut bare, &batch, &config);
        let between = Instant::now();
        guarded.step(std::slice::from_ref(&batch), None, 1e-4, round).unwrap();
        // The first warms up.
        if round > 0 {
            times[0].push(between - started);
            times[1].push(between.elapsed());
        }
    }
    let [bare_ms, guarded_ms] = times.map(median);
    let share = 100.0 * (guarded_ms / bare_ms - 1.0);
    println!(
        "overhead: bare step {bare_ms:.1} ms, with norm and clipping under the guard {guarded_ms:.1} ms ({share:+.2} %)"
    );
}

/// A stepper under a limit that holds 2 of 4 clips; when memory ran out, the clock is read.
fn limited(config: &Config) -> (Stepper<'static>, Rc<Cell<Option<Instant>>>) {
    let failed = Rc::new(Cell::new(None));
    let clock = failed.clone();
    let mut stepper = stepper(config, Box::new(move || clock.set(Some(Instant::now()))));
    let batch = batch(config, 4);
    let need = |stepper: &mut Stepper, micro_batch: usize| {
        stepper.guard = guard(config, MicroBatchSize::whole(micro_batch));
        stepper.step(std::slice::from_ref(&batch), None, 1e-4, 0).unwrap();
        status_bytes("VmPeak")
    };
    let (half, whole) = (need(&mut stepper, 2), need(&mut stepper, 4));
    println!("2 clips at a time take up to {} MiB of address space, 4 take {} MiB", half / MIB, whole / MIB);
    dfdetect::torch::release_cached_memory().unwrap();
    limit_address_space(Some(half + (whole - half) / 2));
    (stepper, failed)
}

fn recovery() {
    let config = small();
    let batch = [batch(&config, 4)];
    let (mut stepper, failed) = limited(&config);
    let (mut clean, mut lost, mut overhead) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..20 {
        stepper.guard = guard(&config, MicroBatchSize::whole(2));
        let started = Instant::now();
        stepper.step(&batch, None, 1e-4, round).unwrap();
        let clean_step = started.elapsed();

        stepper.guard = guard(&config, MicroBatchSize::whole(4));
        let started = Instant::now();
        stepper.step(&batch, None, 1e-4, round).unwrap();
        let all = started.elapsed();
        assert_eq!(stepper.guard.events().len(), 1, "{:?}", stepper.guard.events());
        let attempt = failed.get().unwrap() - started;
        clean.push(clean_step);
        lost.push(attempt);
        overhead.push(all.saturating_sub(attempt + clean_step));
    }
    let [clean_ms, lost_ms, overhead_ms] = [clean, lost, overhead].map(median);
    let share = 100.0 * overhead_ms / clean_ms;
    println!(
        "recovery: step {clean_ms:.1} ms, failed attempt {lost_ms:.1} ms, beyond it {overhead_ms:.1} ms ({share:.1} % of a step)"
    );
}

fn leak() {
    let mut config = small();
    (config.data.max_frames, config.data.frame_size) = (4, [64, 64]);
    let batch = [batch(&config, 4)];
    let (mut stepper, _) = limited(&config);
    let mut events = 0;
    for round in 0..1000 {
        stepper.guard = guard(&config, MicroBatchSize::whole(4));
        stepper.step(&batch, None, 1e-4, round).unwrap();
        events += stepper.guard.events().len();
        if [9, 99, 499, 999].contains(&round) {
            println!("leak: {} MiB resident after {events} recoveries", status_bytes("VmRSS") / MIB);
        }
    }
}

/// One step of `configs/default.yaml` under a limit on what it takes beyond what lies in memory between steps (weights,
/// gradients, moments, libraries). 0: no limit. With `chunk_frames` it starts there, and shows what a step that came
/// down to it must have computed.
fn preset_step(precision: &str, clips: usize, limit_mib: u64, chunk_frames: Option<usize>) {
    let mut config = Config::default();
    config.gpu.mixed_precision = precision.parse().unwrap();
    let mut stepper = stepper(&config, Box::new(|| {}));
    // Gradients exist from the first step on.
    stepper.guard = guard(&config, MicroBatchSize { chunk_frames: Some(1), ..MicroBatchSize::whole(1) });
    let warm_up = Instant::now();
    stepper.step(&[batch(&config, 1)], None, 1e-4, 0).unwrap();
    let warm_up = warm_up.elapsed();
    dfdetect::torch::release_cached_memory().unwrap();
    let rest = status_bytes("VmSize");

    let whole = batch(&config, clips);
    let whole_batch = MicroBatchSize::whole(config.training.batch_size.clips());
    let size = chunk_frames
        .map_or(whole_batch, |frames| MicroBatchSize { chunk_frames: Some(frames), ..MicroBatchSize::whole(1) });
    stepper.guard = guard(&config, size);
    if limit_mib > 0 {
        limit_address_space(Some(rest + limit_mib * MIB));
    }
    let started = Instant::now();
    let report = stepper.step(&[whole], None, 1e-4, 1).unwrap();
    assert_eq!(report.scores.len(), clips);
    println!(
        "{}",
        serde_json::json!({
            "clips": clips,
            "cut": report.size.to_string(),
            "loss": report.loss,
            "grad_norm": report.grad_norm,
            "failed_attempts": stepper.guard.events().len(),
            "lost_ms": stepper.guard.events().iter().map(|event| event.lost_ms).sum::<u64>(),
            "step_secs": started.elapsed().as_secs_f64(),
            "frame_by_frame_clip_secs": warm_up.as_secs_f64(),
            "rest_mib": rest / MIB,
            "resident_mib": status_bytes("VmRSS") / MIB,
            "needed_mib": status_bytes("VmPeak").saturating_sub(rest) / MIB,
        })
    );
}

fn preset() {
    for precision in ["off", "bf16"] {
        let step = |clips: usize, limit_mib: u64| -> serde_json::Value {
            let (clips, limit) = (clips.to_string(), limit_mib.to_string());
            let output = own_process(&["preset-step", precision, &clips, &limit]).output().unwrap();
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
            println!("preset, {precision}, limit {limit} MiB: {}", shown.trim());
            serde_json::from_str(shown.lines().last().unwrap()).unwrap()
        };
        let one_clip_mib = step(1, 0)["needed_mib"].as_u64().unwrap();
        step(12, one_clip_mib);
        step(12, one_clip_mib / 4);
    }
}
