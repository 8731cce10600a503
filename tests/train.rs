//! Training as a user runs it: the binary on real H.264 files, stopped, killed, short of memory, and resumed.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod events_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dfdetect::demo::{VideoSettings, VideoWriter};
use dfdetect::run::StoredCheckpoint;
use events_support::{curve, events};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

/// Trainings share two cores: one at a time is faster than all at once.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small clips of noise around a brightness; `pairs` real and as many fake ones, each of a person of its own.
fn noise_videos(pairs: u32) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for class in ["real", "fake"] {
        fs::create_dir(root.path().join(class)).unwrap();
        for person in 0..pairs {
            let path = root.path().join(format!("{class}/id{}_x.mp4", person * 2 + u32::from(class == "fake")));
            let settings = VideoSettings { width: 64, height: 64, fps: 24, ..VideoSettings::default() };
            let mut writer = VideoWriter::create(&path, &settings).unwrap();
            for frame in 0..16 {
                let pixel = |i: u32| (i * 7919 + frame * 31 + person * 997) as u8 / 2;
                writer.write(&(0..64 * 64 * 3).map(pixel).collect::<Vec<_>>()).unwrap();
            }
            writer.finish().unwrap();
        }
    }
    root
}

const SMALL: &[&str] = &[
    // Equal bits, and a limit of the address space, are about the CPU.
    "gpu.device=cpu",
    // It has fewer weights than a ResNet, which every checkpoint writes and every step updates.
    "model.backbone=efficientnet_lite0",
    "model.pretrained=none",
    "model.hidden_dim=16",
    "model.attention_heads=2",
    "data.max_frames=2",
    "data.frame_size=[32,32]",
    "data.val_split=0.2",
    "data.test_split=0.2",
    // Noise has no faces.
    "data.faces.mode=off",
    "cache.disk_bytes=0",
    "training.epochs=2",
    "training.batch_size=4",
    "dataloader.num_workers=2",
];

/// `dfdetect train` on `data` into `output`, with the small settings and `sets` after them.
fn train(data: &Path, output: &Path, sets: &[&str]) -> Command {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/default.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.args(["train", "--config"]).arg(config).arg("--data").arg(data).arg("--output").arg(output);
    for set in SMALL.iter().chain(sets) {
        command.args(["--set", set]);
    }
    command
}

