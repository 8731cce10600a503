//! A run's folder as training leaves it, made up: what is on its page is about its files alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dfdetect::config::{Config, LayoutChoice};
use dfdetect::dataset::{DataSet, Label, Manifest, SkippedVideo, Split, VideoRecord};
use dfdetect::metrics::{Calibration, CalibrationBin, Confusion, CurvePoint, Metrics, OperatingPoint};
use dfdetect::report::{
    AllSets, BootstrapGroups, BootstrapUnit, DataSummary, DatasetReport, EvaluationReport, MemorySummary, Mistake,
    Provenance, Report, RunFolder, Status, Throughput, Versions,
};
use serde_json::{Value, json};

/// A name that is no text to a browser unless it is written as text.
pub const HOSTILE: &str = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'&.mp4";

const EPOCHS: u32 = 8;
const STEPS_AN_EPOCH: u64 = 40;
const GIB: u64 = 1 << 30;

fn provenance() -> Provenance {
    Provenance {
        first_weights: Some("random (model.pretrained is none)".into()),
        versions: Versions {
            dfdetect: "0.1.0".into(),
            commit: Some("0123abc".into()),
            libtorch: "2.11.0".into(),
            ffmpeg: "59.37.100".into(),
        },
        command_line: vec!["dfdetect".into(), "train".into(), "--data".into(), HOSTILE.into()],
        manifest_hash: "xxh3:00112233445566778899aabbccddeeff".into(),
        device: "CPU, bf16 (automatic, this CPU has bf16 instructions)".into(),
    }
}

pub fn config(learning_rate: f64) -> Config {
    let mut config = Config::default();
    config.experiment.name = "faces".into();
    config.training.epochs = EPOCHS;
    config.training.learning_rate = learning_rate;
    config.data.root.0 = vec![HOSTILE.into()];
    config
}

/// Writes settings and videos, and the log of a run that learns, up to `epochs` and a few steps of the next one.
pub fn begin(run: &Path, config: &Config, epochs: u32) {
    fs::create_dir_all(run).unwrap();
    let folder = RunFolder::open(run);
    fs::write(folder.config(), serde_yaml::to_string(config).unwrap()).unwrap();
    manifest().save(&folder.manifest()).unwrap();
    let start = json!({"step": 0, "time": "2026-11-25T08:00:00+01:00"});
    let mut log = vec![line("start", &merged(start, serde_json::to_value(provenance()).unwrap()))];
    for epoch in 1..=EPOCHS.min(epochs + 1) {
        let steps = if epoch > epochs { 5 } else { STEPS_AN_EPOCH };
        let first = u64::from(epoch - 1) * STEPS_AN_EPOCH + 1;
        log.extend((first..first + steps).flat_map(|number| step(epoch, number)));
        if epoch <= epochs {
            log.push(line("epoch", &end_of_epoch(epoch, config.training.learning_rate / 0.001)));
        }
    }
    fs::write(folder.log(), log.join("\n") + "\n").unwrap();
}

/// Adds lines to the log of a run.
pub fn note(run: &Path, kind: &str, body: &Value) {
    let path = RunFolder::open(run).log();
    fs::write(&path, fs::read_to_string(&path).unwrap() + &line(kind, body) + "\n").unwrap();
}

fn line(kind: &str, body: &Value) -> String {
    // The kind comes first, as in a real log.
    format!("{{\"kind\":\"{kind}\",{}", &body.to_string()[1..])
}

fn merged(mut a: Value, b: Value) -> Value {
    a.as_object_mut().unwrap().extend(b.as_object().unwrap().clone());
    a
}

/// Noise that is the same each time.
fn noise(number: u64) -> f64 {
    (number as f64 * 12.9898).sin() * 0.5
}

