//! `dfdetect report`: what came of runs, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::report::{Report, RunFolder, Status, plain_table};
use crate::train::EpochRecord;

const EXAMPLES: &str = "Examples:
  dfdetect report --run runs/quick_demo-20260101-120000
  dfdetect report --run runs/*";

/// Where a run is written says nothing about it.
const NO_SETTING: &str = "output.directory";

/// Arguments of `dfdetect report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// Folders of runs; those that still go on are shown as far as they are
    #[arg(long, value_name = "RUN", num_args = 1.., required = true)]
    run: Vec<PathBuf>,
    /// Print one JSON object instead of tables
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
    /// Absent while it goes on, or after it was killed.
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
    #[serde(skip)]
    settings: BTreeMap<String, Value>,
}

pub(super) fn run(args: &ReportArgs) -> Result<()> {
    let runs = args.run.iter().map(|path| read(&RunFolder::open(path))).collect::<Result<Vec<_>>>()?;
    let output = Output { differences: differences(&runs), runs };
    let mut out = io::stdout();
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&output)?)?);
    }
    writeln!(out, "{}", results(&output.runs))?;
    if !output.differences.is_empty() {
        let header = std::iter::once("settings that differ".to_owned()).chain(output.runs.iter().map(name)).collect();
        let row = |(key, values): (&String, &Vec<Value>)| {
            std::iter::once(key.clone()).chain(values.iter().map(super::commented::scalar)).collect()
        };
        writeln!(out, "{}", plain_table(header, output.differences.iter().map(row)))?;
    }
    Ok(())
}

/// From its report where there is one, else, and where the run has gone on since, from its log.
fn read(folder: &RunFolder) -> Result<RunOutput> {
    let config = config::load(&folder.config(), &[])?.config;
    let report: Option<Report> = match fs::read(folder.report()) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).with_context(|| {
            format!("{}: this is not a report\n  hint: delete it and resume the run", folder.report().display())
        })?),
        Err(_) => None,
    };
    let epochs = epochs(folder);
    let best = epochs.iter().rev().find(|epoch| epoch.is_best);
    let gone_on = epochs.last().map(|epoch| epoch.epoch);
    let report = report.filter(|report| gone_on.is_none_or(|epoch| epoch <= report.epochs));
    Ok(RunOutput {
        run: folder.path().display().to_string(),
        status: report.as_ref().map(|report| report.status),
        epochs: gone_on.unwrap_or(0),
        best_epoch: best.map(|epoch| epoch.epoch),
        validation: best.map(|epoch| epoch.validation.clone()),
        test: report.as_ref().and_then(|report| report.test.clone()),
        seconds: epochs.iter().map(|epoch| epoch.seconds).sum(),
        oom_events: report.map(|report| report.memory.oom_events),
        settings: settings(&config),
    })
}

fn settings(config: &Config) -> BTreeMap<String, Value> {
    let keys = config::flatten(config).into_iter().filter(|(key, value)| !value.is_mapping() && key != NO_SETTING);
    keys.map(|(key, value)| (key, serde_json::to_value(value).unwrap_or_default())).collect()
}

/// The `epoch` lines of a log, which another process may be writing to: a line that is cut off is left out.
fn epochs(folder: &RunFolder) -> Vec<EpochRecord> {
    let log = fs::read_to_string(folder.log()).unwrap_or_default();
    let lines = log.lines().filter(|line| line.starts_with("{\"kind\":\"epoch\""));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn differences(runs: &[RunOutput]) -> BTreeMap<String, Vec<Value>> {
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.settings.keys()).collect();
    let values = |key: &String| -> Vec<Value> {
        runs.iter().map(|run| run.settings.get(key).cloned().unwrap_or(Value::Null)).collect()
    };
    let each = keys.into_iter().map(|key| (key.clone(), values(key)));
    let differ = |values: &[Value]| values.windows(2).any(|two| two[0] != two[1]);
    each.filter(|(_, values)| differ(values)).collect()
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
