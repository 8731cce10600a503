//! What a program gets of the library without the command line: a run that trains, stops and goes on, and a detector
//! that evaluates and predicts.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use dfdetect::config::{self, Config};
use dfdetect::dataset::Split;
use dfdetect::demo;
use dfdetect::report::{Report, Status};
use dfdetect::run::{
    self, EvaluationOptions, EvaluationVideos, PredictionOptions, PredictionVideos, RunError, ScoringOptions,
    StoredCheckpoint, TrainedDetector, Verdict, error_text,
};
use dfdetect::train::FitEnd;

const SETTINGS: &str = "
data: {max_frames: 2, frame_size: [32, 32], faces: {mode: off}, val_split: 0.3, test_split: 0.3}
model: {backbone: resnet18, pretrained: none, temporal: mean}
training: {epochs: 1, batch_size: 4}
dataloader: {num_workers: 1, pin_memory: false}
cache: {enable_cache: false}
gpu: {device: cpu}
";

fn config(folder: &Path) -> Config {
    let mut config = config::parse("settings", SETTINGS, &[]).unwrap().config;
    config.data.root.0 = vec![folder.join("data")];
    config.output.directory = folder.join("runs");
    config
}

#[test]
fn a_program_trains_resumes_evaluates_and_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let go = AtomicBool::new(false);
    demo::make(&data, 24, 42, &go).unwrap();

    let prepared = run::prepare(config(folder.path())).unwrap();
    let plan = prepared.epoch_plan().unwrap();
    assert!(plan.steps >= 2 && plan.clips_a_step == 4, "{plan:?}");
    let finished = run::train(prepared, &go).unwrap();
    let Report { status, epochs, steps, test, .. } = &finished.report;
    assert_eq!((finished.outcome, *status), (FitEnd::Completed, Status::Completed));
    assert_eq!((*epochs, *steps as usize), (1, plan.steps));
    assert!(test.is_some() && finished.folder.report().exists());

    let more = run::resume(finished.folder.clone(), &["training.epochs=2".into()]).unwrap();
    let finished = run::train(more, &go).unwrap();
    assert_eq!((finished.report.epochs, finished.report.steps as usize), (2, 2 * plan.steps));

    let load = || StoredCheckpoint::of_run(finished.folder.path()).unwrap();
    let detector = TrainedDetector::load(load(), &ScoringOptions::default()).unwrap();
    let videos = EvaluationVideos::of_run(finished.folder.path(), Split::Test).unwrap();
    let report = detector.evaluate(&videos, &EvaluationOptions::default(), &go).unwrap();
    let own = report.report.test_set().unwrap();
    assert_eq!(Some(own.overall.videos), finished.report.test.as_ref().map(|test| test.videos));

    let paths = [data.join("real/id000_clip1.mp4"), data.join("nothing.mp4")];
    let videos = PredictionVideos::find(&paths).unwrap();
    let predictions = detector.predict(videos, &PredictionOptions::default(), &go).unwrap();
    let [known, unknown] = predictions.as_slice() else { panic!("{predictions:?}") };
    assert!(known.score.is_some_and(|score| (0.0..=1.0).contains(&score)) && known.error.is_none(), "{known:?}");
    assert!(unknown.verdict == Verdict::Unknown && unknown.error.is_some(), "{unknown:?}");
}

#[test]
fn a_set_stop_flag_and_bad_input_are_typed_errors() {
    let folder = tempfile::tempdir().unwrap();
    let missing = run::prepare(config(folder.path())).err().unwrap();
    assert!(matches!(missing, RunError::Data(_)) && missing.is_usage(), "{missing:?}");
    assert!(error_text(&missing).contains("\n  hint: "), "{missing}");

    demo::make(&folder.path().join("data"), 12, 42, &AtomicBool::new(false)).unwrap();
    let prepared = run::prepare(config(folder.path())).unwrap();
    let stopped = run::train(prepared, &AtomicBool::new(true)).unwrap_err();
    assert!(stopped.is_interrupted() && !stopped.is_usage(), "{stopped:?}");
    assert_eq!(stopped.to_string(), "interrupted");

    let nothing = StoredCheckpoint::of_run(folder.path()).map_err(RunError::from).err().unwrap();
    assert!(matches!(nothing, RunError::Checkpoint(_)) && nothing.is_usage(), "{nothing:?}");
}
