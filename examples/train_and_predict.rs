//! Trains a detector on a tiny data set and asks it about one video, through the library alone.
//!
//! `cargo run --example train_and_predict`

use std::error::Error;
use std::sync::atomic::AtomicBool;

use dfdetect::run::{PredictionOptions, PredictionVideos, ScoringOptions, StoredCheckpoint, TrainedDetector};
use dfdetect::{config, demo, run};

const SETTINGS: &str = "
data: {max_frames: 2, frame_size: [32, 32], faces: {mode: off}, val_split: 0.3, test_split: 0.3}
model: {backbone: efficientnet_lite0, temporal: mean}
training: {epochs: 1, batch_size: 4}
dataloader: {num_workers: 1, pin_memory: false}
cache: {enable_cache: false}
gpu: {device: cpu}
";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let stop = AtomicBool::new(false);
    let data = folder.path().join("data");
    demo::make(&data, 24, 42, &stop)?;

    let mut config = config::parse("settings", SETTINGS, &[])?.config;
    config.data.root.0 = vec![data.clone()];
    config.output.directory = folder.path().join("runs");
    let finished = run::train(run::prepare(config)?, &stop)?;

    let stored = StoredCheckpoint::of_run(finished.folder.path())?;
    let detector = TrainedDetector::load(stored, &ScoringOptions::default())?;
    let videos = PredictionVideos::find(&[data.join("real/id000_clip1.mp4")])?;
    for prediction in detector.predict(videos, &PredictionOptions::default(), &stop)? {
        println!("{}: {:?}", prediction.path, prediction.score);
    }
    Ok(())
}
