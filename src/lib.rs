//! Deepfake-detection training that does not run out of memory.
//!
//! This page is the map of the house; it declares the rooms (top-level modules) and has no code of its own. A room
//! imports only rooms of lower floors (`progress` and `torch` also read `config`, `config` reads `backbone`, and `metrics`
//! draws on all cores by `parallel`), and no two files import each other, not even through other files; unit tests may import anything.
//! `tests/architecture.rs` fails where that does not hold.
//!
//! | floor | room | what it is for | what it must not know |
//! | --- | --- | --- | --- |
//! | 6 | [`cli`] | arguments in, calls of the library, text and exit codes out; one file or folder per subcommand; `main.rs` is the door | how anything is done |
//! | 5 | [`run`] | what a user of the library calls: prepare a run from a configuration, train, test and resume it; a trained detector that scores videos | terminals |
//! | 4 | [`train`] | the fit loop, one optimizer step under the memory guard, checkpoints | video files |
//! | 3 | [`report`] | what a run writes for people and programs: JSON lines, CSV, TensorBoard's events, tables, the HTML report, contact sheets | training |
//! | 3 | [`evaluate`] | the forward-only loop that validation, testing and `evaluate` share | training |
//! | 3 | [`explain`] | where a detector looked: Grad-CAM over the frames of a clip | videos, labels |
//! | 3 | [`export`] | a trained network as a file for other programs: safetensors, TorchScript, ONNX | runs |
//! | 3 | [`demo`] | a small H.264 data set, made from nothing or from real videos | training |
//! | 2 | [`loader`] | batches in the order of a plan, decoded ahead by threads within a budget of host memory | tensors, what is in a video |
//! | 2 | [`clip`] | from the record of a video to its clip: cache, augmentation, self-blending | batches, order |
//! | 2 | [`face`] | find the face of a clip, follow it, cut it out | labels, caches |
//! | 2 | [`video`] | the wanted frames of a file, bit for bit those of a full decode | faces, labels |
//! | 2 | [`dataset`] | which videos there are, who is in them, which of them train, validate and test | pixels |
//! | 1 | [`model`] | layers, the backbone and its pretrained weights, the head over frames, the whole detector | videos, optimizers |
//! | 1 | [`optim`] | losses, optimizers, learning-rate schedules, loss scaling, the average of the weights | the network |
//! | 1 | [`memory`] | readings of host and GPU, the out-of-memory guard, predicted peak of a step, advice on what fits | the trainer, the cache: it takes callbacks |
//! | 0 | [`backbone`] | which layers each backbone has and how they are wired, as data | tensors |
//! | 0 | [`config`] | every key: schema, reading, checks | all else |
//! | 0 | [`drawing`] | rectangles and text on pictures | all else |
//! | 0 | [`files`] | atomic writes of whole files | all else |
//! | 0 | [`metrics`] | pure functions of scores and labels | all else |
//! | 0 | [`onnx`] | the part of the ONNX format that is read and written here | all else |
//! | 0 | [`parallel`] | the same work on many items by several threads | all else |
//! | 0 | [`progress`] | bars on a terminal, plain lines elsewhere | all else |
//! | 0 | [`safetensors_header`] | the header of a safetensors file, without the numbers behind it | all else |
//! | 0 | [`torch`] | what tch lacks; the only room with `unsafe`, but for `video/hardware.rs` | all else |
//!
//! The rooms of floor 2 are the way of a clip, from `dataset` up to `loader`: each knows those below it in this table.
//!
//! # The data path
//! YAML becomes one checked [`config::Config`]. A folder becomes a sorted [`dataset::Manifest`], split by people.
//! Worker threads turn a video into T resized RGB frames, through the cache, and a bounded queue returns
//! [`loader::HostBatch`]es in an order that the seed alone decides. The trainer's thread makes tensors of them; the
//! guard cuts a batch into micro-batches, and smaller ones when memory runs out; gradients add up to those of the whole
//! batch; then the optimizer updates the weights. Validation picks the best checkpoint; the test split is evaluated
//! once, at the end.
//!
//! # Words
//! `batch` is what the loader returns, `micro_batch` what one forward pass gets, `clip` T frames of one video,
//! `step` one optimizer update, `epoch` once through the training videos. Tensor names carry their shape
//! (`frames_btchw`, `logits_b`), other numbers their unit (`_bytes`, `_secs`, `_ms`).
//!
//! # Training from a program
//! [`run`] has the functions that the command line calls. The stop flag ends a run early, with a checkpoint to resume
//! from.
//! ```
//! use std::{path::Path, sync::atomic::AtomicBool};
//!
//! use dfdetect::{config, run};
//!
//! # let folder = tempfile::tempdir()?;
//! # let quoted = |name: &str| format!("{:?}", folder.path().join(name).display().to_string());
//! # dfdetect::demo::make(&folder.path().join("demo"), 24, 42, &AtomicBool::new(false))?;
//! # let tiny = [
//! #     format!("data.root={}", quoted("demo")),
//! #     format!("output.directory={}", quoted("runs")),
//! #     "data.max_frames=2".to_owned(),
//! #     "data.frame_size=[32, 32]".to_owned(),
//! #     "training.epochs=1".to_owned(),
//! #     "training.batch_size=4".to_owned(),
//! #     "cache.enable_cache=false".to_owned(),
//! #     "gpu.device=cpu".to_owned(),
//! # ];
//! let overrides = ["data.root=demo".to_owned()];
//! # let overrides = tiny;
//! let config = config::load(Path::new("configs/quick_demo.yaml"), &overrides)?.config;
//! let finished = run::train(run::prepare(config)?, &AtomicBool::new(false))?;
//! println!("{} of {}", finished.report, finished.folder.path().display());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Predicting from a program
//! ```
//! use std::path::{Path, PathBuf};
//! use std::sync::atomic::AtomicBool;
//!
//! use dfdetect::run::{PredictionOptions, PredictionVideos, ScoringOptions, StoredCheckpoint, TrainedDetector};
//!
//! # use dfdetect::{config, run};
//! # let folder = tempfile::tempdir()?;
//! # let quoted = |name: &str| format!("{:?}", folder.path().join(name).display().to_string());
//! # dfdetect::demo::make(&folder.path().join("demo"), 24, 42, &AtomicBool::new(false))?;
//! # let tiny = [
//! #     format!("data.root={}", quoted("demo")),
//! #     format!("output.directory={}", quoted("runs")),
//! #     "data.max_frames=2".to_owned(),
//! #     "data.frame_size=[32, 32]".to_owned(),
//! #     "training.epochs=1".to_owned(),
//! #     "training.batch_size=4".to_owned(),
//! #     "cache.enable_cache=false".to_owned(),
//! #     "gpu.device=cpu".to_owned(),
//! # ];
//! # let config = config::load(Path::new("configs/quick_demo.yaml"), &tiny)?.config;
//! # let finished = run::train(run::prepare(config)?, &AtomicBool::new(false))?;
//! # let clip = folder.path().join("demo/real/id000_clip1.mp4");
//! let (run, clips) = (Path::new("runs/quick_demo-20260101-120000"), [PathBuf::from("clip.mp4")]);
//! # let (run, clips) = (finished.folder.path(), [clip]);
//! let detector = TrainedDetector::load(StoredCheckpoint::of_run(run)?, &ScoringOptions::default())?;
//! let videos = PredictionVideos::find(&clips)?;
//! for prediction in detector.predict(videos, &PredictionOptions::default(), &AtomicBool::new(false))? {
//!     println!("{}: {:?}, {:?}", prediction.path, prediction.verdict, prediction.score);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// The example in the guide is compiled and run with the other documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/memory-guide.md")]
struct MemoryGuide;

pub mod backbone;
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
pub mod parallel;
pub mod progress;
pub mod report;
pub mod run;
pub mod safetensors_header;
pub mod torch;
pub mod train;
pub mod video;