fn resume(run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.args(["train", "--resume"]).arg(run);
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The only run below a folder.
fn only_run(output: &Path) -> PathBuf {
    let runs: Vec<_> = fs::read_dir(output).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn log_lines(run: &Path, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["kind"] == kind).collect()
}

/// Waits until the run below `output` has logged `steps` steps.
fn wait_for_steps(output: &Path, steps: usize, child: &mut Child) {
    // Only for a child that hangs.
    let deadline = Instant::now() + Duration::from_secs(900);
    loop {
        let run = fs::read_dir(output).ok().and_then(|mut entries| entries.next()).map(|entry| entry.unwrap().path());
        if run.is_some_and(|run| log_lines(&run, "step").len() >= steps) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before step {steps}");
        assert!(Instant::now() < deadline, "no step {steps} within 15 minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// Weights and moments after the last epoch, and every loss on the way, bit for bit.
fn assert_same_training(run: &Path, straight: &Path) {
    let losses = |run: &Path| -> Vec<String> {
        log_lines(run, "step").iter().map(|line| format!("{} {} {}", line["step"], line["loss"], line["lr"])).collect()
    };
    assert_eq!(losses(run), losses(straight));
    assert_eq!(curve(run, "step/loss"), curve(straight, "step/loss"));
    assert_eq!(curve(run, "step/loss").len(), losses(straight).len());
    let tensors = |run: &Path, file: &str| {
        let bytes = fs::read(run.join("checkpoints/last").join(file)).unwrap();
        // The configuration in the header names the output folder; what follows is numbers.
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    let average = straight.join("checkpoints/last/model_ema.safetensors").exists().then_some("model_ema.safetensors");
    for file in ["model.safetensors", "optimizer.safetensors"].into_iter().chain(average) {
        assert!(tensors(run, file) == tensors(straight, file), "{file} differs");
    }
    let epochs = |run: &Path| -> Vec<Value> {
        let pick = |line: &Value| {
            serde_json::json!([line["train_loss"], line["train_auc"], line["video_auc"], line["log_loss"]])
        };
        log_lines(run, "epoch").iter().map(pick).collect()
    };
    assert_eq!(epochs(run), epochs(straight));
}

/// 32 videos leave about 20 to train on, so that eight steps an epoch allow batches of 2.
#[test]
fn an_automatic_batch_is_settled_once_and_kept() {
    let _alone = alone();
    let data = noise_videos(16);
    let output = tempfile::tempdir().unwrap();
    let sets = ["training.batch_size=auto", "training.epochs=1"];
    let planned = succeed(train(data.path(), output.path(), &sets).arg("--dry-run"));
    let said = String::from_utf8(planned.stderr).unwrap();
    assert!(said.contains("training.batch_size: auto is 2 (") && said.contains("predicted peak"), "{said}");

    let trained = succeed(&mut train(data.path(), output.path(), &sets));
    let said = String::from_utf8(trained.stderr).unwrap();
    assert!(said.contains("trial: 5 steps of 2 clips: peak"), "{said}");
    assert!(said.contains("training.batch_size: auto is 2 (") && said.contains("measured peak"), "{said}");
    let run = only_run(output.path());
    let config = || fs::read_to_string(run.join("config.yaml")).unwrap();
    assert!(config().contains("batch_size: 2\n"), "{}", config());
    assert_eq!(log_lines(&run, "step")[0]["clips"], 2);

    let mut longer = resume(&run);
    let said = succeed(longer.args(["--epochs", "2", "--batch-size", "auto"])).stderr;
    assert!(!String::from_utf8(said).unwrap().contains("trial:"));
    assert!(config().contains("batch_size: 2\n") && config().contains("epochs: 2\n"), "{}", config());
}

/// A GPU would record; `tests/cuda.rs` shows what.
#[test]
fn without_cuda_a_snapshot_is_said_once_to_be_of_nothing() {
    let _alone = alone();
    let data = noise_videos(8);
    let said = |snapshot: &str| {
        let output = tempfile::tempdir().unwrap();
        let sets = ["gpu.device=cpu", "training.epochs=1", snapshot];
        let said = succeed(&mut train(data.path(), output.path(), &sets)).stderr;
        let found = fs::read_dir(only_run(output.path())).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(found.filter(|name| name.to_string_lossy().starts_with("oom-")).count(), 0);
        String::from_utf8(said).unwrap().matches("without CUDA there is nothing to record").count()
    };
    let key = "gpu.memory_management.snapshot";
    assert_eq!([said(&format!("{key}=true")), said(&format!("{key}=false"))], [1, 0]);
}

#[test]
fn a_run_leaves_what_the_guide_promises_and_evaluate_repeats_its_test() {
    let _alone = alone();
    let data = noise_videos(8);
    let output = tempfile::tempdir().unwrap();
    let shown = succeed(&mut train(data.path(), output.path(), &["training.gradient_accumulation=2"]));
    let run = only_run(output.path());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("validation") && shown.contains("test") && shown.contains(run.to_str().unwrap()), "{shown}");

    let report = json(&run.join("report.json"));
    assert_eq!((&report["status"], &report["epochs"]), (&"completed".into(), &2.into()));
    assert_eq!(report["memory"]["oom_events"], 0);
    assert!(report["memory"]["rss_peak_bytes"].as_u64().unwrap() > 1 << 20);
    // Ten training clips, two epochs: everything but the first sight of a clip comes from the cache.
    assert!(report["data"]["cache_hits"].as_u64().unwrap() > 20, "{report}");

    let steps = log_lines(&run, "step");
    assert_eq!(steps.len(), 4, "batches 4, 4 and 2 in steps of two batches: two steps an epoch");
    assert_eq!(steps.iter().map(|step| step["clips"].as_u64().unwrap()).collect::<Vec<_>>(), [8, 2, 8, 2]);
    for key in ["step", "epoch", "loss", "lr", "grad_norm", "scale", "micro_batch", "clips_per_sec", "data_wait_ms"] {
        assert!(steps[0][key].is_number(), "{key}: {}", steps[0]);
    }
    let csv = fs::read_to_string(run.join("metrics.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(fs::read_to_string(run.join("config.yaml")).unwrap().contains("gradient_accumulation: 2"));
    assert!(shown.contains("training loss "), "a line that shows how it fell: {shown}");
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("completed") && page.contains("Epoch 2 of 2"), "the page is written at the end, too");

    let [start] = &log_lines(&run, "start")[..] else { panic!("it was started once") };
    for made_of in [start, &report] {
        let arguments = made_of["command_line"].as_array().unwrap();
        assert!(arguments.contains(&"training.gradient_accumulation=2".into()), "{made_of}");
        assert!(made_of["versions"]["libtorch"].as_str().unwrap().starts_with("2."), "{made_of}");
        assert!(made_of["device"].as_str().unwrap().starts_with("CPU, "), "{made_of}");
    }
    assert_eq!(start["manifest_hash"], report["manifest_hash"]);

    let evaluated =
        succeed(Command::new(env!("CARGO_BIN_EXE_dfdetect")).args(["evaluate", "--json", "--run"]).arg(&run));
    let evaluated: Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    assert_eq!(evaluated["sets"][0]["overall"], report["test"]);
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let _alone = alone();
    let data = noise_videos(8);
    let runs = [0, 1, 3].map(|workers| {
        let output = tempfile::tempdir().unwrap();
        let set = format!("dataloader.num_workers={workers}");
        // Without a cache, clips really come through the threads.
        succeed(&mut train(data.path(), output.path(), &[&set, "cache.enable_cache=false", "training.epochs=1"]));
        output
    });
    let straight = only_run(runs[0].path());
    runs[1..].iter().for_each(|run| assert_same_training(&only_run(run.path()), &straight));
    let runs = runs.each_ref().map(|output| only_run(output.path()));
    lined_up(&runs);
}

/// `report` shows the three runs side by side, and the one setting in which they differ.
fn lined_up(runs: &[PathBuf; 3]) {
    let report = |option: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        succeed(command.arg("report").arg(option).arg("--run").args(runs)).stdout
    };
    let compared: Value = serde_json::from_slice(&report("--json")).unwrap();
    let expected = serde_json::json!({"dataloader.num_workers": [0, 1, 3]});
    assert_eq!(compared["differences"], expected);
    for (shown, run) in compared["runs"].as_array().unwrap().iter().zip(runs) {
        let own = json(&run.join("report.json"));
        assert_eq!((&shown["validation"], &shown["test"]), (&own["validation"], &own["test"]));
        assert_eq!((&shown["status"], &shown["best_epoch"]), (&"completed".into(), &1.into()));
    }
    // A run that was killed in its second epoch has no report, or an older one.
    fs::remove_file(runs[1].join("report.json")).unwrap();
    let table = String::from_utf8(report("--quiet")).unwrap();
    let rows = |word: &str| table.lines().filter(|line| line.contains(word)).count();
    assert_eq!((rows("completed"), rows("not ended"), rows("dataloader.num_workers")), (2, 1, 1), "{table}");
}

#[test]
fn an_interrupted_and_a_killed_run_end_like_an_undisturbed_one() {
    let _alone = alone();
    let data = noise_videos(12);
    let output = || tempfile::tempdir().unwrap();
    let lite = &["model.pretrained=auto"];
    let undisturbed = output();
    succeed(&mut train(data.path(), undisturbed.path(), lite));
    let straight = only_run(undisturbed.path());
    assert_eq!(log_lines(&straight, "step").len(), 8, "fourteen or fifteen clips in batches of four, twice");

    let quiet = |mut command: Command| command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();

    // Ctrl-C in the first epoch: a checkpoint, code 130, and the rest of the epoch later.
    let interrupted = output();
    let mut child = quiet(train(data.path(), interrupted.path(), lite));
    wait_for_steps(interrupted.path(), 2, &mut child);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let run = only_run(interrupted.path());
    assert_eq!(json(&run.join("report.json"))["status"], "interrupted");
    let done = log_lines(&run, "step").len();
    assert!((2..8).contains(&done), "{done} steps before the interruption");
    succeed(&mut resume(&run));
    assert_same_training(&run, &straight);

    // No warning at all in the second epoch: back to the end of the first.
    let killed = output();
    let mut child = quiet(train(data.path(), killed.path(), lite));
    wait_for_steps(killed.path(), 6, &mut child);
    signal(&child, "KILL");
    child.wait().unwrap();
    let run = only_run(killed.path());
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("not ended") && page.contains("Epoch 1 of 2"), "the page shows the epoch that is finished");
    succeed(&mut resume(&run));
    assert_same_training(&run, &straight);
    assert_eq!(json(&run.join("report.json"))["test"], json(&straight.join("report.json"))["test"]);
}

/// Runs under an address-space limit (`None`: without), well or not, and gives back the most address space it took,
/// too.
fn run_limited(train: &Command, limit_kib: Option<u64>) -> (Output, u64) {
    let mut command = Command::new("sh");
    let limit = limit_kib.map_or(String::new(), |kib| format!("ulimit -v {kib};"));
    command.arg("-c").arg(format!("{limit} exec \"$0\" \"$@\"")).arg(train.get_program()).args(train.get_args());
    // One heap, and large tensors outside of it: then the address space taken follows what tensors need.
    command
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_MMAP_THRESHOLD_", "1048576")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmPeak:"));
        peak_kib = peak.and_then(|kib| kib.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak_kib);
        std::thread::sleep(Duration::from_millis(5));
    }
    (child.wait_with_output().unwrap(), peak_kib)
}

