//! What only a CUDA device can show. Without one, every test here says that it was skipped and shows nothing;
//! `scripts/gpu_proof.sh` runs them, and counts those that were skipped, on a machine that has one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use data_support::{SETTINGS, write_video};
use dfdetect::backbone::Backbone;
use dfdetect::config::{Config, Switch};
use dfdetect::dataset::Footage;
use dfdetect::model::{Detector, Draws, Mode, Placement};
use dfdetect::torch::{self, Format};
use dfdetect::video::{self, ClipSpec};
use safetensors::SafeTensors;
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

const GPU: Device = Device::Cuda(0);

/// The device, to a test alone or to several that train in processes of their own.
#[expect(dead_code, reason = "locks are held, not read")]
enum Held {
    Alone(RwLockWriteGuard<'static, ()>),
    Shared(RwLockReadGuard<'static, ()>),
}

/// On a GPU with less memory, trainings run one after the other.
const ENOUGH_FOR_ALL_BYTES: u64 = 60 << 30;

/// The device; `None` where there is none, which is said. Tests that use it in this process are `alone`, because they
/// read its allocator.
fn hold(test: &str, alone: bool) -> Option<Held> {
    static DEVICE: RwLock<()> = RwLock::new(());
    if !torch::cuda_available() {
        eprintln!("skipped: {test}: no CUDA device");
        return None;
    }
    let (_, installed_bytes) = torch::device_memory(GPU).unwrap();
    Some(match alone || installed_bytes < ENOUGH_FOR_ALL_BYTES {
        true => Held::Alone(DEVICE.write().unwrap_or_else(PoisonError::into_inner)),
        false => Held::Shared(DEVICE.read().unwrap_or_else(PoisonError::into_inner)),
    })
}

/// For a test that uses the device in this process.
fn cuda(test: &str) -> Option<Held> {
    hold(test, true)
}

/// For a test that only starts the program.
fn cuda_of_programs(test: &str) -> Option<Held> {
    hold(test, false)
}

/// Eight real and eight fake videos, each of a person of its own.
fn videos() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for number in 0..16 {
        let class = if number % 2 == 0 { "real" } else { "fake" };
        write_video(&root.path().join(format!("{class}/id{number}_x.mp4")), &SETTINGS, 12, number);
    }
    root
}

/// What a training left.
struct Run {
    folder: PathBuf,
    report: Value,
    _output: TempDir,
}

impl Run {
    /// Trains on the GPU, with a batch of eight clips of eight frames unless `sets` says otherwise.
    fn train(data: &Path, sets: &[&str]) -> Self {
        let output = tempfile::tempdir().unwrap();
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/default.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        command.args(["train", "--device", "cuda", "--epochs", "1", "--batch-size", "8", "--config"]).arg(config);
        command.arg("--data").arg(data).arg("--output").arg(output.path());
        let usual = [
            "model.backbone=resnet18",
            "model.pretrained=none",
            "data.max_frames=8",
            "data.faces.mode=off",
            "cache.disk_bytes=0",
        ];
        let sets = [&usual, &["data.val_split=0.2", "data.test_split=0.2"][..], sets].concat();
        succeed(with_settings(&mut command, &sets));
        let folder = fs::read_dir(output.path()).unwrap().next().unwrap().unwrap().path();
        Self { report: report_of(&folder), folder, _output: output }
    }

    /// Goes on with the run.
    fn resume(self, sets: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        succeed(with_settings(command.args(["train", "--resume"]).arg(&self.folder), sets));
        Self { report: report_of(&self.folder), ..self }
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == kind).collect()
    }

    fn steps(&self, key: &str) -> Vec<f64> {
        self.log("step").iter().map(|line| line[key].as_f64().unwrap_or(f64::NAN)).collect()
    }

    fn memory(&self, key: &str) -> u64 {
        self.report["memory"][key].as_u64().unwrap_or_else(|| panic!("memory.{key}: {}", self.report))
    }

