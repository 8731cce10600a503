//! FakeAVCeleb: `{Real,Fake}Video-{Real,Fake}Audio/ETHNICITY/GENDER/PERSON/*.mp4`, and the methods in `meta_data.csv`.
//!
//! Videos whose sound alone is forged are left out: their pictures are real. A file is named after the video that it
//! was made from and the other people in it, as in `00109_10_id00476_wavtolip.mp4`. This file opens no video.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record};
use super::tree::{Item, Root};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::people::is_id;
use crate::dataset::record::{Label, VideoRecord};

const REALS: &str = "RealVideo-RealAudio";
const FORGERIES: [&str; 2] = ["FakeVideo-RealAudio", "FakeVideo-FakeAudio"];
const SOUND_ALONE: &str = "RealVideo-FakeAudio";
const METHODS: &str = "meta_data.csv";

pub(super) struct Fakeavceleb;

impl Layout for Fakeavceleb {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Fakeavceleb
    }

    fn expects(&self) -> &'static str {
        "the folders `RealVideo-RealAudio` and `FakeVideo-RealAudio` or `FakeVideo-FakeAudio`"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let real = root.folder_named(REALS)?;
        let forged = FORGERIES.iter().find_map(|name| root.folder_named(name))?;
        root.list.is_none().then(|| format!("found {real}/ and {forged}/"))
    }

    fn read(&self, root: &Root, _: &DataConfig) -> Result<Found, DataError> {
        let methods = methods(root)?;
        let mut found = Found::default();
        if let Some(folder) = root.folder_named(REALS) {
            found.add_items(root, Path::new(folder), |item| with_people(item, Label::Real));
        }
        let reals: BTreeSet<PathBuf> = found.videos.iter().map(|video| video.path.clone()).collect();
        for folder in FORGERIES.iter().filter_map(|name| root.folder_named(name)) {
            found.add_items(root, Path::new(folder), |item| VideoRecord {
                method: Some(methods.get(&item.path).cloned().unwrap_or_else(|| folder.to_owned())),
                original: original(item).filter(|path| reals.contains(path)),
                ..with_people(item, Label::Fake)
            });
        }
        if let Some(folder) = root.folder_named(SOUND_ALONE) {
            let (items, _) = root.items(Path::new(folder));
            found.skip(folder, format!("{} videos whose pictures are real and whose sound is forged", items.len()));
        }
        Ok(found)
    }
}

/// The record of an item, with the person of its folder and those of its name.
fn with_people(item: &Item, label: Label) -> VideoRecord {
    let folder = item.path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let mut people: Vec<String> = Vec::new();
    for person in std::iter::once(folder).chain(item.stem().split('_')).filter(|part| is_id(part)) {
        if people.iter().all(|known| known != person) {
            people.push(person.to_owned());
        }
    }
    let video = record(item, label);
    if people.is_empty() { video } else { VideoRecord { source_ids: people, ..video } }
}

/// The path of the video that a forgery was made from.
fn original(item: &Item) -> Option<PathBuf> {
    let below: PathBuf = item.path.iter().skip(1).collect();
    let name = format!("{}.mp4", item.stem().split('_').next()?);
    Some(Path::new(REALS).join(below.parent()?).join(name))
}

/// The method of each video by path. The list has file names in `path`, and their folders, below a folder
/// `FakeAVCeleb`, in a last column without a name.
fn methods(root: &Root) -> Result<HashMap<PathBuf, String>, DataError> {
    let mut methods = HashMap::new();
    let Some(list) = root.file_named(METHODS) else {
        tracing::warn!("there is no {METHODS}: the methods of forgeries are called as their folders");
        return Ok(methods);
    };
    let text = root.read(Path::new(list))?;
    let broken = |error: csv::Error| root.unusable(format!("{list}: {error}"), "repair or remove this file");
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().map_err(broken)?;
    let column = |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
    let (Some(method), Some(file)) = (column("method"), column("path")) else {
        let problem = format!("{list} lacks the columns method and path");
        return Err(root.unusable(problem, "repair or remove this file"));
    };
    for row in reader.records() {
        let row = row.map_err(broken)?;
        if let (Some(method), Some(file), Some(folder)) = (row.get(method), row.get(file), row.iter().next_back()) {
            let folder = folder.trim_start_matches("FakeAVCeleb/");
            methods.insert(Path::new(folder).join(file), method.to_owned());
        }
    }
    Ok(methods)
}