/// The real thing: libtorch's CPU allocator is refused memory by the system, in the middle of training.
#[test]
fn training_goes_to_its_end_through_a_real_out_of_memory() {
    let _alone = alone();
    let data = noise_videos(8);
    let output = tempfile::tempdir().unwrap();
    let settings = [
        "data.max_frames=8",
        "data.frame_size=[176,176]",
        "training.batch_size=8",
        "training.epochs=1",
        "training.limit_batches=2",
        "gpu.mixed_precision=off",
        "dataloader.num_workers=0",
        "cache.memory_bytes=64MiB",
    ];
    let run = |name: &str, set: &[&str], limit_kib: Option<u64>| {
        let folder = output.path().join(name);
        let (output, peak_kib) = run_limited(&train(data.path(), &folder, &[&settings, set].concat()), limit_kib);
        (only_run(&folder), output, peak_kib)
    };
    let well = |(run, output, peak_kib): (PathBuf, Output, u64)| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (run, peak_kib)
    };
    let (straight, whole_kib) = well(run("whole", &[], None));
    let (_, half_kib) = well(run("half", &["training.batch_size=4"], None));
    assert!(whole_kib > half_kib + 150_000, "{whole_kib} and {half_kib} KiB: too close to tell anything");

    let limit_kib = Some(half_kib + (whole_kib - half_kib) / 2);
    let (limited, _) = well(run("limited", &[], limit_kib));
    let report = json(&limited.join("report.json"));
    assert_eq!(report["status"], "completed");
    assert!(report["memory"]["oom_events"].as_u64().unwrap() >= 1, "{report}");
    assert!(report["memory"]["micro_batch_final"].as_u64().unwrap() < 8, "{report}");
    let events = log_lines(&limited, "oom");
    assert!(events[0]["message"].as_str().unwrap().contains("can't allocate memory"), "{}", events[0]);

    // No clip was lost and no step came twice.
    let clips = |run: &Path| -> Vec<(u64, u64)> {
        let pair = |line: &Value| (line["step"].as_u64().unwrap(), line["clips"].as_u64().unwrap());
        log_lines(run, "step").iter().map(pair).collect()
    };
    assert_eq!(clips(&limited), clips(&straight));

    // Without the guard's retries that is the end, and the page says so.
    let (ended, output, _) = run("ended", &["gpu.memory_management.oom_retry=false"], limit_kib);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&ended.join("report.json"))["memory"]["ended_the_run"], true);
    let page = |run: &Path| fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page(&ended).contains("No: it ran out and could not go on"));
    assert!(!page(&limited).contains("could not go on"));
}

/// Of a Vision Transformer whose norms learn, a clip of 16 frames trains in the address space that one of a single frame
/// takes, and learns the same.
#[test]
fn a_clip_trains_in_the_memory_of_one_frame() {
    assert_trains_in_the_memory_of_one_frame("dinov2_vits14");
}

#[test]
#[ignore = "takes minutes and 8 GB: cargo test --test train -- --ignored"]
fn a_clip_of_a_large_transformer_trains_in_the_memory_of_one_frame() {
    assert_trains_in_the_memory_of_one_frame("vit_l14_clip");
}