    fn has_finite_weights(&self) -> bool {
        let bytes = fs::read(self.folder.join("checkpoints/last/model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert!(tensors.len() > 60);
        let floats = tensors.iter().filter(|(_, tensor)| tensor.dtype() == safetensors::Dtype::F32);
        let mut numbers = floats.flat_map(|(_, tensor)| tensor.data().chunks_exact(4));
        numbers.all(|number| f32::from_le_bytes(number.try_into().unwrap()).is_finite())
    }
}

fn with_settings<'a>(command: &'a mut Command, sets: &[&str]) -> &'a mut Command {
    command.args(sets.iter().flat_map(|set| ["--set", set]))
}

fn succeed(command: &mut Command) {
    let shown = command.output().unwrap();
    assert!(shown.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&shown.stderr));
}

fn report_of(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap()
}

/// The setting that caps memory at so many bytes.
fn cap(bytes: u64) -> String {
    let (_, installed_bytes) = torch::device_memory(GPU).unwrap();
    format!("gpu.memory_fraction={}", bytes as f64 / installed_bytes as f64)
}

/// Without cuDNN's trials, whose memory would be taken for that of a step.
const NO_TRIALS: &str = "gpu.cudnn_benchmark=false";

/// The promise of the guard, with CUDA's own out-of-memory: same clips, same steps, nothing lost.
#[test]
fn a_batch_beyond_the_cap_is_learned_in_smaller_pieces() {
    let Some(_held) = cuda_of_programs("a_batch_beyond_the_cap_is_learned_in_smaller_pieces") else { return };
    let data = videos();
    let train = |sets: &[&str]| Run::train(data.path(), &[&[NO_TRIALS], sets].concat());
    let (whole, half) = (train(&[]), train(&["training.batch_size=4"]));
    let (most, less) = (whole.memory("gpu_peak_bytes"), half.memory("gpu_peak_bytes"));
    assert!(most > less + (256 << 20), "{most} and {less} bytes: too close to tell anything");

    let capped = train(&[&cap((most + less) / 2)]);
    assert_eq!(
        (&capped.report["status"], &capped.report["memory"]["moved_to_cpu"]),
        (&"completed".into(), &false.into())
    );
    assert!(capped.memory("oom_events") >= 1 && capped.memory("micro_batch_final") < 8, "{}", capped.report);
    assert!(capped.memory("gpu_peak_bytes") <= (most + less) / 2);
    let message = capped.log("oom")[0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("CUDA out of memory"), "{message}");
    assert_eq!(capped.steps("clips"), whole.steps("clips"), "a clip was lost or came twice");
    assert!(capped.steps("loss").iter().all(|loss| loss.is_finite()) && capped.has_finite_weights());
}

/// A cap is met by tensors alone, so they held the memory; what they were is in a file.
#[test]
fn a_failure_says_who_held_the_memory_and_leaves_a_snapshot() {
    let Some(_held) = cuda_of_programs("a_failure_says_who_held_the_memory_and_leaves_a_snapshot") else { return };
    let data = videos();
    let train = |sets: &[&str]| Run::train(data.path(), &[&[NO_TRIALS], sets].concat());
    let peak = |sets: &[&str]| train(sets).memory("gpu_peak_bytes");
    let (_, installed) = torch::device_memory(GPU).unwrap();
    let run = train(&[&cap((peak(&[]) + peak(&["training.batch_size=4"])) / 2), "gpu.memory_management.snapshot=true"]);
    let failures = run.log("oom");
    let shortage = &failures[0]["shortage"];
    let bytes = |key: &str| shortage[key].as_u64().unwrap_or_else(|| panic!("{key}: {shortage}"));
    assert!(bytes("reserved_bytes") <= bytes("total_bytes") && bytes("total_bytes") < installed, "{shortage}");
    assert!(bytes("allocated_bytes") <= bytes("reserved_bytes"), "{shortage}");
    assert!(bytes("allocated_bytes") > bytes("total_bytes") / 3, "not what was left after the attempt: {shortage}");
    assert!(["tensors", "fragments"].contains(&shortage["held_by"].as_str().unwrap()), "{shortage}");
    assert!(run.report["memory"]["oom_advice"].is_string(), "{}", run.report);

    let pickle = fs::read(run.folder.join("oom-1.pickle")).unwrap();
    assert!(pickle.len() > 10_000 && pickle.starts_with(&[0x80]) && pickle.ends_with(b"."), "{} bytes", pickle.len());
    for word in [&b"device_traces"[..], b"segment_alloc", b"oom"] {
        let has_it = pickle.windows(word.len()).any(|part| part == word);
        assert!(has_it, "{} is not in it", String::from_utf8_lossy(word));
    }
    let written = (1..=4).filter(|number| run.folder.join(format!("oom-{number}.pickle")).exists()).count();
    assert_eq!(written, failures.len().min(3));
}

