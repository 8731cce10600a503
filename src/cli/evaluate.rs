//! `dfdetect evaluate`: a trained detector measured on the videos of a run's split, or on another folder.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::pipeline::{Clips, NamedSet, decide_faces, stop_flag, test_sets};
use super::relief::{limit_device_memory, memory_manager};
use super::{Interrupted, overrides_of};
use crate::config::{self, DataConfig, LayoutChoice, Methods, Roots};
use crate::data::{DataError, Manifest, SkippedVideo, Split, VideoRecord};
use crate::evaluate::{EvaluateError, Evaluation, Evaluator};
use crate::memory::{DeviceGauge, Guard, Ladder};
use crate::metrics::Metrics;
use crate::model::{Detector, Placement};
use crate::progress;
use crate::report::{RunFolder, metrics_table};
use crate::train::{Checkpoint, Checkpoints};

const EXAMPLES: &str = "Examples:
  dfdetect evaluate --run runs/quick_demo-20260101-120000
  dfdetect evaluate --checkpoint runs/quick_demo-20260101-120000/checkpoints/best --data /data/other --json";

/// Arguments of `dfdetect evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EvaluateArgs {
    /// A run: the checkpoint that it was tested with (its best) and, without --data, its own videos
    #[arg(long, value_name = "RUN", required_unless_present = "checkpoint", conflicts_with = "checkpoint")]
    run: Option<PathBuf>,
    /// A checkpoint's folder, such as RUN/checkpoints/best
    #[arg(long, value_name = "DIR", requires = "data")]
    checkpoint: Option<PathBuf>,
    /// Another folder with real/ and fake/ in it: all of its videos are scored
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which side of the run's split; `test` has the run's other test data sets with it
    #[arg(long, value_name = "SPLIT", default_value = "test", conflicts_with = "data")]
    split: SplitName,
    /// Clips in a batch
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "D")]
    device: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitName {
    Train,
    Val,
    Test,
}

/// What `--json` prints; keys may be added, not renamed.
#[derive(Serialize)]
struct Output {
    checkpoint: String,
    sets: Vec<SetOutput>,
}

#[derive(Serialize)]
struct SetOutput {
    name: String,
    overall: Metrics,
    methods: BTreeMap<String, Metrics>,
    unreadable: Vec<SkippedVideo>,
}

pub(super) fn run(args: &EvaluateArgs) -> Result<()> {
    let (folder, checkpoint) = match (&args.run, &args.checkpoint) {
        (Some(run), _) => tested_checkpoint(&Checkpoints::of_run(run))?,
        (None, checkpoint) => {
            let folder = checkpoint.clone().context("--run or --checkpoint is missing")?;
            let checkpoint = Checkpoint::open(&folder)?;
            (folder, checkpoint)
        }
    };
    let overrides = overrides_of(
        &[],
        &[
            ("training.batch_size", args.batch_size.map(|n| n.to_string())),
            ("gpu.device", args.device.clone()),
            // Pairs, which nothing is trained on here, would want an even batch.
            ("data.sampler", Some("shuffled".to_owned())),
        ],
    );
    let config = config::resolve(&checkpoint.config, &overrides)?;
    progress::set_level(config.logging.level);
    let stop = stop_flag()?;
    let (mut manifest, asked) = videos_to_score(args, &config.data)?;
    if args.data.is_some() {
        decide_faces(&config, &mut manifest, &stop)?;
    }

    let placement = Placement::decide(&config.gpu)?;
    tracing::info!("checkpoint: {}, device: {}", folder.display(), placement.reason);
    limit_device_memory(&config.gpu, placement.device)?;
    let detector = Detector::new(&config.model, placement.device, placement.format, config.gpu.channels_last)
        .context("the network cannot be built")?;
    checkpoint.load_tested(detector.parameters())?;

    let clips = Clips::new(&config, &manifest, true)?;
    let loader = Rc::new(clips.loader());
    let memory = memory_manager(&config.gpu, placement.device, &clips.source, &loader);
    let ladder = Ladder::evaluation(&config, placement.device.is_cuda());
    let retry = config.gpu.memory_management.oom_retry;
    let mut guard = Guard::new("evaluate", ladder, Box::new(DeviceGauge(placement.device)), retry, 0);
    let batch_size = config.training.batch_size.clips();
    let mut evaluator =
        Evaluator { loader: &loader, guard: &mut guard, memory: &memory, batch_size, stop: &stop, label: "" };
    let mut sets = Vec::new();
    for (name, videos) in &asked {
        evaluator.label = name;
        let evaluation = match evaluator.run(&detector, videos) {
            Err(EvaluateError::Interrupted) => return Err(Interrupted(None).into()),
            other => other?,
        };
        if evaluation.videos.is_empty() {
            return Err(none_readable(&manifest, &evaluation).into());
        }
        sets.push(set(name.clone(), &manifest, &evaluation));
    }
    let output = Output { checkpoint: folder.display().to_string(), sets };
    if args.json { print_json(&output) } else { print_tables(&output) }
}

