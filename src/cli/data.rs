//! `dfdetect data`: the arguments of `data scan`, and the counts of a data set as tables and JSON. Opens no video; that
//! is `run/data_scan.rs`. `data extract` is in `extract.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use comfy_table::Table;
use serde::Serialize;

use super::arguments::{load_config_or_defaults, overrides_of, quoted_list};
use super::extract::{self, ExtractArgs};
use super::stop::stop_flag;
use super::text::{align_right, size};
use crate::config::{Config, LayoutChoice};
use crate::dataset::{DataSet, Label, Manifest, Split};
use crate::progress;
use crate::report::bordered_table;
use crate::run::{DataScan, draw_data_preview};
use crate::video::VideoInfo;

/// Arguments of `dfdetect data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Count what is in a data set, and name every video that cannot be used
    Scan(ScanArgs),
    /// Read all clips into the cache on disk, ahead of training
    Extract(ExtractArgs),
}

/// Arguments of `dfdetect data scan`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ScanArgs {
    /// Folder or list of the data set; several are scanned together
    #[arg(long, value_name = "DIR", num_args = 1.., required_unless_present = "config")]
    data: Vec<PathBuf>,
    /// How it is laid out: auto, folders, ffpp, ffpp_kaggle, celebdf, dfdc, fakeavceleb, deepfakebench,
    /// deeperforensics, df40 or csv
    #[arg(long, value_name = "L")]
    layout: Option<String>,
    /// A configuration, for its section `data`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a value of the configuration, such as data.methods=[Deepfakes]
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Also draw what is cut out of some videos, as a PNG picture
    #[arg(long, value_name = "PNG")]
    preview: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  dfdetect data scan --data /data/FaceForensics++ --set data.compression=c40
  dfdetect data scan --data /data/Celeb-DF-v2 --json | jq .unusable";

/// Most lines about unusable videos; `--json` has all of them.
const SHOWN_UNUSABLE: usize = 20;

/// What `--json` prints; keys may be added, not renamed.
#[derive(Serialize)]
struct Scan {
    layout: LayoutChoice,
    sets: Vec<SetRow>,
    videos: usize,
    classes: Classes,
    methods: BTreeMap<String, usize>,
    compressions: BTreeMap<String, usize>,
    splits: BTreeMap<Split, usize>,
    split_classes: BTreeMap<Split, Side>,
    /// Why there are no splits.
    split_problem: Option<String>,
    identities: usize,
    resolutions: BTreeMap<String, usize>,
    frames: u64,
    bytes: u64,
    unusable: Vec<UnusableRow>,
    /// The picture of `--preview`.
    preview: Option<PathBuf>,
}

#[derive(Serialize)]
struct SetRow {
    root: PathBuf,
    layout: LayoutChoice,
    recognised: String,
    #[serde(flatten)]
    classes: Classes,
}

/// Videos that can be used.
#[derive(Serialize, Default, Clone, Copy)]
struct Classes {
    real: usize,
    fake: usize,
}

/// One side of the split.
#[derive(Serialize, Default)]
struct Side {
    #[serde(flatten)]
    classes: Classes,
    unusable: usize,
}

impl Classes {
    fn add(&mut self, label: Label) {
        match label {
            Label::Real => self.real += 1,
            Label::Fake => self.fake += 1,
        }
    }
}

#[derive(Serialize)]
struct UnusableRow {
    path: String,
    reason: String,
}

pub(super) fn run(args: &DataArgs) -> Result<()> {
    match &args.command {
        DataCommand::Scan(args) => scan(args),
        DataCommand::Extract(args) => extract::run(args),
    }
}