/// Smaller than a clip: frames of one, at a time.
#[test]
fn a_clip_beyond_the_cap_is_learned_in_chunks() {
    let Some(_held) = cuda_of_programs("a_clip_beyond_the_cap_is_learned_in_chunks") else { return };
    let data = videos();
    let train = |sets: &[&str]| {
        let large = [NO_TRIALS, "training.batch_size=1", "data.frame_size=[448,448]", "data.min_frames=4"];
        Run::train(data.path(), &[&large, sets].concat())
    };
    let (whole, half) = (train(&[]), train(&["data.max_frames=4"]));
    let (most, less) = (whole.memory("gpu_peak_bytes"), half.memory("gpu_peak_bytes"));
    assert!(most > less + (256 << 20), "{most} and {less} bytes: too close to tell anything");

    let capped = train(&[&cap((most + less) / 2)]);
    assert_eq!(capped.report["status"], "completed");
    assert!((1..=4).contains(&capped.memory("chunk_frames_final")), "{}", capped.report);
    assert_eq!(capped.report["memory"]["moved_to_cpu"], false);
    assert_eq!(capped.steps("clips"), whole.steps("clips"), "a clip was lost or came twice");
    assert!(capped.has_finite_weights());
}

/// Where not even one frame fits, and the user asked for it; with more memory, the run is on the GPU again.
#[test]
fn a_frame_beyond_the_cap_goes_to_the_cpu_and_comes_back_with_memory() {
    let Some(_held) = cuda_of_programs("a_frame_beyond_the_cap_goes_to_the_cpu_and_comes_back_with_memory") else {
        return;
    };
    let data = videos();
    let train = |sets: &[&str]| {
        let few = ["training.batch_size=1", "training.limit_batches=2", "data.max_frames=2", "data.min_frames=2"];
        let other = [NO_TRIALS, "model.temporal=mean", "gpu.fallback_cpu=true"];
        Run::train(data.path(), &[&few, &other[..], sets].concat())
    };
    let (small, large) = (train(&["data.frame_size=[64,64]"]), train(&["data.frame_size=[1024,1024]"]));
    let (state, most) = (small.memory("gpu_peak_bytes"), large.memory("gpu_peak_bytes"));
    assert!(most > state + (512 << 20), "{most} and {state} bytes: too close to tell anything");

    // What is kept of one of the two frames is half of the difference.
    let moved = train(&["data.frame_size=[1024,1024]", &cap(state + (most - state) / 8)]);
    assert_eq!((&moved.report["status"], &moved.report["memory"]["moved_to_cpu"]), (&"completed".into(), &true.into()));
    assert_eq!(moved.steps("clips"), large.steps("clips"), "a clip was lost or came twice");
    let back = moved.resume(&["training.epochs=2", "gpu.memory_fraction=1"]);
    assert_eq!((&back.report["status"], &back.report["memory"]["moved_to_cpu"]), (&"completed".into(), &false.into()));
    assert_eq!(back.steps("clips").len(), 4);
    assert!(back.has_finite_weights());
}

