//! DeepfakeBench's JSON, `{dataset: {label: {split: [compression:] {video: {label, frames}}}}}`, whose frames are
//! picture files.
//!
//! The paths in it come from another machine: they may start with folders that do not exist here, or contain
//! backslashes. Each path is shortened from the front until it exists below the folder of the JSON. This file opens no
//! picture.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::layout::{Found, Layout, split_named};
use super::tree::Root;
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::people::people_of;
use crate::dataset::record::{Label, Media, Split, VideoRecord};

const METHODS: [(&str, &str); 5] = [
    ("FF-DF", "Deepfakes"),
    ("FF-F2F", "Face2Face"),
    ("FF-FS", "FaceSwap"),
    ("FF-NT", "NeuralTextures"),
    ("FF-FH", "FaceShifter"),
];
const HINT: &str = "take the JSON from DeepfakeBench, and name the folder that its frames lie below";

type Videos = BTreeMap<String, Video>;
type Datasets = BTreeMap<String, BTreeMap<String, BTreeMap<String, Node>>>;

#[derive(Deserialize)]
struct Video {
    frames: Vec<String>,
}

/// What a split contains: compressions, or videos.
#[derive(Deserialize)]
#[serde(untagged)]
enum Node {
    Videos(Videos),
    Compressions(BTreeMap<String, Videos>),
}

pub(super) struct Deepfakebench;

impl Layout for Deepfakebench {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Deepfakebench
    }

    fn expects(&self) -> &'static str {
        "a JSON file of DeepfakeBench, with lists of `frames`"
    }

    fn recognise(&self, root: &Root) -> Option<String> {
        let lists = lists(root);
        (!lists.is_empty()).then(|| format!("found {} with lists of frames", lists.join(", ")))
    }

    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError> {
        let mut reading = Reading { root, prefix: 0, videos: BTreeMap::new(), found: Found::default(), missing: 0 };
        let mut compressions = BTreeSet::new();
        for list in lists(root) {
            let datasets: Datasets = serde_json::from_str(&root.read(Path::new(list))?)
                .map_err(|error| root.unusable(format!("{list}: {error}"), HINT))?;
            for (dataset, labels) in datasets {
                for (label, splits) in labels {
                    for (split, node) in splits {
                        let side = split_named(&split);
                        match node {
                            Node::Videos(videos) => reading.add(&dataset, &label, side, None, videos),
                            Node::Compressions(mut by_level) => {
                                compressions.extend(by_level.keys().cloned());
                                by_level.retain(|level, _| data.has_compression(level));
                                for (level, videos) in by_level {
                                    reading.add(&dataset, &label, side, Some(&level), videos);
                                }
                            }
                        }
                    }
                }
            }
        }
        if !compressions.is_empty() && !compressions.iter().any(|level| data.has_compression(level)) {
            let there: Vec<_> = compressions.into_iter().collect();
            let problem = format!("there are no videos with the compression {}", data.compression);
            return Err(root.unusable(problem, format!("set data.compression to one of {}", there.join(", "))));
        }
        Ok(reading.finish())
    }
}

fn lists(root: &Root) -> Vec<&str> {
    let is_list = |name: &&str| {
        let head = root.peek(Path::new(name));
        head.starts_with('{') && head.contains("\"frames\"")
    };
    root.lists("json").into_iter().filter(is_list).collect()
}

struct Reading<'a> {
    root: &'a Root,
    /// The number of leading folders to remove from paths. It is the same for most paths, so the last one is tried
    /// first.
    prefix: usize,
    videos: BTreeMap<PathBuf, VideoRecord>,
    found: Found,
    missing: usize,
}

impl Reading<'_> {
    fn add(&mut self, dataset: &str, label: &str, side: Option<Split>, compression: Option<&str>, videos: Videos) {
        let is_real = label.to_ascii_lowercase().contains("real");
        let method = METHODS.iter().find(|(short, _)| *short == label).map_or(label, |(_, method)| method);
        for (name, Video { frames }) in videos {
            let listed = frames.len();
            let frames: Vec<PathBuf> = frames.iter().filter_map(|frame| self.locate(frame)).collect();
            let place = Path::new(dataset).join(label).join(&name);
            let Some(first) = frames.first() else {
                self.found.skip(place, format!("none of its {listed} frames is there"));
                continue;
            };
            self.missing += listed - frames.len();
            let folder = first.parent().unwrap_or(first).to_owned();
            let path = if frames.iter().all(|frame| frame.parent() == Some(&folder)) { folder } else { first.clone() };
            let people = people_of(&name).into_iter().map(|person| format!("{dataset}/{person}")).collect();
            let label = if is_real { Label::Real } else { Label::Fake };
            let video = VideoRecord {
                media: Media::Frames(frames),
                method: (!is_real).then(|| method.to_owned()),
                compression: compression.map(str::to_owned),
                split: side.unwrap_or(Split::Train),
                official: side.is_some(),
                ..VideoRecord::new(&path, label, people)
            };
            // Some sets list the same videos as `val` and as `test`. They become test videos, so that they do not
            // choose the best epoch.
            let better = self.videos.get(&path).is_none_or(|before| before.split < video.split);
            if better {
                self.videos.insert(path, video);
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

    fn finish(mut self) -> Found {
        if self.missing > 0 {
            tracing::warn!("{} frames that the list names are not there: the others are used", self.missing);
        }
        let name = |video: &VideoRecord| video.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let reals: HashMap<_, _> = self
            .videos
            .values()
            .filter(|video| video.label == Label::Real)
            .filter_map(|video| Some((name(video)?, video.path.clone())))
            .collect();
        for video in self.videos.values_mut().filter(|video| video.label == Label::Fake) {
            let stem = name(video).unwrap_or_default();
            let original = match stem.split('_').collect::<Vec<_>>().as_slice() {
                [target, _] => (*target).to_owned(),
                [target, _, number] => format!("{target}_{number}"),
                _ => continue,
            };
            video.original = reals.get(&original).cloned();
        }
        self.found.videos = self.videos.into_values().collect();
        self.found
    }
}
