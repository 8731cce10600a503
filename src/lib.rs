//! Deepfake-detection training that does not run out of memory.
//!
//! This page is the map of the house. Imports point down only; `tests/architecture.rs` fails on one that does not.
//!
//! | floor | room | what it is for |
//! | --- | --- | --- |
//! | 4 | [`cli`] | clap definitions, one file a subcommand; `main.rs` is the door |
//! | 3 | [`train`] | the fit loop, one optimizer step, checkpoints |
//! | 2 | [`report`] | what a run writes for people and programs: JSON lines, CSV, TensorBoard's events, the final report |
//! | 2 | [`evaluate`] | the one forward-only loop that validation, testing and `evaluate` share |
//! | 2 | [`explain`] | where a detector looked: Grad-CAM over the frames of a clip |
//! | 2 | [`export`] | a trained network as a file for other programs: safetensors, TorchScript, ONNX |
//! | 2 | [`demo`] | a small H.264 data set, made from nothing or from real videos |
//! | 1 | [`data`] | data sets and their layouts, split, decoding, faces, clip cache, loader, augmentation; bytes, no tensors but in the face detector |
//! | 1 | [`model`] | layers, ResNet and its pretrained weights, the temporal head, the whole detector |
//! | 1 | [`optim`] | losses, optimizers, learning-rate schedules, loss scaling, the average of the weights |
//! | 1 | [`memory`] | readings of host and GPU, the out-of-memory guard, predicted peak, advice |
//! | 0 | [`config`] | every knob: schema, reading, checks |
//! | 0 | [`drawing`] | rectangles and text on pictures |
//! | 0 | [`files`] | files that are there whole or not at all |
//! | 0 | [`metrics`] | pure functions of scores and labels |
//! | 0 | [`onnx`] | the part of the ONNX format that is read and written here |
//! | 0 | [`progress`] | bars on a terminal, plain lines elsewhere |
//! | 0 | [`torch`] | what tch lacks; the only room with `unsafe`, but for one file on FFmpeg in `data` |
//!
//! # The data path
//! YAML becomes one checked [`config::Config`]. A folder becomes a sorted [`dataset::Manifest`], split by identity.
//! Worker threads turn a video into T resized RGB frames, through the cache, and a bounded queue hands out
//! [`loader::HostBatch`]es in an order that the seed alone decides. The trainer's thread makes tensors of them; the guard
//! cuts a batch into micro-batches, and smaller ones when memory runs out; gradients add up to those of the whole
//! batch; then the optimizer moves. Validation picks the best checkpoint; the test split is looked at once, at the end.
//!
//! # Words
//! `batch` is what the loader hands out, `micro_batch` what one forward pass sees, `clip` T frames of one video,
//! `step` one optimizer update, `epoch` once through the training videos. Tensor names carry their shape
//! (`frames_btchw`, `logits_b`), other numbers their unit (`_bytes`, `_secs`, `_ms`).
//!
//! # Training from a program
//! [`run`] has what the command line is made of. The stop flag ends it early, with a checkpoint to resume from.
//! ```no_run
//! use std::{path::Path, sync::atomic::AtomicBool};
//!
//! use dfdetect::{config, run};
//!
//! let overrides = ["data.root=demo".to_owned()];
//! let config = config::load(Path::new("configs/quick_demo.yaml"), &overrides)?.config;
//! let finished = run::train(run::prepare(config)?, &AtomicBool::new(false))?;
//! println!("{} of {}", finished.report, finished.folder.path().display());
//! # Ok::<(), run::RunError>(())
//! ```
//!
//! # Predicting from a program
//! ```no_run
//! use std::{path::Path, sync::atomic::AtomicBool};
//!
//! use dfdetect::run::{PredictionOptions, PredictionVideos, ScoringOptions, StoredCheckpoint, TrainedDetector};
//!
//! let stored = StoredCheckpoint::of_run(Path::new("runs/quick_demo-20260101-120000"))?;
//! let detector = TrainedDetector::load(stored, &ScoringOptions::default())?;
//! let videos = PredictionVideos::find(&["clip.mp4".into(), "folder".into()])?;
//! for prediction in detector.predict(videos, &PredictionOptions::default(), &AtomicBool::new(false))? {
//!     println!("{}: {:?}, {:?}", prediction.path, prediction.verdict, prediction.score);
//! }
//! # Ok::<(), dfdetect::run::RunError>(())
//! ```

// The example in the guide is compiled and run with the other documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/memory-guide.md")]
struct MemoryGuide;

pub mod cli;
pub mod clip;
pub mod config;
pub mod dataset;
pub mod demo;
pub mod drawing;
pub mod evaluate;
pub mod explain;
pub mod export;
pub mod face;
pub mod files;
pub mod loader;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod onnx;
pub mod optim;
pub mod progress;
pub mod report;
pub mod run;
pub mod torch;
pub mod train;
pub mod video;