fn scan(args: &ScanArgs) -> Result<()> {
    let config = configured(args)?;
    progress::set_level(config.logging.level);
    let mut found = DataScan::find(&config)?;
    let stop = stop_flag()?;
    found.probe(&config, &stop)?;
    let DataScan { mut manifest, infos, split_problem } = found;
    let mut scan = summarise(&manifest, &infos, split_problem);
    if let Some(path) = &args.preview {
        draw_data_preview(&config, &mut manifest, path, &stop)?;
        scan.preview = Some(path.clone());
    }
    let text = if args.json { serde_json::to_string_pretty(&scan)? + "\n" } else { render(&scan) };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn configured(args: &ScanArgs) -> Result<Config> {
    let roots = quoted_list(&args.data);
    // If folders are named on the command line, no others are scanned.
    let no_tests = roots.as_ref().map(|_| "[]".to_owned());
    let flags = [("data.root", roots), ("data.test_roots", no_tests), ("data.layout", args.layout.clone())];
    let overrides = overrides_of(&args.set, &flags);
    Ok(load_config_or_defaults(args.config.as_deref(), &overrides)?)
}

fn summarise(manifest: &Manifest, infos: &[Option<VideoInfo>], split_problem: Option<String>) -> Scan {
    let set_row = |set: &DataSet| SetRow {
        root: set.root.clone(),
        layout: set.layout,
        recognised: set.recognised.clone(),
        classes: Classes::default(),
    };
    let unusable = manifest
        .skipped
        .iter()
        .map(|skipped| UnusableRow { path: manifest.name(skipped.set, &skipped.path), reason: skipped.reason.clone() });
    let mut scan = Scan {
        layout: manifest.sets.first().map_or(LayoutChoice::Auto, |set| set.layout),
        sets: manifest.sets.iter().map(set_row).collect(),
        videos: 0,
        classes: Classes::default(),
        methods: BTreeMap::new(),
        compressions: BTreeMap::new(),
        splits: [Split::Train, Split::Val, Split::Test].into_iter().map(|side| (side, 0)).collect(),
        split_classes: BTreeMap::new(),
        split_problem,
        identities: 0,
        resolutions: BTreeMap::new(),
        frames: 0,
        bytes: 0,
        unusable: unusable.collect(),
        preview: None,
    };
    let mut usable = Vec::new();
    for split in [Split::Train, Split::Val, Split::Test, Split::CrossTest] {
        let (all, can_be_used) = (manifest.members(split).len(), manifest.indices(split));
        // A split without usable videos is listed too.
        if all > 0 && scan.split_problem.is_none() {
            let unusable = all - can_be_used.len();
            scan.split_classes.insert(split, Side { classes: Classes::default(), unusable });
        }
        usable.extend(can_be_used);
    }
    let mut people = BTreeSet::new();
    for index in usable {
        let video = &manifest.videos[index];
        scan.videos += 1;
        scan.classes.add(video.label);
        scan.sets[video.set].classes.add(video.label);
        people.extend(video.source_ids.iter().map(|person| (video.set, person)));
        if let Some(method) = &video.method {
            *scan.methods.entry(method.clone()).or_default() += 1;
        }
        if let Some(compression) = &video.compression {
            *scan.compressions.entry(compression.clone()).or_default() += 1;
        }
        if scan.split_problem.is_none() {
            *scan.splits.entry(video.split).or_default() += 1;
            scan.split_classes.entry(video.split).or_default().classes.add(video.label);
        }
        if let Some(info) = &infos[index] {
            *scan.resolutions.entry(format!("{}x{}", info.width, info.height)).or_default() += 1;
            scan.frames += info.frames as u64;
            scan.bytes += info.bytes;
        }
    }
    scan.identities = people.len();
    scan
}

fn render(scan: &Scan) -> String {
    let mut text = String::new();
    for set in &scan.sets {
        let layout = spelled(set.layout);
        let Classes { real, fake } = set.classes;
        text += &format!("{}: {layout} ({}), {real} real and {fake} fake\n", set.root.display(), set.recognised);
    }
    text += &format!("{}\n", split_table(scan));
    for (title, counts) in
        [("method", &scan.methods), ("compression", &scan.compressions), ("width x height", &scan.resolutions)]
    {
        if !counts.is_empty() {
            text += &format!("{}\n", count_table(title, counts));
        }
    }
    text += &format!("{} people, {} frames, {}\n", scan.identities, scan.frames, size(scan.bytes));
    if let Some(problem) = &scan.split_problem {
        text += &format!("no split: {problem}\n");
    }
    if !scan.unusable.is_empty() {
        text += &format!("{} cannot be used:\n", scan.unusable.len());
        for video in scan.unusable.iter().take(SHOWN_UNUSABLE) {
            text += &format!("  {}: {}\n", video.path, video.reason);
        }
        if scan.unusable.len() > SHOWN_UNUSABLE {
            text += &format!("  ... and {} more; all of them with --json\n", scan.unusable.len() - SHOWN_UNUSABLE);
        }
    }
    text
}

fn split_table(scan: &Scan) -> Table {
    let mut table = bordered_table();
    table.set_header(["videos", "real", "fake", "both", "unusable"]);
    let mut row = |name: String, Classes { real, fake }: Classes, unusable: usize| {
        let counts = [real, fake, real + fake, unusable].map(|count| count.to_string());
        table.add_row(std::iter::once(name).chain(counts));
    };
    for (split, side) in &scan.split_classes {
        row(spelled(*split), side.classes, side.unusable);
    }
    row("all".into(), scan.classes, scan.unusable.len());
    align_right(&mut table, 1..5);
    table
}

fn count_table(title: &str, counts: &BTreeMap<String, usize>) -> Table {
    const SHOWN: usize = 12;
    let mut table = bordered_table();
    table.set_header([title, "videos"]);
    let mut most_first: Vec<_> = counts.iter().collect();
    most_first.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (name, count) in most_first.iter().take(SHOWN) {
        table.add_row([(*name).clone(), count.to_string()]);
    }
    if let Some(rest) = most_first.get(SHOWN..).filter(|rest| !rest.is_empty()) {
        let count: usize = rest.iter().map(|(_, count)| **count).sum();
        table.add_row([format!("{} others", rest.len()), count.to_string()]);
    }
    align_right(&mut table, 1..2);
    table
}

/// A value as it is spelled in JSON and in the configuration.
fn spelled(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
