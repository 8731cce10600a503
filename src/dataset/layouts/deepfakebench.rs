//! DeepfakeBench's JSON, `{dataset: {label: {split: [compression:] {video: {label, frames}}}}}`, whose frames are
//! picture files; DF40's has the same form.
//!
//! The paths in it come from another machine: they may start with folders that do not exist here, or contain
//! backslashes. Each path is shortened from the front until it exists below the folder of the JSON. This file opens no
//! picture.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::layout::{Found, Layout, split_named};
use super::tree::Root;
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::people::{original_of, people_of};
use crate::dataset::record::{Label, Media, Split, VideoRecord};
use crate::files::natural_key;

const METHODS: [(&str, &str); 6] = [
    ("FF-DF", "Deepfakes"),
    ("FF-F2F", "Face2Face"),
    ("FF-FS", "FaceSwap"),
    ("FF-NT", "NeuralTextures"),
    ("FF-FH", "FaceShifter"),
    ("FF-SH", "FaceShifter"),
];
const HINT: &str = "take the JSON from DeepfakeBench, and name the folder that its frames lie below";

type Splits = BTreeMap<String, Map<String, Value>>;
type Datasets = BTreeMap<String, BTreeMap<String, Splits>>;

#[derive(Deserialize)]
struct Video {
    #[serde(default)]
    label: String,
    frames: Vec<String>,
}

pub(super) struct Deepfakebench;

impl Layout for Deepfakebench {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Deepfakebench
    }

    fn expects(&self) -> &'static str {
        "a JSON file of DeepfakeBench, with lists of `frames`"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let lists = lists(root);
        (!lists.is_empty()).then(|| format!("found {} with lists of frames", lists.join(", ")))
    }

    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError> {
        let mut reading = Reading {
            root,
            data,
            prefix: 0,
            compressions: BTreeSet::new(),
            listed: BTreeMap::new(),
            found: Found::default(),
            missing: 0,
        };
        for list in lists(root) {
            let datasets: Datasets = serde_json::from_str(&root.read(Path::new(list))?)
                .map_err(|error| root.unusable(format!("{list}: {error}"), HINT))?;
            for (dataset, labels) in &datasets {
                for (label, splits) in labels {
                    for (split, videos) in splits {
                        reading.add_split(Place { list, dataset, label, split, compression: None }, videos)?;
                    }
                }
            }
        }
        reading.finish()
    }
}

fn lists(root: &Root) -> Vec<&str> {
    let is_list = |name: &&str| {
        let head = root.peek(Path::new(name));
        head.starts_with('{') && head.contains("\"frames\"")
    };
    root.lists("json").into_iter().filter(is_list).collect()
}

/// The class that a label tells by its last part (`FF-real`, `whichisreal_Fake`, `DFDCP_FakeB`), or as the name of a
/// method of FaceForensics++.
fn class_of(label: &str) -> Option<Label> {
    let last = label.rsplit(['_', '-']).next().unwrap_or(label).to_ascii_lowercase();
    match last.as_str() {
        "real" => Some(Label::Real),
        "fake" | "fakea" | "fakeb" => Some(Label::Fake),
        _ => METHODS.iter().any(|(short, long)| [short, long].contains(&&label)).then_some(Label::Fake),
    }
}

/// The place of a video in a list.
#[derive(Clone, Copy)]
struct Place<'a> {
    list: &'a str,
    dataset: &'a str,
    label: &'a str,
    split: &'a str,
    compression: Option<&'a str>,
}