fn assert_trains_in_the_memory_of_one_frame(backbone: &str) {
    let _alone = alone();
    let data = noise_videos(4);
    let output = tempfile::tempdir().unwrap();
    let backbone = format!("model.backbone={backbone}");
    let settings = [
        &backbone,
        "model.freeze=all_but_norms",
        "model.temporal=mean",
        "model.pretrained=none",
        "data.min_frames=1",
        "data.frame_size=[224,224]",
        "training.batch_size=1",
        "training.optimizer=sgd",
        "training.learning_rate=1",
        "training.warmup_epochs=0",
        "training.gradient_clip_norm=0",
        "training.weight_decay=0",
        "training.epochs=1",
        "training.limit_batches=1",
        "gpu.mixed_precision=off",
        "dataloader.num_workers=0",
        "cache.memory_bytes=0",
    ];
    let run = |frames: usize, limit_kib: Option<u64>| {
        let folder = output.path().join(format!("{frames}-{}", limit_kib.is_some()));
        let frames = format!("data.max_frames={frames}");
        let (output, peak_kib) =
            run_limited(&train(data.path(), &folder, &[&settings[..], &[&frames]].concat()), limit_kib);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (only_run(&folder), peak_kib)
    };
    let (_, one_kib) = run(1, None);
    let (whole, whole_kib) = run(16, None);
    println!("one frame {one_kib} KiB, 16 frames {whole_kib} KiB");
    // The loader has more frames ready.
    let limit_kib = one_kib + (64 << 10);
    assert!(whole_kib > limit_kib + 100_000, "{whole_kib} and {limit_kib} KiB: too close to tell anything");
    let (limited, _) = run(16, Some(limit_kib));
    let report = json(&limited.join("report.json"));
    assert!(report["memory"]["chunk_frames_final"].as_u64().unwrap() <= 4, "{report}");

    let loss = |run: &Path| log_lines(run, "step")[0]["loss"].as_f64().unwrap();
    assert!((loss(&limited) - loss(&whole)).abs() < 1e-5 * loss(&whole), "{} and {}", loss(&limited), loss(&whole));
    // A shift of a norm starts at 0: after one step of SGD at a learning rate of 1, it is its gradient.
    let [limited, whole] = [limited, whole].map(|run| weights(&run.join("checkpoints/last/model.safetensors")));
    let is_shift = |name: &str| name.contains("norm") && name.ends_with(".bias");
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let mut compared = 0;
    for (name, gradient) in whole.iter().filter(|(name, _)| is_shift(name)) {
        let difference = norm(&mut gradient.iter().zip(&limited[name]).map(|(a, b)| a - b));
        let length = norm(&mut gradient.iter().copied());
        assert!(length > 0.0 && difference < 1e-5 * length, "{name}: {difference} of {length}");
        compared += 1;
    }
    assert!(compared >= 25, "{compared} shifts of norms");
}

/// The run alone fills more than a thousandth of any machine, so the reading that crosses the threshold is a real one.
#[test]
fn real_pressure_empties_the_cache_and_changes_nothing_that_is_learned() {
    let _alone = alone();
    let data = noise_videos(8);
    let run = |sets: &[&str]| {
        let output = tempfile::tempdir().unwrap();
        let log = succeed(&mut train(data.path(), output.path(), &[&["logging.memory_log_interval=1"], sets].concat()));
        (only_run(output.path()), output, String::from_utf8(log.stderr).unwrap())
    };
    let (calm, _calm, _) = run(&["gpu.memory_management.cpu_threshold=1.0"]);
    let (pressed, _pressed, log) = run(&[
        "gpu.memory_management.cpu_threshold=0.001",
        "gpu.memory_management.auto_cleanup_interval=0.1",
        "gpu.memory_management.force_cleanup_every=4",
    ]);
    assert_same_training(&pressed, &calm);

    let cleanups = log_lines(&pressed, "cleanup");
    let of = |reason: &str| cleanups.iter().filter(|line| line["reason"] == reason).collect::<Vec<_>>();
    let first = of("host_pressure")[0];
    assert!(first["changes"][0].as_str().unwrap().starts_with("frame cache: "), "{first}");
    assert!(first["before"]["rss_bytes"].is_u64() && first["ms"].is_f64(), "{first}");
    assert!(log.contains("frame cache: ") && log.contains(", because host memory is "), "{log}");
    assert_eq!(of("scheduled").len(), 1, "ten or eleven clips in batches of four, twice: step 4 of six");
    let cached = |run: &Path| -> Vec<u64> {
        log_lines(run, "memory").iter().map(|line| line["cache_bytes"].as_u64().unwrap()).collect()
    };
    let (kept, left) = (cached(&calm), cached(&pressed));
    assert!(kept[0] > 0 && kept[0] == kept[5], "{kept:?}");
    assert!(left.last() < kept.last(), "{left:?} of {kept:?}");

    let memory = json(&pressed.join("report.json"))["memory"].clone();
    assert_eq!(memory["cleanups"].as_u64().unwrap() as usize, cleanups.len());
    assert!(memory["cleanup_ms"].as_f64().unwrap() > 0.0 && memory["host_used_peak_bytes"].is_u64(), "{memory}");
    assert_eq!(json(&calm.join("report.json"))["memory"]["cleanups"], 0);
}