/// A copy from page-locked memory goes on while the next kernels are given; none may see it half done.
#[test]
fn copies_from_page_locked_memory_are_done_before_they_are_read() {
    let Some(_held) = cuda_of_programs("copies_from_page_locked_memory_are_done_before_they_are_read") else { return };
    let data = videos();
    let losses = |pin_memory: &str| {
        let sets = [pin_memory, "gpu.mixed_precision=off", "gpu.deterministic=true", "training.batch_size=2"];
        Run::train(data.path(), &sets).steps("loss")
    };
    assert_eq!(losses("dataloader.pin_memory=true"), losses("dataloader.pin_memory=false"));
}

#[test]
fn recomputing_activations_takes_less_memory_and_learns_the_same() {
    let Some(_held) = cuda_of_programs("recomputing_activations_takes_less_memory_and_learns_the_same") else { return };
    let data = videos();
    let train = |recompute: &str| {
        let sets = [recompute, "gpu.mixed_precision=off", "gpu.deterministic=true", "training.limit_batches=1"];
        Run::train(data.path(), &sets)
    };
    let kept = train("model.activation_checkpointing=false");
    let recomputed = train("model.activation_checkpointing=true");
    assert!(recomputed.memory("gpu_peak_bytes") < kept.memory("gpu_peak_bytes") * 4 / 5);
    for key in ["loss", "grad_norm"] {
        let (a, b) = (kept.steps(key)[0], recomputed.steps(key)[0]);
        assert!((a - b).abs() < 1e-3 * b.abs(), "{key}: {a} and {b}");
    }
}

/// Were the gradients not unscaled, their norm would be tens of thousands of times too large.
#[test]
fn fp16_with_loss_scaling_takes_the_steps_of_f32() {
    let Some(_held) = cuda_of_programs("fp16_with_loss_scaling_takes_the_steps_of_f32") else { return };
    let data = videos();
    let fp16 = Run::train(data.path(), &["gpu.mixed_precision=fp16"]);
    let f32 = Run::train(data.path(), &["gpu.mixed_precision=off"]);
    assert!(fp16.steps("scale")[0] > 1.0 && f32.steps("scale")[0] == 1.0);
    let near = |key: &str, tolerance: f64| {
        let (a, b) = (fp16.steps(key)[0], f32.steps(key)[0]);
        assert!((a - b).abs() < tolerance * b, "{key}: {a} and {b}");
    };
    near("loss", 0.02);
    near("grad_norm", 0.2);
    assert!(fp16.has_finite_weights());
    // Half the bytes for activations, less what stays in float32.
    assert!(fp16.memory("gpu_peak_bytes") < f32.memory("gpu_peak_bytes") * 4 / 5);
}

#[test]
fn one_seed_decides_weights_and_dropout() {
    let Some(_held) = cuda_of_programs("one_seed_decides_weights_and_dropout") else { return };
    let data = videos();
    let first_loss = |seed: &str| {
        let sets = [seed, "gpu.mixed_precision=off", "gpu.cudnn_benchmark=false", "augmentation.enabled=false"];
        Run::train(data.path(), &sets).steps("loss")[0]
    };
    let [once, again] = [first_loss("seed=7"), first_loss("seed=7")];
    assert!((once - again).abs() < 1e-5, "{once} and {again}");
    assert!((once - first_loss("seed=8")).abs() > 1e-4, "another seed gives other weights");
}

#[test]
fn the_allocator_counts_what_a_tensor_takes() {
    let Some(_alone) = cuda("the_allocator_counts_what_a_tensor_takes") else { return };
    const BYTES: u64 = 64 << 20;
    drop(Tensor::zeros([1], (Kind::Float, GPU)));
    torch::reset_peak_stats(GPU).unwrap();
    let before = torch::allocator_stats(GPU).unwrap();
    drop(Tensor::zeros([BYTES as i64], (Kind::Uint8, GPU)));
    let after = torch::allocator_stats(GPU).unwrap();
    assert_eq!(after.allocated_bytes, before.allocated_bytes);
    assert_eq!(after.allocated_peak_bytes, before.allocated_bytes + BYTES);
    assert!(after.reserved_bytes >= before.reserved_bytes + BYTES, "the block is kept for later");
    torch::release_cached_memory().unwrap();
    assert!(torch::allocator_stats(GPU).unwrap().reserved_bytes + BYTES <= after.reserved_bytes);
}