fn step(epoch: u32, number: u64) -> Vec<String> {
    let loss = 0.1 + 0.6 * (-(number as f64) / 90.0).exp() + 0.12 * noise(number);
    let rss_bytes = GIB / 2 + number * GIB / 1000;
    let step = json!({
        "step": number, "epoch": epoch, "loss": loss, "lr": 0.001 * (1.0 - number as f64 / 330.0), "grad_norm": 1.0, "scale": 1.0,
        "clips": 8, "micro_batch": 8, "clips_per_sec": 11.0 + noise(number + 7), "data_wait_ms": 20 + number % 5,
        "rss_bytes": rss_bytes,
    });
    let memory = json!({
        "step": number, "micro_batch": 8, "clips_ahead": 4, "threads": 2, "cache_bytes": GIB / 8,
        "host": {"used_bytes": 5 * GIB + number * GIB / 200, "total_bytes": 16 * GIB}, "rss_bytes": rss_bytes,
    });
    let mut lines = vec![line("step", &step)];
    if number.is_multiple_of(10) {
        lines.push(line("memory", &memory));
    }
    lines
}

fn end_of_epoch(epoch: u32, speed: f64) -> Value {
    let learned = 1.0 - (-f64::from(epoch) * speed / 3.0).exp();
    let auc = 0.5 + 0.45 * learned;
    json!({
        "epoch": epoch, "step": u64::from(epoch) * STEPS_AN_EPOCH, "train_loss": 0.7 - 0.5 * learned, "train_auc": auc + 0.02,
        "val_loss": 0.7 - 0.4 * learned, "frame_auc": auc - 0.04, "video_auc": auc, "eer": 0.5 - 0.4 * learned, "ap": auc,
        "acc": auc - 0.03, "acc_real": auc, "acc_fake": auc - 0.06, "log_loss": 0.7 - 0.4 * learned, "videos": 40, "clips": 40,
        "lr": 0.001, "seconds": 29.0, "data_wait_share": 0.01, "train_clips": 320, "clips_per_sec": 10.0 + speed, "is_best": true,
    })
}

fn manifest() -> Manifest {
    let root = DataSet::new("/videos", LayoutChoice::Folders);
    let video = |number: usize| {
        let label = if number.is_multiple_of(2) { Label::Real } else { Label::Fake };
        let split = [Split::Train, Split::Train, Split::Val, Split::Test][number / 2 % 4];
        VideoRecord { split, ..VideoRecord::new(format!("{label:?}/{number}.mp4"), label, vec![number.to_string()]) }
    };
    let skipped = SkippedVideo {
        set: 0,
        path: HOSTILE.into(),
        self_blend: false,
        reason: format!("cannot be decoded: {HOSTILE}"),
    };
    Manifest { sets: vec![root], videos: (0..160).map(video).collect(), skipped: vec![skipped] }
}

fn metrics(auc: f64, half_width: f64) -> Metrics {
    let around = |value: f64| Some([value - half_width, (value + half_width).min(1.0)]);
    Metrics {
        frame_auc: Some(auc - 0.05),
        video_auc: Some(auc),
        eer: Some(1.0 - auc),
        ap: Some(auc),
        acc: Some(auc - 0.05),
        acc_real: Some(auc),
        acc_fake: Some(auc - 0.1),
        balanced_acc: Some(auc - 0.05),
        log_loss: Some(0.3),
        video_auc_ci95: around(auc),
        eer_ci95: around(1.0 - auc),
        videos: 40,
        clips: 40,
        ..Metrics::default()
    }
}