/// Links every video of `source` into `real/` or `fake/` by a coin that knows nothing of what it shows.
fn shuffled_labels(source: &Path) -> TempDir {
    let mut videos: Vec<PathBuf> = ["real", "fake/faceswap"]
        .iter()
        .flat_map(|class| fs::read_dir(source.join(class)).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    videos.sort();
    let half = videos.len() / 2;
    videos.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let shuffled = tempfile::tempdir().unwrap();
    for (class, videos) in [("real", &videos[..half]), ("fake", &videos[half..])] {
        fs::create_dir(shuffled.path().join(class)).unwrap();
        for video in videos {
            let link = shuffled.path().join(class).join(video.file_name().unwrap());
            std::os::unix::fs::symlink(video, link).unwrap();
        }
    }
    shuffled
}

/// What the quick start shows, on fewer and smaller frames: forgeries of people never seen are told from recordings,
/// and only because of what is in the pixels.
#[test]
fn it_learns_forgeries_and_nothing_from_shuffled_labels() {
    let _alone = alone();
    let demo = tempfile::tempdir().unwrap();
    let never = std::sync::atomic::AtomicBool::new(false);
    dfdetect::demo::make(demo.path(), 128, 5, &never).unwrap();
    let shuffled = shuffled_labels(demo.path());

    let test_auc = |data: &Path, test_split: &str, least_videos: u64| {
        let output = tempfile::tempdir().unwrap();
        let settings = [
            "data.max_frames=4",
            "data.frame_size=[112,112]",
            "data.val_split=0.15",
            test_split,
            "model.pretrained=auto",
            "model.temporal=mean",
            "training.epochs=5",
            "training.warmup_epochs=1",
            "training.early_stopping.patience=0",
            // The test is whether pixels are learned from; varied ones take more epochs.
            "augmentation.enabled=false",
        ];
        succeed(&mut train(data, output.path(), &settings));
        let report = json(&only_run(output.path()).join("report.json"));
        assert!(report["test"]["videos"].as_u64().unwrap() >= least_videos, "{report}");
        report["test"]["video_auc"].as_f64().unwrap()
    };
    let learned = test_auc(demo.path(), "data.test_split=0.35", 36);
    eprintln!("test video AUC {learned}");
    assert!(learned >= 0.9, "test video AUC {learned}");
    // Whatever the network makes of them, random labels give the AUC of 80 videos a standard deviation of sqrt((40 + 40
    // + 1) / (12 x 40 x 40)) = 0.065, so a quarter is nearly four of these: other kernels are other draws.
    let by_chance = test_auc(shuffled.path(), "data.test_split=0.7", 80);
    eprintln!("with shuffled labels {by_chance}");
    assert!((0.25..=0.75).contains(&by_chance), "test video AUC {by_chance} with shuffled labels");
}

/// Overwrites the pictures of an mp4 and leaves its index: the file opens, its frames cannot be decoded.
fn damage(video: &Path) {
    let mut bytes = fs::read(video).unwrap();
    let index = bytes.windows(4).position(|name| name == b"moov").unwrap();
    let pictures = bytes.windows(4).position(|name| name == b"mdat").unwrap() + 4;
    assert!(pictures < index);
    bytes[pictures..index - 4].fill(0xAA);
    fs::write(video, bytes).unwrap();
}

#[test]
fn a_damaged_video_leaves_the_same_hole_whenever_it_is_found() {
    let _alone = alone();
    let data = noise_videos(8);
    let run = |set: &str| {
        let output = tempfile::tempdir().unwrap();
        succeed(&mut train(data.path(), output.path(), &["training.epochs=1", set]));
        (only_run(output.path()), output)
    };
    let (whole, _whole) = run("cache.enable_cache=true");
    let manifest = json(&whole.join("manifest.json"));
    let videos = manifest["videos"].as_array().unwrap();
    let learned_from = videos.iter().find(|video| video["split"] == "train").unwrap();
    damage(&data.path().join(learned_from["path"].as_str().unwrap()));

    // With a cache it is found before training, without one when it is its turn.
    let (early, _early) = run("cache.enable_cache=true");
    let (late, _late) = run("cache.enable_cache=false");
    for run in [&early, &late] {
        assert_eq!(json(&run.join("manifest.json"))["skipped"][0]["path"], learned_from["path"]);
        assert_eq!(json(&run.join("report.json"))["data"]["skipped"], 1);
    }
    assert_same_training(&late, &early);
}

/// As [`noise_videos`], but each fake is of a person who is in a real video too.
fn paired_videos(pairs: u32) -> TempDir {
    let root = noise_videos(pairs);
    for pair in 0..pairs {
        let fake = |name: String| root.path().join("fake").join(name);
        fs::rename(fake(format!("id{}_x.mp4", 2 * pair + 1)), fake(format!("id{}_x.mp4", 2 * pair))).unwrap();
    }
    root
}

/// Kills of the test below; more by hand, such as 50.
fn kills() -> u32 {
    std::env::var("DFDETECT_KILLS").map_or(5, |kills| kills.parse().unwrap())
}

/// Kills `child` after `pause`; false where it had come to its end by then, which has to be a good one.
fn kill_after(child: &mut Child, pause: Duration) -> bool {
    std::thread::sleep(pause);
    let ended = child.try_wait().unwrap();
    assert!(ended.is_none_or(|status| status.success()), "it failed by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    ended.is_none()
}

/// Runs to the end through `kills` kills at random moments of a run that takes `whole`, and gives back how many fell.
fn train_through_kills(train: impl Fn() -> Command, output: &Path, kills: u32, whole: Duration, seed: u64) -> u32 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut done = 0;
    loop {
        let run = fs::read_dir(output).unwrap().next().map(|entry| entry.unwrap().path());
        let mut command = match run {
            Some(run) if run.join("checkpoints/last").exists() => resume(&run),
            // Killed before there was anything to go on with.
            _ => {
                fs::remove_dir_all(output).and_then(|()| fs::create_dir(output)).unwrap();
                train()
            }
        };
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let pause = whole.mul_f64(random.random_range(0.0..0.6));
        if done == kills {
            assert!(child.wait().unwrap().success(), "{command:?}");
            return done;
        }
        if !kill_after(&mut child, pause) {
            return done;
        }
        done += 1;
        let logged =
            fs::read_dir(output).unwrap().next().map_or(0, |run| log_lines(&run.unwrap().path(), "step").len());
        eprintln!("kill {done} after {} ms, {logged} steps in the log", pause.as_millis());
    }
}

/// Everything that is not the default at once, which all has to come out of a checkpoint again: pairs, some frames an
/// epoch, a video that cannot be read, SGD, a plateau, an average, patience, the last weights. Saved every few steps
/// and killed without warning, over and over, wherever it stands.
#[test]
fn kills_at_random_moments_change_nothing() {
    let _alone = alone();
    let data = paired_videos(10);
    let settings = [
        "data.sampler=paired",
        "data.max_frames=4",
        "data.frames_per_epoch=2",
        "cache.enable_cache=false",
        "training.optimizer=sgd",
        "training.backbone_lr_scale=0.5",
        "training.scheduler=plateau",
        "training.warmup_epochs=0",
        "training.ema_decay=0.9",
        "training.epochs=8",
        "training.early_stopping={monitor: val_loss, min_delta: 1.0, patience: 5, restore_best_weights: false}",
        "loss={type: focal, label_smoothing: 0.1, class_weights: balanced}",
        "output.save_every_secs=0.2",
        "output.keep_last=2",
    ];
    let output = || tempfile::tempdir().unwrap();
    let first = output();
    succeed(&mut train(data.path(), first.path(), &[&settings[..], &["training.epochs=1"]].concat()));
    let manifest = json(&only_run(first.path()).join("manifest.json"));
    let learned_from = manifest["videos"].as_array().unwrap().iter().find(|video| video["split"] == "train").unwrap();
    damage(&data.path().join(learned_from["path"].as_str().unwrap()));

    let undisturbed = output();
    let started = Instant::now();
    succeed(&mut train(data.path(), undisturbed.path(), &settings));
    let whole = started.elapsed();
    let straight = only_run(undisturbed.path());
    let steps = log_lines(&straight, "step");
    let rates: Vec<_> = steps.iter().map(|step| step["lr"].as_f64().unwrap()).collect();
    assert_eq!(*rates.last().unwrap(), rates[0] / 2.0, "four epochs without a gain halve it: {rates:?}");
    assert_eq!(log_lines(&straight, "epoch").len(), 6, "and five stop it");
    assert_eq!(json(&straight.join("report.json"))["data"]["skipped"], 1);

    let mut left = kills();
    while left > 0 {
        let killed = output();
        let start = || train(data.path(), killed.path(), &settings);
        left -= train_through_kills(start, killed.path(), left.min(5), whole, u64::from(left));
        let run = only_run(killed.path());
        assert_same_training(&run, &straight);
        assert_eq!(json(&run.join("report.json"))["test"], json(&straight.join("report.json"))["test"]);
        let folders = |run: &Path| {
            let names = fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().starts_with("step-")).count()
        };
        assert_eq!(folders(&run), folders(&straight), "two last epochs, and the best");
    }

    // The average is what was tested, and what evaluate tests again; of the last epoch, as asked.
    let last = straight.join("checkpoints/last");
    let weights = |file: &str| fs::read(last.join(file)).unwrap();
    assert_ne!(weights("model.safetensors"), weights("model_ema.safetensors"));
    let evaluate = |run: &Path| {
        let shown =
            succeed(Command::new(env!("CARGO_BIN_EXE_dfdetect")).args(["evaluate", "--json", "--run"]).arg(run));
        serde_json::from_slice::<Value>(&shown.stdout).unwrap()
    };
    let evaluated = evaluate(&straight);
    assert_eq!(evaluated["sets"][0]["overall"], json(&straight.join("report.json"))["test"]);
    assert!(evaluated["checkpoint"].as_str().unwrap().ends_with("last"), "{evaluated}");
    fs::remove_file(last.join("model_ema.safetensors")).unwrap();
    assert_ne!(evaluate(&straight)["sets"], evaluated["sets"], "without its average it is another detector");
}