/// NCHW and NHWC in memory are two sets of kernels for one function, which is also the CPU's.
#[test]
fn the_network_says_the_same_in_either_layout_and_on_the_cpu() {
    let Some(_alone) = cuda("the_network_says_the_same_in_either_layout_and_on_the_cpu") else { return };
    let mut config = Config::default().model;
    (config.backbone, config.hidden_dim, config.dropout) = (Backbone::Resnet18, 16, 0.0);
    tch::manual_seed(5);
    let reference = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
    let pixels: Vec<u8> =
        (0..4 * 2 * 96 * 96 * 3).map(|i: usize| (i * 7919 % 251) as u8 ^ ((i / 55296) as u8 * 29)).collect();
    let frames_bthwc = Tensor::from_slice(&pixels).view([4, 2, 96, 96, 3]);
    let logits_b = |detector: &Detector, device: Device| {
        let _no_grad = tch::no_grad_guard();
        let logits = detector.forward(&frames_bthwc.to_device(device), Mode::Train(Draws::default())).unwrap();
        Vec::<f32>::try_from(logits.clips_b.to_device(Device::Cpu)).unwrap()
    };
    let expected = logits_b(&reference, Device::Cpu);
    for channels_last in [true, false] {
        let detector = Detector::new(&config, GPU, Format::F32, channels_last).unwrap();
        let _no_grad = tch::no_grad_guard();
        for (to, from) in detector.parameters().iter().zip(reference.parameters().iter()) {
            to.tensor.shallow_clone().copy_(&from.tensor);
        }
        let found = logits_b(&detector, GPU);
        // cuDNN's convolutions round their inputs to TF32, 10 bits.
        let same = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.02);
        assert!(same, "channels_last {channels_last}: {found:?} and {expected:?}");
    }
}

/// cuDNN compacts weights that do not lie in one buffer a layer at each call, and libtorch warns of it.
#[test]
fn the_weights_of_an_lstm_lie_in_one_buffer_a_layer_and_stay_there() {
    let Some(_alone) = cuda("the_weights_of_an_lstm_lie_in_one_buffer_a_layer_and_stay_there") else { return };
    let mut config = Config::default().model;
    (config.backbone, config.hidden_dim, config.num_layers, config.dropout) = (Backbone::Resnet18, 16, 2, 0.0);
    tch::manual_seed(5);
    let reference = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
    tch::manual_seed(5);
    let mut detector = Detector::new(&config, GPU, Format::F32, true).unwrap();
    let is_flat = |detector: &Detector, layer: usize| {
        let of_layer = format!("_l{layer}");
        let weights = detector.parameters().iter().filter(|p| p.name.contains("lstm.") && p.name.contains(&of_layer));
        let places: Vec<_> = weights.map(|p| (p.tensor.data_ptr() as usize, 4 * p.tensor.numel())).collect();
        assert_eq!(places.len(), 8);
        let start = places.iter().map(|place| place.0).min().unwrap();
        let end = places.iter().map(|place| place.0 + place.1).max().unwrap();
        end - start == places.iter().map(|place| place.1).sum::<usize>()
    };
    assert!(is_flat(&detector, 0) && is_flat(&detector, 1));

    let features_btf = Tensor::arange(2 * 5 * 512, (Kind::Float, Device::Cpu)).sin().view([2, 5, 512]);
    let step = |detector: &Detector| {
        let features_btf = features_btf.to_device(detector.device());
        let logits_b = detector.logits(&features_btf, Mode::Train(Draws::default())).unwrap().clips_b;
        logits_b.sum(Kind::Float).backward();
        let _no_grad = tch::no_grad_guard();
        for parameter in detector.parameters().trainable().filter(|p| p.tensor.grad().defined()) {
            let gradient = parameter.tensor.grad();
            let _ = parameter.tensor.shallow_clone().g_sub_(&(gradient * 0.01));
        }
        let logits_b = detector.logits(&features_btf, Mode::Evaluate).unwrap().clips_b;
        Vec::<f32>::try_from(logits_b.to_device(Device::Cpu)).unwrap()
    };
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 5e-3);
    let (found, expected) = (step(&detector), step(&reference));
    assert!(near(&found, &expected), "{found:?} and {expected:?}");
    assert!(is_flat(&detector, 0) && is_flat(&detector, 1), "after an update");
    detector.move_to(Device::Cpu, Format::F32).unwrap();
    assert!(near(&step(&detector), &step(&reference)));
}

