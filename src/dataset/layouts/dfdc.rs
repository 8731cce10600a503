//! DFDC: `dfdc_train_part_K/metadata.json`; `labels.csv` of the test set; `dataset.json` of the preview.
//!
//! All videos from the same original count as one person. The usual split by folder (0 to 34 train, 35 to 39
//! validation, 40 to 49 test) is used if the folders that are there belong to more than one side of it. This file opens
//! no video.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::layout::{Found, Layout, split_named};
use super::tree::{Root, confined, media_at};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::record::{Label, Split, VideoRecord};

const PREVIEW: &str = "dataset.json";
const METADATA: &str = "metadata.json";
const LABELS: &str = "labels.csv";

const CAVEAT: &str = "actors of DFDC are in several originals, and its lists do not say who: somebody may be on two sides of \
                      the split";

pub(super) struct Dfdc;

/// An entry of a list: one video.
#[derive(Deserialize)]
struct Entry {
    label: String,
    original: Option<String>,
    set: Option<String>,
    target_id: Option<Value>,
    swapped_id: Option<Value>,
}

impl Layout for Dfdc {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Dfdc
    }

    fn expects(&self) -> &'static str {
        "`dfdc_train_part_K/metadata.json`, `labels.csv` (filename,label) or the preview's `dataset.json`"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let lists = if root.list.is_none() { lists(root) } else { Vec::new() };
        let first = lists.first()?;
        let more = if lists.len() > 1 { format!(" and {} more lists", lists.len() - 1) } else { String::new() };
        Some(format!("found {}{more}", first.display()))
    }

    fn read(&self, root: &Root, _: &DataConfig) -> Result<Found, DataError> {
        let lists = lists(root);
        let parts: BTreeSet<Split> = lists.iter().filter_map(|list| side_of_part(list)).collect();
        let has_parts = lists.iter().any(|list| list.ends_with(METADATA));
        let mut found = Found::default();
        for list in &lists {
            let before = found.videos.len();
            if list.ends_with(LABELS) {
                read_labels(root, list, has_parts, &mut found)?;
            } else {
                let side = if parts.len() > 1 { side_of_part(list) } else { None };
                read_json(root, list, side, &mut found)?;
            }
            report_unlisted(root, list, before, &mut found);
        }
        if has_parts {
            found.caveats.push(CAVEAT.into());
        }
        Ok(found)
    }
}

/// The lists in the root and in the folders directly below it.
fn lists(root: &Root) -> Vec<PathBuf> {
    let mut lists = Vec::new();
    for folder in std::iter::once("").chain(root.folders.iter().map(String::as_str)) {
        for name in [PREVIEW, METADATA, LABELS] {
            let list = Path::new(folder).join(name);
            let is_one = || match name {
                LABELS => root
                    .peek(&list)
                    .lines()
                    .next()
                    .is_some_and(|line| line.trim().eq_ignore_ascii_case("filename,label")),
                _ => root.peek(&list).contains("\"label\""),
            };
            // If a folder has two lists, they name the same videos.
            if !lists.iter().any(|other: &PathBuf| other.parent() == list.parent()) && is_one() {
                lists.push(list);
            }
        }
    }
    lists
}

/// The side of the folder `dfdc_train_part_K` in the usual split.
fn side_of_part(list: &Path) -> Option<Split> {
    let folder = list.parent()?.file_name()?.to_str()?;
    let part: u32 = folder.strip_prefix("dfdc_train_part_")?.parse().ok()?;
    match part {
        0..=34 => Some(Split::Train),
        35..=39 => Some(Split::Val),
        40..=49 => Some(Split::Test),
        _ => None,
    }
}

fn label_named(name: &str) -> Option<Label> {
    match name.trim().to_ascii_lowercase().as_str() {
        "real" | "0" => Some(Label::Real),
        "fake" | "1" => Some(Label::Fake),
        _ => None,
    }
}