/// A link that cannot be moved stands for a kill between the two: `last` must not say that an epoch is the best before
/// `best` has it.
#[test]
fn a_checkpoint_that_is_half_linked_is_made_again() {
    let _alone = alone();
    let data = noise_videos(8);
    let output = tempfile::tempdir().unwrap();
    succeed(&mut train(data.path(), output.path(), &["training.epochs=1", "output.keep_last=2"]));
    let run = only_run(output.path());
    let checkpoints = run.join("checkpoints");
    // As a run that was killed before its first step.
    for entry in fs::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_name().to_str().unwrap() {
            "step-00000000" => {}
            _ if entry.file_type().unwrap().is_symlink() => fs::remove_file(entry.path()).unwrap(),
            _ => fs::remove_dir_all(entry.path()).unwrap(),
        }
    }
    std::os::unix::fs::symlink("step-00000000", checkpoints.join("last")).unwrap();
    let taken = checkpoints.join("best");
    fs::create_dir_all(taken.join("in the way")).unwrap();
    assert_eq!(resume(&run).output().unwrap().status.code(), Some(1));
    assert_eq!(
        json(&checkpoints.join("last/state.json"))["step"],
        0,
        "not the end of an epoch that no `best` points to"
    );
    fs::remove_dir_all(&taken).unwrap();
    succeed(&mut resume(&run));
    assert_eq!(json(&run.join("report.json"))["best_epoch"], 1);
    assert!(taken.join("model.safetensors").exists());
}

