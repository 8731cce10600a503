//! `dfdetect report`: the results of runs as tables, as JSON, and as a page. Computes no metric; the page and the
//! reading of runs are in `report`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Serialize;
use serde_json::Value;

use super::commented_yaml::scalar;
use crate::config;
use crate::metrics::Metrics;
use crate::report::{Run, RunFolder, Status, comparison_page, plain_table, run_page, write_page_to};

const EXAMPLES: &str = "Examples:
  dfdetect report --run runs/quick_demo-20260101-120000
  dfdetect report --run runs/*
  xdg-open \"$(dfdetect report --run runs/quick_demo-20260101-120000 --open)\"";

/// Characters that are not escaped in the path of a URL.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Arguments of `dfdetect report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// Folders of runs; those that still go on are shown as far as they are
    #[arg(long, value_name = "RUN", num_args = 1.., required = true)]
    run: Vec<PathBuf>,
    /// Where the page goes; without it RUN/report.html, and of several runs comparison.html beside the first one
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Print the page's address (file://...), for a browser, and no tables
    #[arg(long, conflicts_with = "json")]
    open: bool,
    /// Print one JSON object instead of tables; a page is written only where --output names a place
    #[arg(long)]
    json: bool,
}

/// What `--json` prints; keys may be added, not renamed.
#[derive(Serialize)]
struct Output {
    runs: Vec<RunOutput>,
    /// Settings in which the runs differ: one value a run.
    differences: BTreeMap<String, Vec<Value>>,
}

#[derive(Serialize)]
struct RunOutput {
    run: String,
    /// Absent while the run is in progress, or after it was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    epochs: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_epoch: Option<u32>,
    /// Of the best epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<Metrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Metrics>,
    /// Time of the training steps of finished epochs.
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oom_events: Option<usize>,
}

pub(super) fn run(args: &ReportArgs) -> Result<()> {
    let runs = args.run.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let mut out = io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&Output::of(&runs))?)?;
    } else if !args.open {
        write!(out, "{}", tables(&Output::of(&runs)))?;
    }
    if args.json && args.output.is_none() {
        return Ok(());
    }
    let path = args.output.clone().unwrap_or_else(|| default_place(&runs));
    let page = if let [run] = runs.as_slice() { run_page(run) } else { comparison_page(&runs) };
    write_page_to(&path, &page)?;
    if args.open {
        return Ok(writeln!(out, "{}", address(&path)?)?);
    }
    tracing::info!("page: {}", path.display());
    Ok(())
}

fn read(path: &Path) -> Result<Run> {
    let folder = RunFolder::open(path);
    let config = config::load(&folder.config(), &[])?.config;
    Ok(Run::read(&folder, config)?)
}

fn default_place(runs: &[Run]) -> PathBuf {
    match runs {
        [run] => run.folder.page(),
        runs => runs[0].folder.path().parent().unwrap_or(Path::new("")).join("comparison.html"),
    }
}

/// The path as a URL.
fn address(path: &Path) -> Result<String> {
    let path = fs::canonicalize(path).with_context(|| format!("{}: cannot be found again", path.display()))?;
    Ok(format!("file://{}", percent_encode(path.as_os_str().as_encoded_bytes(), &PLAIN)))
}

impl Output {
    fn of(runs: &[Run]) -> Self {
        let configs: Vec<_> = runs.iter().map(|run| &run.config).collect();
        let json =
            |values: Vec<_>| values.into_iter().map(|value| serde_json::to_value(value).unwrap_or_default()).collect();
        let differences = config::differences(&configs).into_iter().map(|(key, values)| (key, json(values)));
        Self { runs: runs.iter().map(RunOutput::of).collect(), differences: differences.collect() }
    }
}

impl RunOutput {
    /// Status, test metrics and out-of-memory events are from the report, if there is one; the rest is from the log.
    fn of(run: &Run) -> Self {
        let (best, report) = (run.log.best(), run.report.as_ref());
        Self {
            run: run.folder.path().display().to_string(),
            status: report.map(|report| report.status),
            epochs: run.log.epochs.last().map_or(0, |epoch| epoch.epoch),
            best_epoch: best.map(|epoch| epoch.epoch),
            validation: best.map(|epoch| epoch.validation.clone()),
            test: report.and_then(|report| report.test.clone()),
            seconds: run.log.epochs.iter().map(|epoch| epoch.seconds).sum(),
            oom_events: report.map(|report| report.memory.oom_events),
        }
    }
}

fn tables(output: &Output) -> String {
    let mut text = format!("{}\n", results(&output.runs));
    if !output.differences.is_empty() {
        let header = std::iter::once("settings that differ".to_owned()).chain(output.runs.iter().map(name)).collect();
        let row = |(key, values): (&String, &Vec<Value>)| {
            std::iter::once(key.clone()).chain(values.iter().map(scalar)).collect()
        };
        text += &format!("{}\n", plain_table(header, output.differences.iter().map(row)));
    }
    text
}

/// The last part of its path.
fn name(run: &RunOutput) -> String {
    let path = PathBuf::from(&run.run);
    path.file_name().map_or(run.run.clone(), |name| name.to_string_lossy().into_owned())
}

fn results(runs: &[RunOutput]) -> impl std::fmt::Display {
    let header = [
        "",
        "status",
        "epochs",
        "best",
        "val AUC",
        "test AUC",
        "test EER",
        "test accuracy",
        "seconds",
        "out of memory",
    ];
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let cells = |run: &RunOutput| {
        let test = |pick: fn(&Metrics) -> Option<f64>| number(run.test.as_ref().and_then(pick));
        vec![
            name(run),
            run.status.map_or("not ended".to_owned(), |status| format!("{status:?}").to_lowercase()),
            run.epochs.to_string(),
            run.best_epoch.map_or("-".to_owned(), |epoch| epoch.to_string()),
            number(run.validation.as_ref().and_then(|metrics| metrics.video_auc)),
            test(|metrics| metrics.video_auc),
            test(|metrics| metrics.eer),
            test(|metrics| metrics.acc),
            format!("{:.0}", run.seconds),
            run.oom_events.map_or("-".to_owned(), |times| times.to_string()),
        ]
    };
    plain_table(header.map(str::to_owned).to_vec(), runs.iter().map(cells))
}
