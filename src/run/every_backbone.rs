//! Every backbone goes the whole way: it trains through running out of memory, its process ends in mid-epoch, it
//! resumes, and then it is exported, and predicts with heat maps.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use tempfile::TempDir;

use super::*;
use crate::backbone::Backbone;
use crate::config::{Config, OptimizerChoice, Temporal, parse};
use crate::demo::{VideoSettings, VideoWriter};
use crate::export::Format;
use crate::report::RunFolder;
use crate::torch::generator_lock;
use crate::train::{FAULTS, FitEnd};

static GO_ON: AtomicBool = AtomicBool::new(false);
const OOM: &str = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes";
/// A failure after which nothing is saved: for what is on the disk, it is as if the process were killed.
const BROKEN: &str = "CUDA error: an illegal memory access was encountered";

/// Large ones are as those of their families, but for numbers. Of them, only norms learn: a checkpoint with moments of
/// everything has 3.6 GB.
const LARGE: [Backbone; 2] = [Backbone::VitL14Clip, Backbone::Dinov2Vitl14];

#[test]
fn every_backbone_trains_through_failures_resumes_exports_and_predicts() {
    go_the_whole_way(Backbone::ALL.into_iter().filter(|backbone| !LARGE.contains(backbone)));
}

#[test]
#[ignore = "takes minutes and 8 GB of memory and of disk: cargo test --lib -- --ignored large_backbones"]
fn large_backbones_train_through_failures_resume_export_and_predict() {
    go_the_whole_way(LARGE.into_iter());
}

/// A step of SAM has two passes, and an end between them is an end before the step.
#[test]
fn a_run_of_sam_resumes_as_if_it_had_not_ended() {
    let _alone = generator_lock();
    let (data, output) = (videos(), tempfile::tempdir().unwrap());
    let mut config = config(data.path(), output.path(), Backbone::Resnet18);
    (config.training.optimizer, config.training.sam_rho) = (OptimizerChoice::Sam, 0.5);
    // Its dropout draws anew in each step, and the same in both passes.
    (config.model.temporal, config.model.hidden_dim) = (Temporal::LstmAttention, 16);
    train_and_resume(&config, 2 * CALLS_AN_EPOCH);
}

fn go_the_whole_way(backbones: impl Iterator<Item = Backbone>) {
    let _alone = generator_lock();
    let data = videos();
    for backbone in backbones {
        let output = tempfile::tempdir().unwrap();
        let resumed = train_and_resume(&config(data.path(), output.path(), backbone), CALLS_AN_EPOCH);

        let stored = StoredCheckpoint::of_run(resumed.folder.path()).unwrap();
        for format in Format::value_variants() {
            assert!(stored.export(*format).unwrap().bytes.len() > 1 << 20, "{backbone:?}: {format:?}");
        }
        predicts(stored, &data.path().join("fake/0.mp4"), output.path());
    }
}

/// Trains through running out of memory, and once more, with an end after `calls_before_end` calls of the place for failures:
/// both have the same weights. Returns the resumed run.
fn train_and_resume(config: &Config, calls_before_end: usize) -> FinishedRun {
    let (backbone, folder) = (config.model.backbone, config.output.directory.clone());
    let run = |name: &str| {
        let mut config = config.clone();
        config.output.directory = folder.join(name);
        prepare(config).unwrap()
    };
    // Once without an end in between.
    FAULTS.set(vec![(1, OOM)]);
    let whole = train(run("whole"), &GO_ON).unwrap();
    assert_eq!(whole.report.memory.oom_events, 1, "{backbone:?}");

    // The same, but in the second epoch the process ends without saving.
    FAULTS.set(vec![(calls_before_end, BROKEN), (1, OOM)]);
    let error = train(run("killed"), &GO_ON).unwrap_err().to_string();
    assert!(error.contains(BROKEN) && FAULTS.take().is_empty(), "{backbone:?}: {error}");
    let killed = RunFolder::open(latest_run(&folder.join("killed")).unwrap().path());
    let resumed = resume(killed, &[]).unwrap();
    assert_eq!(
        resumed.resumed.as_ref().unwrap().checkpoint.state().unwrap().epoch,
        1,
        "{backbone:?}: in the second epoch"
    );
    let resumed = train(resumed, &GO_ON).unwrap();
    assert!(matches!(resumed.outcome, FitEnd::Completed), "{backbone:?}: {:?}", resumed.outcome);
    assert!(weights(&whole) == weights(&resumed), "{backbone:?}: resumed otherwise than undisturbed");
    resumed
}

/// The numbers of the last checkpoint. The configuration in the header names the output folder.
fn weights(run: &FinishedRun) -> Vec<u8> {
    let bytes = std::fs::read(run.folder.path().join("checkpoints/last/model.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

/// Calls of the place for failures in the first epoch, behind the first failure, and some of the second.
const CALLS_AN_EPOCH: usize = 14;

fn predicts(stored: StoredCheckpoint, video: &Path, folder: &Path) {
    let detector = TrainedDetector::load(stored, &ScoringOptions::default()).unwrap();
    let videos = PredictionVideos::find(&[PathBuf::from(video)]).unwrap();
    let options = PredictionOptions { explain: Some(folder.join("looks")), ..PredictionOptions::default() };
    let predictions = detector.predict(videos, &options, &GO_ON).unwrap();
    assert!(predictions.len() == 1 && predictions[0].score.is_some_and(f64::is_finite), "{predictions:?}");
    assert!(std::fs::read_dir(folder.join("looks")).unwrap().count() > 0);
}

fn config(data: &Path, output: &Path, backbone: Backbone) -> Config {
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let settings = [
        format!("data.root={}", quoted(data)),
        format!("output.directory={}", quoted(output)),
        format!("model.backbone={}", backbone.name()),
        format!("model.freeze={}", if LARGE.contains(&backbone) { "all_but_norms" } else { "none" }),
        "model.pretrained=none".into(),
        "model.temporal=mean".into(),
        "data.max_frames=2".into(),
        "data.min_frames=2".into(),
        "data.frame_size=[48,48]".into(),
        "data.faces.mode=off".into(),
        "training.epochs=2".into(),
        "training.batch_size=2".into(),
        "training.limit_batches=2".into(),
        "training.warmup_epochs=0".into(),
        "gpu.device=cpu".into(),
        "gpu.mixed_precision=off".into(),
        "dataloader.num_workers=0".into(),
        "cache.enable_cache=false".into(),
        "output.tensorboard=false".into(),
    ];
    parse("test", "", &settings).unwrap().config
}

/// Five real videos and five fakes of noise.
fn videos() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (class, salt) in [("real", 0), ("fake", 100)] {
        std::fs::create_dir(root.path().join(class)).unwrap();
        for number in 0..5 {
            let path = root.path().join(format!("{class}/{number}.mp4"));
            let settings = VideoSettings { width: 64, height: 64, fps: 24, ..VideoSettings::default() };
            let mut writer = VideoWriter::create(&path, &settings).unwrap();
            for frame in 0..4 {
                let pixel = |i: u32| (i * 7919 + frame * 31 + (number + salt) * 997) as u8 / 2;
                writer.write(&(0..64 * 64 * 3).map(pixel).collect::<Vec<_>>()).unwrap();
            }
            writer.finish().unwrap();
        }
    }
    root
}
