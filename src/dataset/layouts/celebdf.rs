//! Celeb-DF v1 and v2: `Celeb-real/`, `YouTube-real/`, `Celeb-synthesis/`, and the official test videos in
//! `List_of_testing_videos.txt`. That list has no header, and 1 means real. This file opens no video.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record};
use super::tree::{Root, confined};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::record::{Label, Split};

const FOLDERS: [(&str, Label); 3] =
    [("Celeb-real", Label::Real), ("YouTube-real", Label::Real), ("Celeb-synthesis", Label::Fake)];
const LIST: &str = "List_of_testing_videos.txt";

const CAVEAT: &str = "lists in circulation validate Celeb-DF on its own test videos, which is not done here: published numbers may \
                      have chosen their epoch on them";

pub(super) struct Celebdf;

impl Layout for Celebdf {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Celebdf
    }

    fn expects(&self) -> &'static str {
        "the folders `Celeb-real` and `Celeb-synthesis`"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let (real, fake) = (root.folder_named("Celeb-real")?, root.folder_named("Celeb-synthesis")?);
        let list = if root.file_named(LIST).is_some() { "with" } else { "without" };
        root.list.is_none().then(|| format!("found {real}/ and {fake}/, {list} the list of official test videos"))
    }

    fn read(&self, root: &Root, _: &DataConfig) -> Result<Found, DataError> {
        let mut found = Found { caveats: vec![CAVEAT.into()], ..Found::default() };
        for (name, label) in FOLDERS {
            let Some(folder) = root.folder_named(name) else { continue };
            found.add_items(root, Path::new(folder), |item| {
                let mut video = record(item, label);
                video.method = (label == Label::Fake).then(|| folder.to_owned());
                video
            });
        }
        set_originals(&mut found);
        if let Some(list) = root.file_named(LIST) {
            mark_tests(root, list, &mut found)?;
        }
        Ok(found)
    }
}

/// Sets the original of each fake: `id0_0003` for `id0_id16_0003`.
fn set_originals(found: &mut Found) {
    let stem = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let reals = found.videos.iter().filter(|video| video.label == Label::Real);
    let real_named: HashMap<String, PathBuf> = reals.map(|video| (stem(&video.path), video.path.clone())).collect();
    for video in found.videos.iter_mut().filter(|video| video.label == Label::Fake) {
        let name = stem(&video.path);
        if let [target, _, number] = name.split('_').collect::<Vec<_>>().as_slice() {
            video.original = real_named.get(&format!("{target}_{number}")).cloned();
        }
    }
}

fn mark_tests(root: &Root, list: &str, found: &mut Found) -> Result<(), DataError> {
    let mut listed = HashSet::new();
    let mut label_of = HashMap::new();
    for (number, line) in root.read(Path::new(list))?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let entry = line.split_once(char::is_whitespace).and_then(|(label, path)| {
            // This is the opposite of the other data sets.
            let label = match label {
                "1" => Label::Real,
                "0" => Label::Fake,
                _ => return None,
            };
            Some((label, as_on_disk(root, &confined(path.trim())?)))
        });
        let Some((label, path)) = entry else {
            let problem = format!("{list}, line {}: expected `1 YouTube-real/00170.mp4`, found `{line}`", number + 1);
            return Err(root.unusable(problem, "take the list from the data set, or remove it"));
        };
        label_of.insert(path.clone(), label);
        listed.insert(path);
    }
    let mut disagree = 0;
    for video in &mut found.videos {
        if listed.remove(&video.path) {
            (video.split, video.official) = (Split::Test, true);
            disagree += usize::from(label_of.get(&video.path) != Some(&video.label));
        }
    }
    if disagree > 0 {
        let problem = format!("{list}: {disagree} videos have another label there than their folder (1 means real)");
        return Err(root.unusable(problem, "take the list from the data set, or remove it"));
    }
    for path in listed {
        found.skip(path, format!("listed in {list}, but not there"));
    }
    Ok(())
}

/// The path with the folder as it is spelled on disk, which in some copies differs from the list.
fn as_on_disk(root: &Root, path: &Path) -> PathBuf {
    let mut parts = path.iter();
    let first = parts.next().and_then(|name| name.to_str()).unwrap_or_default();
    Path::new(root.folder_named(first).unwrap_or(first)).join(parts.as_path())
}