/// The test of a run, with one picture.
pub fn assess(run: &Path) {
    let curve = (0..=20).map(|number| {
        let true_positive_rate = f64::from(number) / 20.0;
        CurvePoint {
            threshold: (number > 0).then_some(1.0 - true_positive_rate),
            false_positive_rate: (true_positive_rate.powi(6) * 20.0).round() / 20.0,
            true_positive_rate,
            precision: (number > 0).then(|| 1.0 - 0.5 * true_positive_rate.powi(4)),
        }
    });
    let confusion = Confusion { real_as_real: 17, real_as_fake: 3, fake_as_real: 4, fake_as_fake: 16 };
    let point = |name: &str, false_positive_rate, true_positive_rate| OperatingPoint {
        name: name.into(),
        threshold: Some(0.5),
        false_positive_rate,
        true_positive_rate,
        confusion,
    };
    let bin = |number: u32| {
        let lower = f64::from(number) / 10.0;
        CalibrationBin { lower, upper: lower + 0.1, videos: 4, mean_score: lower + 0.05, fake_share: lower.powf(0.7) }
    };
    let mistake = |video: &str, label, score, picture: Option<&str>| Mistake {
        video: video.into(),
        label,
        method: (label == Label::Fake).then(|| HOSTILE.into()),
        score,
        picture: picture.map(Into::into),
    };
    let set = DatasetReport {
        name: "test".into(),
        drawn_over: BootstrapGroups { unit: BootstrapUnit::Identities, groups: 24 },
        overall: metrics(0.92, 0.05),
        methods: BTreeMap::from([(HOSTILE.to_owned(), metrics(0.81, 0.09)), ("Face2Face".into(), metrics(0.97, 0.02))]),
        seen_and_unseen: BTreeMap::from([
            ("seen methods".to_owned(), metrics(0.97, 0.02)),
            ("unseen methods".to_owned(), metrics(0.81, 0.09)),
        ]),
        compressions: BTreeMap::new(),
        curve: curve.collect(),
        operating_points: vec![point("0.5", 0.15, 0.8), point("equal error", 0.15, 0.85)],
        calibration: Some(Calibration {
            ece: 0.06,
            bins: (1..9).map(bin).collect(),
            ece_calibrated: Some(0.03),
            log_loss_calibrated: Some(0.28),
        }),
        mistakes: vec![
            mistake(HOSTILE, Label::Fake, 0.04, Some("mistakes/01.jpg")),
            mistake("real/7.mp4", Label::Real, 0.83, Some("../outside.jpg")),
        ],
        unreadable: vec![SkippedVideo { set: 0, path: HOSTILE.into(), self_blend: false, reason: HOSTILE.into() }],
    };
    fs::create_dir(run.join("mistakes")).unwrap();
    let picture = image::RgbImage::from_fn(320, 240, |x, y| image::Rgb([x as u8, y as u8, 120]));
    picture.save(run.join("mistakes/01.jpg")).unwrap();
    let other = DatasetReport { name: "celebdf".into(), overall: metrics(0.71, 0.06), mistakes: vec![], ..set.clone() };
    save_assessment(run, vec![set, other]);
}

pub fn save_assessment(run: &Path, sets: Vec<DatasetReport>) {
    let checkpoint = run.join("checkpoints/best").display().to_string();
    let pooled = metrics(0.75, 0.04);
    let all_sets = (sets.len() > 1).then_some(AllSets { sets: 2, mean_video_auc: Some(0.81), pooled });
    let all = EvaluationReport { checkpoint, temperature: Some(1.3), sets, all_sets };
    fs::write(RunFolder::open(run).evaluation(), serde_json::to_vec(&all).unwrap()).unwrap();
}

/// How the run ended.
pub fn end(run: &Path, status: Status) {
    let report = Report {
        run: run.display().to_string(),
        status,
        error: (status == Status::Failed).then(|| format!("the disk is full: {HOSTILE}")),
        epochs: EPOCHS,
        steps: u64::from(EPOCHS) * STEPS_AN_EPOCH,
        skipped_steps: 0,
        taken_back: false,
        best_epoch: Some(EPOCHS),
        seconds: 232.0,
        validation: Some(metrics(0.9, 0.05)),
        average: None,
        test: Some(metrics(0.92, 0.05)),
        seen_and_unseen: BTreeMap::new(),
        cross_tests: vec![],
        memory: MemorySummary { micro_batch_final: 8, rss_peak_bytes: Some(GIB), ..MemorySummary::default() },
        data: DataSummary { videos: 160, skipped: 1, ..DataSummary::default() },
        throughput: Throughput { clips_per_sec: Some(11.0), data_wait_share: Some(0.01) },
        provenance: provenance(),
    };
    report.save(&RunFolder::open(run).report()).unwrap();
}