fn read_json(root: &Root, list: &Path, side: Option<Split>, found: &mut Found) -> Result<(), DataError> {
    let entries: BTreeMap<String, Entry> = serde_json::from_str(&root.read(list)?).map_err(|error| {
        let problem = format!("{}: expected {{\"NAME.mp4\": {{\"label\": ...}}}}: {error}", list.display());
        root.unusable(problem, "take the file from the data set")
    })?;
    let folder = list.parent().unwrap_or(Path::new(""));
    for (name, entry) in entries {
        let (path, label) = check_entry(root, list, folder, &name, &entry.label)?;
        let Some(media) = media_at(&root.folder.join(&path)) else {
            found.skip(path, format!("listed in {}, but not there", list.display()));
            continue;
        };
        let original = entry.original.as_deref().filter(|name| !name.is_empty());
        let mut video = VideoRecord { media, ..VideoRecord::new(&path, label, people(&name, &entry)) };
        if let (Label::Fake, Some(original)) = (label, original.and_then(confined)) {
            video.original = Some(folder.join(original)).filter(|path| root.folder.join(path).exists());
        }
        let mut parts = Path::new(&name).iter();
        if let (Label::Fake, Some(method), Some(_)) = (label, parts.next(), parts.next()) {
            video.method = method.to_str().map(str::to_owned);
        }
        if let Some(side) = entry.set.as_deref().and_then(split_named).or(side) {
            (video.split, video.official) = (side, true);
        }
        found.videos.push(video);
    }
    Ok(())
}

/// The people in a video: the actors that the preview names, or else the name of the original, or else the name of the
/// video.
fn people(name: &str, entry: &Entry) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let mut actors: Vec<String> =
        [&entry.target_id, &entry.swapped_id].into_iter().flatten().filter_map(text).collect();
    if actors.is_empty() {
        let from = entry.original.as_deref().filter(|original| !original.is_empty()).unwrap_or(name);
        let stem = Path::new(from).file_stem().and_then(|stem| stem.to_str()).unwrap_or(from);
        actors.push(stem.to_owned());
    }
    actors.dedup();
    actors
}

fn read_labels(root: &Root, list: &Path, official: bool, found: &mut Found) -> Result<(), DataError> {
    let folder = list.parent().unwrap_or(Path::new(""));
    let text = root.read(list)?;
    // In some copies, the videos are in a folder next to the list.
    let places = [vec![String::new()], root.folders_below(folder)].concat();
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let (name, label) = line.split_once(',').unwrap_or((line, ""));
        let (path, label) = check_entry(root, list, folder, name.trim(), label)?;
        let candidates = places.iter().map(|place| folder.join(place).join(name.trim()));
        let there = candidates.into_iter().find_map(|path| Some((media_at(&root.folder.join(&path))?, path)));
        let Some((media, path)) = there else {
            found.skip(path, format!("listed in {}, but not there", list.display()));
            continue;
        };
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let mut video = VideoRecord { media, ..VideoRecord::new(&path, label, vec![stem]) };
        if official {
            (video.split, video.official) = (Split::Test, true);
        }
        found.videos.push(video);
    }
    Ok(())
}

fn check_entry(
    root: &Root,
    list: &Path,
    folder: &Path,
    name: &str,
    label: &str,
) -> Result<(PathBuf, Label), DataError> {
    let refuse =
        |problem: String| root.unusable(format!("{}: {problem}", list.display()), "take the file from the data set");
    let path = confined(name).ok_or_else(|| refuse(format!("`{name}` leads out of the data set's folder")))?;
    let label =
        label_named(label).ok_or_else(|| refuse(format!("`{name}` has the label `{label}`, expected REAL or FAKE")))?;
    Ok((folder.join(path), label))
}

/// Reports the videos next to a list that the list does not name: they have no label. The videos of this list start at
/// index `before`.
fn report_unlisted(root: &Root, list: &Path, before: usize, found: &mut Found) {
    let folder = list.parent().unwrap_or(Path::new(""));
    // Folders below the root have their own lists, or do not belong to this one.
    if folder.as_os_str().is_empty() {
        return;
    }
    let named: HashSet<&PathBuf> = found.videos[before..].iter().map(|video| &video.path).collect();
    let (items, unusable) = root.items(folder);
    let unlisted: Vec<PathBuf> = items.into_iter().map(|item| item.path).filter(|path| !named.contains(path)).collect();
    for path in unlisted {
        found.skip(path, format!("not listed in {}", list.display()));
    }
    found.unusable.extend(unusable);
}