/// Weight decay 1 at a learning rate of 10 multiplies every weight by minus eight a step, until float32 ends; a tenth
/// of that is stable.
#[test]
fn a_run_that_diverges_is_taken_back_once_and_then_stops() {
    let _alone = alone();
    let data = noise_videos(8);
    // With a learning rate of 10 and this weight decay, each step makes the weights nine times larger.
    let settings = [
        "training.optimizer=sgd",
        "training.learning_rate=0.001",
        "training.weight_decay=1",
        "training.gradient_clip_norm=0",
        "training.scheduler=constant",
        "training.warmup_epochs=0",
        "training.early_stopping.patience=0",
        "training.epochs=1",
        "model.temporal=mean",
        "gpu.mixed_precision=off",
        "output.keep_last=24",
    ];
    let output = tempfile::tempdir().unwrap();
    succeed(&mut train(data.path(), output.path(), &settings));
    let run = only_run(output.path());
    succeed(resume(&run).args(["--epochs", "24", "--lr", "10"]));
    let report = json(&run.join("report.json"));
    assert_eq!((&report["epochs"], &report["taken_back"]), (&24.into(), &true.into()));

    let skips = log_lines(&run, "skip");
    assert!(skips.len() >= 20 && report["skipped_steps"] == skips.len(), "{} steps were skipped", skips.len());
    assert!(skips[0]["videos"].as_array().unwrap().iter().all(|video| video.as_str().unwrap().ends_with(".mp4")));
    let [back] = &log_lines(&run, "taken_back")[..] else { panic!("it was taken back once") };
    let (from, to) = (back["step"].as_u64().unwrap(), back["to_step"].as_u64().unwrap());
    assert!(to <= from - 20, "{back}");
    let steps = log_lines(&run, "step");
    assert_eq!(to, steps.iter().filter(|step| step["lr"] == 0.001).count() as u64, "the end of the only sound epoch");
    assert_eq!(steps.iter().find(|step| step["step"].as_u64() == Some(to + 1)).unwrap()["lr"], 10.0);
    assert_eq!(steps.last().unwrap()["lr"], 1.0);
    assert_eq!(steps.iter().filter(|step| step["step"].as_u64() == Some(to + 1)).count(), 2, "the same step again");
    assert!(steps.last().unwrap()["loss"].as_f64().unwrap().is_finite(), "it has recovered");

    // Once more, for a run that says it was taken back already: that is the end.
    let output = tempfile::tempdir().unwrap();
    succeed(&mut train(data.path(), output.path(), &settings));
    let run = only_run(output.path());
    let path = run.join("checkpoints/last/state.json");
    let mut state = json(&path);
    state["lr_factor"] = 0.99.into();
    fs::write(&path, state.to_string()).unwrap();
    let failed = resume(&run).args(["--epochs", "40", "--lr", "10"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("was taken back before") && said.contains("hint: start a new run"), "{said}");
}

#[test]
fn a_checkpoint_of_another_format_or_optimizer_is_refused_with_a_reason() {
    let _alone = alone();
    let data = noise_videos(8);
    let output = tempfile::tempdir().unwrap();
    succeed(&mut train(data.path(), output.path(), &["training.epochs=1"]));
    let run = only_run(output.path());
    let refused = |command: &mut Command| {
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = refused(resume(&run).args(["--set", "training.optimizer=sgd"]));
    assert!(code == Some(2) && said.contains("training.optimizer"), "{said}");

    let path = run.join("checkpoints/last/state.json");
    let mut state = json(&path);
    state.as_object_mut().unwrap().remove("format");
    fs::write(&path, state.to_string()).unwrap();
    let (code, said) = refused(&mut resume(&run));
    assert!(code == Some(1) && said.contains("format 1") && said.contains("hint:"), "{said}");
}

/// ResNet-18 as torchvision saves it; `scripts/make_weights_fixtures.py` says what is in it.
#[test]
fn a_run_starts_from_given_weights_leaves_frozen_parts_alone_and_can_be_drawn() {
    let _alone = alone();
    let data = noise_videos(10);
    let output = tempfile::tempdir().unwrap();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights/resnet18.pth");
    let pretrained = format!("model.pretrained={}", weights.display());
    let freeze = "model.freeze=[stem,layer1,layer2,layer3,batch_norm]";
    let sets = [
        "model.backbone=resnet18",
        &pretrained,
        freeze,
        "training.epochs=1",
        "training.backbone_lr_scale=0.5",
        "training.warmup_epochs=0",
    ];
    let said = String::from_utf8(succeed(&mut train(data.path(), output.path(), &sets)).stderr).unwrap();
    assert!(
        said.contains("100 tensors; left out, as the network has no place for them: `fc.bias`, `fc.weight`"),
        "{said}"
    );
    let run = only_run(output.path());

    let (model, moments) = ("checkpoints/last/model.safetensors", "checkpoints/last/optimizer.safetensors");
    let bytes = fs::read(run.join(model)).unwrap();
    let model = SafeTensors::deserialize(&bytes).unwrap();
    let all_are = |name: &str, value: f64| {
        let data = model.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(4).all(|number| number == (value as f32).to_le_bytes())
    };
    assert!(all_are("backbone.conv1.weight", 1.0 / 147.0));
    assert!(all_are("backbone.layer4.1.bn2.running_mean", 117.0 / 1024.0));
    assert!(!all_are("backbone.layer4.1.conv2.weight", (1.0 + 114.0 / 1024.0) / 4608.0));
    let bytes = fs::read(run.join(moments)).unwrap();
    let moments = SafeTensors::deserialize(&bytes).unwrap();
    let of_backbone = |name: &&str| name.starts_with("backbone.");
    assert_eq!(moments.names().into_iter().filter(of_backbone).count(), 2 * 5, "{:?}", moments.names());

    let steps = log_lines(&run, "step");
    for key in ["loss", "lr", "backbone_lr", "grad_norm", "scale", "clips_per_sec", "rss_bytes", "micro_batch"] {
        let point = |line: &Value| (line["step"].as_i64().unwrap(), line[key].as_f64().unwrap() as f32);
        assert_eq!(curve(&run, &format!("step/{key}")), steps.iter().map(point).collect::<Vec<_>>(), "{key}");
    }
    assert_eq!(curve(&run, "epoch/video_auc").len(), 1);
    let pictures: Vec<_> =
        events(&run).into_iter().filter_map(|event| event.summary).flat_map(|all| all.value).collect();
    for tag in ["clips/real", "clips/fake"] {
        let image = pictures.iter().find(|value| value.tag == tag).unwrap().image.as_ref().unwrap();
        let picture = image::load_from_memory(&image.encoded).unwrap();
        assert_eq!((picture.width() as i32, picture.height() as i32), (image.width, image.height));
        assert_eq!(image.width, 2 * 112, "two frames a clip");
    }

    let other = resume(&run).args(["--set", "model.pretrained=none"]).output().unwrap();
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && said.contains("model.pretrained"), "{said}");
}

/// Without a connection and with empty caches.
fn offline(mut command: Command, home: &Path) -> Command {
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", home).env("TORCH_HOME", home).env_remove("HF_HUB_CACHE");
    command
}

#[test]
fn without_a_network_imagenet_weights_are_asked_for_before_anything_else() {
    let (data, output) = (noise_videos(8), tempfile::tempdir().unwrap());
    let command = train(data.path(), output.path(), &["model.backbone=resnet18", "model.pretrained=imagenet"]);
    let failed = offline(command, output.path()).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    let place = output.path().join("hub/checkpoints/resnet18-f37072fd.pth");
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("HF_HUB_OFFLINE is set") && said.contains(&place.display().to_string()), "{said}");
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 0, "no run is begun");
}