/// The checkpoint of a run that its own tests were made with.
fn tested_checkpoint(checkpoints: &Checkpoints) -> Result<(PathBuf, Checkpoint)> {
    let best = checkpoints.path("best");
    let checkpoint = Checkpoint::open(&best)?;
    let tested = checkpoints.tested(&checkpoint.config);
    Ok(if tested == best { (best, checkpoint) } else { (tested.clone(), Checkpoint::open(&tested)?) })
}

/// The manifest, and which of its videos under which names.
fn videos_to_score(args: &EvaluateArgs, data: &DataConfig) -> Result<(Manifest, Vec<NamedSet>)> {
    if let Some(root) = &args.data {
        let root_alone = DataConfig {
            root: Roots::one(root),
            test_roots: Roots::default(),
            layout: LayoutChoice::Auto,
            methods: Methods::All,
            ..data.clone()
        };
        let manifest = Manifest::scan(&root_alone)?;
        let all = (0..manifest.videos.len()).collect();
        return Ok((manifest, vec![(root.display().to_string(), all)]));
    }
    let run = args.run.as_deref().unwrap_or(Path::new("."));
    let manifest = Manifest::load(&RunFolder::open(run).manifest())?;
    let side = |name: &str, split| (name.to_owned(), manifest.indices(split));
    let mut asked = match args.split {
        SplitName::Train => vec![side("train", Split::Train)],
        SplitName::Val => vec![side("val", Split::Val)],
        SplitName::Test => test_sets(&manifest),
    };
    asked.retain(|(_, videos)| !videos.is_empty());
    if asked.is_empty() {
        let root = manifest.root().to_owned();
        let problem = format!("the run has no videos in its {:?} split", args.split).to_lowercase();
        let hint = "give a folder with --data, or another --split".into();
        return Err(DataError::Unusable { root, problem, hint }.into());
    }
    Ok((manifest, asked))
}

fn none_readable(manifest: &Manifest, evaluation: &Evaluation) -> DataError {
    let first = evaluation.skipped.first();
    DataError::Unusable {
        root: manifest.root().to_owned(),
        problem: format!(
            "none of {} videos can be read, for instance {}",
            evaluation.skipped.len(),
            first.map_or("-".into(), |(video, why)| format!("{}: {why}", manifest.video_name(*video)))
        ),
        hint: "if the data set was moved, name its folder with --data".into(),
    }
}

fn set(name: String, manifest: &Manifest, evaluation: &Evaluation) -> SetOutput {
    let mut methods = BTreeMap::new();
    for score in &evaluation.videos {
        if let Some(method) = &manifest.videos[score.video].method {
            methods.entry(method.clone()).or_insert_with(|| {
                evaluation.metrics_of_fakes(|video| manifest.videos[video].method.as_ref() == Some(method))
            });
        }
    }
    let unreadable = evaluation.skipped.iter().map(|(video, reason)| {
        let VideoRecord { set, path, .. } = &manifest.videos[*video];
        SkippedVideo { set: *set, path: path.clone(), reason: reason.clone() }
    });
    SetOutput { name, overall: evaluation.metrics(), methods, unreadable: unreadable.collect() }
}

fn print_json(output: &Output) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(output)?)?;
    Ok(())
}

fn print_tables(output: &Output) -> Result<()> {
    for set in &output.sets {
        let mut rows = vec![(set.name.as_str(), &set.overall)];
        // Of a single method, the row would say the same again.
        if set.methods.len() > 1 {
            rows.extend(set.methods.iter().map(|(name, metrics)| (name.as_str(), metrics)));
        }
        writeln!(io::stdout(), "{}", metrics_table(&rows))?;
        for video in &set.unreadable {
            writeln!(io::stdout(), "not scored: {}: {}", video.path.display(), video.reason)?;
        }
    }
    Ok(())
}