#[test]
fn bytes_go_into_page_locked_memory() {
    let Some(_alone) = cuda("bytes_go_into_page_locked_memory") else { return };
    let tensor = torch::tensor_of_bytes(&[&[1, 2, 3], &[4]], &[2, 2], true).unwrap();
    assert!(tensor.is_pinned(GPU));
    let moved = tensor.to_device_(GPU, Kind::Uint8, true, false);
    assert_eq!(Vec::<u8>::try_from(moved.flatten(0, -1).to_device(Device::Cpu)).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn the_device_says_its_capability_and_decides_the_format() {
    let Some(_alone) = cuda("the_device_says_its_capability_and_decides_the_format") else { return };
    let capability = torch::compute_capabilities()[0].unwrap();
    assert!(torch::has_kernels_for(capability), "{capability:?}");
    let placement = Placement::decide(&Config::default().gpu).unwrap();
    let expected = if capability >= [8, 0] { Format::Bf16 } else { Format::Fp16 };
    assert_eq!((placement.device, placement.format), (GPU, expected));
}

#[test]
fn segments_are_expandable_unless_the_user_has_set_the_allocator_up() {
    let Some(_alone) = cuda("segments_are_expandable_unless_the_user_has_set_the_allocator_up") else { return };
    let said = |set: Option<(&str, &str)>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        command.args(["meminfo", "--json"]).env_remove("PYTORCH_ALLOC_CONF").env_remove("PYTORCH_CUDA_ALLOC_CONF");
        let shown = command.envs(set).output().unwrap();
        let json: Value = serde_json::from_slice(&shown.stdout).unwrap();
        json["torch"]["expandable_segments"].as_bool().unwrap()
    };
    assert!(said(None), "only a driver without virtual memory for the GPU is a reason");
    assert!(!said(Some(("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:512"))));
    assert!(!said(Some(("PYTORCH_ALLOC_CONF", "max_split_size_mb:512"))));
}

/// LSTM, attention, max pooling and every other operation of training.
#[test]
fn two_deterministic_runs_end_with_the_same_bits() {
    let Some(_alone) = cuda("two_deterministic_runs_end_with_the_same_bits") else { return };
    let data = videos();
    let weights = || {
        let run = Run::train(data.path(), &["gpu.deterministic=true"]);
        fs::read(run.folder.join("checkpoints/last/model.safetensors")).unwrap()
    };
    assert!(weights() == weights());
}

/// H.264 says to the bit what a decoder gives; what is left is the rounding of NV12's way to RGB.
#[test]
fn frames_decoded_on_the_gpu_are_those_of_the_cpu() {
    let test = "frames_decoded_on_the_gpu_are_those_of_the_cpu";
    let Some(_alone) = cuda(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    write_video(&path, &SETTINGS, 40, 3);
    let clip = |hw_decode| {
        let spec = ClipSpec { hw_decode, ..ClipSpec::uniform(7, 64, 96, 1) };
        video::read_clip(&Footage::video(&path), &spec, None).unwrap().thwc
    };
    let (gpu, cpu) = (clip(Switch::On), clip(Switch::Off));
    if !fs::read_to_string("/proc/self/maps").unwrap().contains("libnvcuvid") {
        eprintln!("skipped: {test}: the driver's decoder, libnvcuvid, is not installed");
        return;
    }
    let worst = gpu.iter().zip(&cpu).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(worst <= 3, "{worst} grey levels apart");
}
