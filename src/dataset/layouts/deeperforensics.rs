//! DeeperForensics-1.0: `manipulated_videos/VARIANT/TARGET_ACTOR.mp4`, `source_videos/ACTOR/...`, and the official
//! split in `lists/splits/{train,val,test}.txt`.
//!
//! The targets are the originals of FaceForensics++, which do not come with it: if they are in a folder
//! `FaceForensics++` beside the others, they are the reals. Variants have videos with the same names, and a list means
//! all of them. This file opens no video.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record};
use super::originals::{add_faceforensics, faceforensics};
use super::tree::{Item, Root};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::record::{Label, Split, VideoRecord};

const FORGERIES: &str = "manipulated_videos";
const SOURCES: &str = "source_videos";
const LISTS: &str = "lists/splits";
const HINT: &str = "take the list from the data set, or remove it";

const STUDIO_CAVEAT: &str = "its real videos are of a studio, its fakes of YouTube, so a detector may learn to tell those \
                             apart: its authors take FaceForensics++ as real (a folder `FaceForensics++` in it is read)";
const LACKING: &str = "its real videos are those of FaceForensics++: put the folder `FaceForensics++` into this one";

pub(super) struct Deeperforensics;

impl Layout for Deeperforensics {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Deeperforensics
    }

    fn expects(&self) -> &'static str {
        "the folder `manipulated_videos` with `end_to_end` or `reenact_postprocess` in it"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let forgeries = root.folder_named(FORGERIES)?;
        let variants = root.folders_below(Path::new(forgeries));
        let is_variant = |name: &&String| name.starts_with("end_to_end") || *name == "reenact_postprocess";
        let variant = variants.iter().find(is_variant)?;
        let lists = if root.folder.join(LISTS).is_dir() { "with" } else { "without" };
        root.list.is_none().then(|| format!("found {forgeries}/{variant}/, {lists} its official split"))
    }

    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError> {
        let mut found = Found::default();
        let forgeries = Path::new(root.folder_named(FORGERIES).unwrap_or(FORGERIES));
        found.add_items(root, forgeries, |item| VideoRecord {
            method: folder_below_top(item),
            source_ids: target_and_actor(item.stem()),
            ..record(item, Label::Fake)
        });
        let fakes = found.videos.len();
        let sources = root.folder_named(SOURCES).map(Path::new);
        match (faceforensics(root, Path::new("")), sources) {
            (Some(targets), sources) => {
                add_faceforensics(&mut found, root, data, &targets, ["videos", "frames"]);
                if let Some(sources) = sources {
                    found.skip(sources, "the real videos are those of FaceForensics++");
                }
            }
            (None, Some(sources)) => {
                found.add_items(root, sources, |item| {
                    let actor = folder_below_top(item).unwrap_or_else(|| item.stem().to_owned());
                    VideoRecord { source_ids: vec![actor], ..record(item, Label::Real) }
                });
                found.caveats.push(STUDIO_CAVEAT.into());
            }
            (None, None) => {
                (found.reals_elsewhere, found.lacking) = (fakes > 0, (fakes > 0).then(|| LACKING.to_owned()));
            }
        }
        set_originals(&mut found.videos);
        set_sides(&mut found, &read_lists(root)?);
        Ok(found)
    }
}

/// `000` and `M101` of `000_M101`; another name stands for one person of its own.
fn target_and_actor(stem: &str) -> Vec<String> {
    match stem.split('_').collect::<Vec<_>>().as_slice() {
        [target, actor] => vec![(*target).to_owned(), (*actor).to_owned()],
        _ => vec![stem.to_owned()],
    }
}

/// The variant of a forgery, or the actor of a source video.
fn folder_below_top(item: &Item) -> Option<String> {
    let parts: Vec<_> = item.path.iter().collect();
    match parts.as_slice() {
        [_, folder, _, ..] => folder.to_str().map(str::to_owned),
        _ => None,
    }
}

/// Sets the original of each fake: `000` for `000_M101`.
fn set_originals(videos: &mut [VideoRecord]) {
    let reals = videos.iter().filter(|video| video.label == Label::Real);
    let real_of: HashMap<String, PathBuf> =
        reals.filter_map(|video| Some((video.source_ids.first()?.clone(), video.path.clone()))).collect();
    for video in videos.iter_mut().filter(|video| video.label == Label::Fake) {
        video.original = video.source_ids.first().and_then(|target| real_of.get(target)).cloned();
    }
}

/// The official side of each name, such as `000_M101`.
fn read_lists(root: &Root) -> Result<BTreeMap<String, Split>, DataError> {
    let mut side_of = BTreeMap::new();
    for (name, side) in [("train.txt", Split::Train), ("val.txt", Split::Val), ("test.txt", Split::Test)] {
        let list = Path::new(LISTS).join(name);
        if !root.folder.join(&list).is_file() {
            continue;
        }
        for (number, line) in root.read(&list)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let stem = Path::new(line.trim()).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let refuse =
                |problem: String| root.unusable(format!("{}, line {}: {problem}", list.display(), number + 1), HINT);
            if target_and_actor(stem).len() != 2 {
                return Err(refuse(format!("expected `000_M101.mp4`, found `{}`", line.trim())));
            }
            if side_of.insert(stem.to_owned(), side).is_some_and(|before| before != side) {
                return Err(refuse(format!("`{stem}` is on another side too")));
            }
        }
    }
    Ok(side_of)
}

/// Sets the official sides of fakes. A real gets that of the fakes with its people, if all are on the same one.
fn set_sides(found: &mut Found, side_of: &BTreeMap<String, Split>) {
    let mut unseen: BTreeSet<&String> = side_of.keys().collect();
    let mut sides_of_person: HashMap<String, BTreeSet<Split>> = HashMap::new();
    for (stem, side) in side_of {
        for person in target_and_actor(stem) {
            sides_of_person.entry(person).or_default().insert(*side);
        }
    }
    for video in &mut found.videos {
        let stem = video.source_ids.join("_");
        unseen.remove(&stem);
        let side = match video.label {
            Label::Fake => side_of.get(&stem).copied(),
            Label::Real => {
                let sides = video.source_ids.first().and_then(|person| sides_of_person.get(person));
                sides.filter(|sides| sides.len() == 1).and_then(|sides| sides.first().copied())
            }
        };
        if let Some(side) = side {
            (video.split, video.official) = (side, true);
        }
    }
    for stem in unseen {
        found.skip(Path::new(FORGERIES).join(stem), format!("listed in {LISTS}, but not there"));
    }
}