impl Place<'_> {
    fn name(&self, video: &str) -> String {
        let Self { dataset, label, split, compression, .. } = self;
        [Some(*dataset), Some(*label), Some(*split), *compression, Some(video)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// A video that a list names, before it is known which others lie in the same folder.
struct Listed {
    dataset: String,
    name: String,
    record: VideoRecord,
}

struct Reading<'a> {
    root: &'a Root,
    data: &'a DataConfig,
    /// The number of leading folders to remove from paths. It is the same for most paths, so the last one is tried
    /// first.
    prefix: usize,
    /// All compressions that the lists have, selected or not.
    compressions: BTreeSet<String>,
    /// By the path of the first frame.
    listed: BTreeMap<PathBuf, Listed>,
    found: Found,
    missing: usize,
}

impl Reading<'_> {
    fn add_split(&mut self, place: Place, videos: &Map<String, Value>) -> Result<(), DataError> {
        // DeepfakeBench's own script writes the last video of DFDC's test part directly under `val`.
        let is_video = |fields: &Map<String, Value>| fields.contains_key("frames");
        if is_video(videos) {
            self.add(place, None, &Value::Object(videos.clone()))?;
        }
        for (name, value) in videos {
            match value {
                Value::Object(fields) if is_video(fields) => self.add(place, Some(name), value)?,
                Value::Object(of_level) if place.compression.is_none() && of_level.values().all(Value::is_object) => {
                    self.compressions.insert(name.clone());
                    if self.data.has_compression(name) {
                        self.add_split(Place { compression: Some(name), ..place }, of_level)?;
                    }
                }
                _ if is_video(videos) => {}
                _ => return Err(self.refuse(place, name, "it has no list of `frames`")),
            }
        }
        Ok(())
    }

    fn refuse(&self, place: Place, name: &str, problem: &str) -> DataError {
        self.root.unusable(format!("{}: {}: {problem}", place.list, place.name(name)), HINT)
    }

    fn add(&mut self, place: Place, name: Option<&str>, video: &Value) -> Result<(), DataError> {
        let shown = name.unwrap_or("(without a name)");
        let Video { label, frames } =
            Video::deserialize(video).map_err(|error| self.refuse(place, shown, &error.to_string()))?;
        let named = [place.label, label.as_str()].into_iter().find_map(|label| Some((label, class_of(label)?)));
        let Some((label, class)) = named else {
            let problem =
                format!("the label `{}` is neither real nor fake: labels end in `real` or `fake`", place.label);
            return Err(self.refuse(place, shown, &problem));
        };
        let count = frames.len();
        let mut frames: Vec<PathBuf> = frames.iter().filter_map(|frame| self.locate(frame)).collect();
        // The published lists come from an unsorted listing of the folder.
        frames.sort_by_cached_key(|frame| natural_key(frame));
        let Some(first) = frames.first().cloned() else {
            self.found.skip(place.name(shown), format!("none of its {count} frames is there"));
            return Ok(());
        };
        self.missing += count - frames.len();
        let folder = first.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = name.unwrap_or(&folder).to_owned();
        let people = people_of(&name).into_iter().map(|person| format!("{}/{person}", place.dataset)).collect();
        let method = METHODS.iter().find(|(short, _)| *short == label).map_or(label, |(_, method)| method);
        let side = split_named(place.split);
        let record = VideoRecord {
            media: if count == 1 { Media::Picture } else { Media::Frames(frames.into()) },
            method: (class == Label::Fake).then(|| method.to_owned()),
            compression: place.compression.map(str::to_owned),
            split: side.unwrap_or(Split::Train),
            official: side.is_some(),
            ..VideoRecord::new(&first, class, people)
        };
        // Some sets list the same videos as `val` and as `test`. They become test videos, so that they do not choose
        // the best epoch.
        match self.listed.get(&first) {
            Some(before) if before.record.label != class => {
                Err(self.refuse(place, &name, "its frames are listed as real and as fake"))
            }
            Some(before) if before.record.split >= record.split => Ok(()),
            _ => {
                self.listed.insert(first, Listed { dataset: place.dataset.to_owned(), name, record });
                Ok(())
            }
        }
    }

    /// The longest end of the path that exists below the root.
    fn locate(&mut self, frame: &str) -> Option<PathBuf> {
        let clean = frame.replace('\\', "/");
        let mut parts: Vec<&str> = clean.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if let Some(up) = parts.iter().rposition(|part| *part == "..") {
            parts.drain(..=up);
        }
        for prefix in std::iter::once(self.prefix).chain(0..parts.len()).filter(|prefix| *prefix < parts.len()) {
            let path: PathBuf = parts[prefix..].iter().collect();
            if self.root.folder.join(&path).is_file() {
                self.prefix = prefix;
                return Some(path);
            }
        }
        None
    }

    fn finish(mut self) -> Result<Found, DataError> {
        if !self.compressions.is_empty() && !self.compressions.iter().any(|level| self.data.has_compression(level)) {
            let there: Vec<_> = self.compressions.into_iter().collect();
            let problem = format!("there are no videos with the compression {}", self.data.compression);
            return Err(self.root.unusable(problem, format!("set data.compression to one of {}", there.join(", "))));
        }
        if self.missing > 0 {
            tracing::warn!("{} frames that the list names are not there: the others are used", self.missing);
        }
        self.name_by_folder();
        self.set_originals();
        self.found.videos = self.listed.into_values().map(|listed| listed.record).collect();
        Ok(self.found)
    }

    /// Names videos by the folder of their frames where no other video has frames in it, else by the first frame.
    fn name_by_folder(&mut self) {
        let mut videos_in: HashMap<PathBuf, usize> = HashMap::new();
        for Listed { record, .. } in self.listed.values() {
            let folders: BTreeSet<_> = frames_of(record).iter().filter_map(|frame| frame.parent()).collect();
            folders.into_iter().for_each(|folder| *videos_in.entry(folder.to_owned()).or_default() += 1);
        }
        for Listed { record, .. } in self.listed.values_mut().filter(|listed| listed.record.media != Media::Picture) {
            let Some(folder) = record.path.parent().map(Path::to_owned) else { continue };
            let is_own = videos_in.get(&folder) == Some(&1);
            if is_own && frames_of(record).iter().all(|frame| frame.parent() == Some(&folder)) {
                record.path = folder;
            }
        }
    }

    fn set_originals(&mut self) {
        let key = |dataset: &str, name: &str, record: &VideoRecord| {
            (dataset.to_owned(), name.to_owned(), record.compression.clone())
        };
        let of_class = |label| move |listed: &&Listed| listed.record.label == label;
        let mut reals = HashMap::new();
        for Listed { dataset, name, record } in self.listed.values().filter(of_class(Label::Real)) {
            reals.insert(key(dataset, name, record), record.path.clone());
            // The same reals come with each method of FaceForensics++, and are listed once.
            reals.entry(key("", name, record)).or_insert_with(|| record.path.clone());
        }
        for Listed { dataset, name, record } in self.listed.values_mut() {
            let Some(original) = original_of(name) else { continue };
            if record.label == Label::Fake {
                let of_set = reals.get(&key(dataset, &original, record));
                record.original = of_set.or_else(|| reals.get(&key("", &original, record))).cloned();
            }
        }
    }
}

fn frames_of(record: &VideoRecord) -> &[PathBuf] {
    match &record.media {
        Media::Frames(frames) => frames,
        _ => std::slice::from_ref(&record.path),
    }
}