#[test]
fn without_a_network_auto_says_once_that_it_starts_from_random_weights() {
    let _alone = alone();
    let data = noise_videos(8);
    let first_steps = |pretrained: &str| {
        let (output, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sets = ["model.backbone=resnet18", "training.epochs=1", &format!("model.pretrained={pretrained}")];
        let ended = succeed(&mut offline(train(data.path(), output.path(), &sets), home.path()));
        let run = only_run(output.path());
        let report = json(&run.join("report.json"))["first_weights"].as_str().unwrap().to_owned();
        let losses: Vec<_> = log_lines(&run, "step").iter().map(|line| line["loss"].clone()).collect();
        (String::from_utf8(ended.stderr).unwrap(), report, losses)
    };
    let (said, report, losses) = first_steps("auto");
    assert_eq!(said.matches("training starts from random weights").count(), 1, "{said}");
    assert_eq!(report, "random (model.pretrained: auto found no published ones)");
    let (said, report, random_losses) = first_steps("none");
    assert!(!said.contains("WARN"), "{said}");
    assert_eq!((report.as_str(), random_losses), ("random (model.pretrained is none)", losses));
}

/// The tensors of a file of weights.
fn weights(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers =
        |data: &[u8]| data.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect();
    file.tensors().into_iter().map(|(name, view)| (name, numbers(view.data()))).collect()
}

#[test]
fn the_mean_of_the_best_epochs_is_tested_and_made_again_by_a_run_that_was_killed_before() {
    let _alone = alone();
    let (data, output) = (noise_videos(8), tempfile::tempdir().unwrap());
    let sets = ["output.keep_best=2", "training.epochs=3", "training.learning_rate=0.01"];
    succeed(&mut train(data.path(), output.path(), &sets));
    let run = only_run(output.path());
    // No step is left: the checkpoints still have the old setting.
    let average_anew = || succeed(resume(&run).args(["--set", "training.average_best=2"]));
    average_anew();
    let report = json(&run.join("report.json"));
    let epochs = report["average"]["epochs"].as_array().unwrap();
    assert!(epochs.len() == 2 && epochs[0] == report["best_epoch"], "{report}");
    let checkpoints = run.join("checkpoints");
    let steps = fs::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap().path());
    let averaged: Vec<_> = steps
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-"))
        .filter(|path| epochs.contains(&json(&path.join("state.json"))["epoch"]))
        .map(|path| weights(&path.join("model.safetensors")))
        .collect();
    let [a, b] = &averaged[..] else { panic!("{} checkpoints", averaged.len()) };
    let average = checkpoints.join("average/model.safetensors");
    for (name, mean) in &weights(&average) {
        let near = |((mean, a), b): ((&f32, &f32), &f32)| (mean - (a + b) / 2.0).abs() <= 1e-6 * (1.0 + mean.abs());
        let is_mean = mean.iter().zip(&a[name]).zip(&b[name]).all(near);
        // Statistics are measured, and far from the mean of running ones after three epochs of momentum 0.01.
        assert_eq!(is_mean, !name.contains(".running_"), "{name}");
    }

    let evaluated =
        succeed(Command::new(env!("CARGO_BIN_EXE_dfdetect")).args(["evaluate", "--json", "--run"]).arg(&run));
    let evaluated: Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    assert_eq!(evaluated["sets"][0]["overall"], report["test"]);
    assert!(evaluated["checkpoint"].as_str().unwrap().ends_with("average"), "{evaluated}");

    let first = fs::read(&average).unwrap();
    fs::remove_dir_all(checkpoints.join("average")).unwrap();
    average_anew();
    assert!(fs::read(&average).unwrap() == first, "the same mean again");
    assert!(fs::read_to_string(run.join("report.html")).unwrap().contains("Tested was the mean of the weights"));

    // Trained on for an epoch, the run is tested with its best epoch again; the average is one of before.
    succeed(resume(&run).args(["--set", "training.epochs=4"]));
    let tested = |run: &Path| StoredCheckpoint::of_run(run).map(|stored| stored.folder);
    assert_eq!(tested(&run).unwrap(), checkpoints.join("best"));

    // A copy may have the best epoch alone. Nothing else stands in for a last one that is damaged.
    let copied = tempfile::tempdir().unwrap();
    let copy = copied.path().join("checkpoints");
    fs::create_dir(&copy).unwrap();
    fs::rename(checkpoints.join("best").canonicalize().unwrap(), copy.join("best")).unwrap();
    assert_eq!(tested(copied.path()).unwrap(), copy.join("best"));
    fs::create_dir(copy.join("last")).unwrap();
    assert!(tested(copied.path()).is_err(), "a damaged checkpoint is named, not passed over");
}

#[test]
fn a_run_starts_from_all_weights_of_another() {
    let _alone = alone();
    let data = noise_videos(8);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lite = ["model.pretrained=auto", "training.ema_decay=0.5"];
    succeed(&mut train(data.path(), first.path(), &lite));
    let other = only_run(first.path());
    // With a learning rate of 0 all weights stay what they are before the first step.
    let still = ["training.learning_rate=0", "training.min_lr=0", "training.epochs=1"];
    let other_input = ["model.pixel_mean=[0.4,0.4,0.4]", "model.normalize_features=true"];
    let mut command = train(data.path(), second.path(), &[&still[..], &other_input].concat());
    let said = succeed(command.arg("--init-from").arg(&other)).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("its weights expect pixels of mean [0.498"), "{said}");
    assert!(said.contains("its model.normalize_features is false, here it is true"), "{said}");
    let run = only_run(second.path());
    let learned = |path: PathBuf| {
        let all = weights(&path).into_iter();
        all.filter(|(name, _)| !name.contains(".running_")).collect::<BTreeMap<_, _>>()
    };
    let found = learned(run.join("checkpoints/last/model.safetensors"));
    assert!(found.keys().any(|name| name.starts_with("head.")) && found.len() > 100);
    assert!(found == learned(other.join("checkpoints/best/model_ema.safetensors")), "the average, which was tested");
    let first_weights = json(&run.join("report.json"))["first_weights"].clone();
    assert!(first_weights.as_str().unwrap().ends_with("checkpoints/best"), "{first_weights}");

    let mut command = train(data.path(), second.path(), &["model.backbone=resnet18"]);
    let refused = command.arg("--init-from").arg(&other).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("model.init_from") && said.contains("efficientnet_lite0"), "{said}");
}
