//! FaceForensics++ as its download script stores it:
//! `{original,manipulated}_sequences/METHOD/COMPRESSION/videos/*.mp4`, and `splits/{train,val,test}.json`.
//!
//! Each method and compression has videos with the same names, so only the whole path identifies a video. This file
//! opens no video.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record};
use super::official::OfficialSplit;
use super::tree::Root;
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::record::{Label, VideoRecord};

/// The method whose videos show hired actors. It has no official split.
pub(super) const ACTORS_METHOD: &str = "DeepFakeDetection";
const ORIGINALS: &str = "original_sequences";
const FORGERIES: &str = "manipulated_sequences";

pub(super) const CAVEAT: &str = "FaceForensics++ validates on videos much like those it trains on: set data.test_roots to \
                                 see how a detector does elsewhere";

pub(super) struct Ffpp;

impl Layout for Ffpp {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Ffpp
    }

    fn expects(&self) -> &'static str {
        "the folders `original_sequences` and `manipulated_sequences`"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let (originals, forgeries) = (root.folder_named(ORIGINALS)?, root.folder_named(FORGERIES)?);
        let split = OfficialSplit::read(root).map_or("with a damaged split", |split| split.describe());
        root.list.is_none().then(|| format!("found {originals}/ and {forgeries}/, {split}"))
    }

    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError> {
        let official = OfficialSplit::read(root)?;
        let mut found = Found { caveats: vec![CAVEAT.into()], ..Found::default() };
        let mut compressions = BTreeSet::new();
        for (top, label) in [(ORIGINALS, Label::Real), (FORGERIES, Label::Fake)] {
            let top = Path::new(root.folder_named(top).unwrap_or(top));
            for method in root.folders_below(top) {
                let there = root.folders_below(&top.join(&method));
                compressions.extend(there.iter().cloned());
                let wanted: Vec<_> = there.iter().filter(|name| data.has_compression(name)).collect();
                if wanted.is_empty() {
                    tracing::warn!("{method} has no {}: left out", data.compression);
                }
                wanted.iter().for_each(|compression| add(&mut found, root, top, label, &method, compression));
            }
        }
        if found.videos.is_empty() && !compressions.is_empty() {
            let there: Vec<_> = compressions.into_iter().collect();
            let problem = format!("there are no videos with the compression {}", data.compression);
            return Err(root.unusable(problem, format!("set data.compression to one of {}", there.join(", "))));
        }
        finish(&mut found, &official);
        Ok(found)
    }
}

/// Adds the videos of one method and compression.
fn add(found: &mut Found, root: &Root, top: &Path, label: Label, method: &str, compression: &str) {
    let below = top.join(method).join(compression);
    let kinds = root.folders_below(&below);
    // Copies whose videos were cut into frames have `frames`, and sometimes `masks`, instead.
    let Some(kind) = ["videos", "frames"].into_iter().find(|kind| kinds.iter().any(|name| name == kind)) else {
        return found.skip(&below, "has neither `videos` nor `frames` in it");
    };
    found.add_items(root, &below.join(kind), |item| {
        let mut video = record(item, label);
        if method.eq_ignore_ascii_case(ACTORS_METHOD) || method.eq_ignore_ascii_case("actors") {
            video.source_ids = actors(item.stem());
        }
        video.method = (label == Label::Fake).then(|| method.to_owned());
        video.compression = Some(compression.to_owned());
        video
    });
}

/// Sets the official side of each video and the original of each fake.
pub(super) fn finish(found: &mut Found, official: &OfficialSplit) {
    let mut torn = Vec::new();
    found.videos.retain_mut(|video| match official.apply(video) {
        Ok(()) => true,
        Err(reason) => {
            torn.push((video.path.clone(), reason));
            false
        }
    });
    found.unusable.extend(torn);
    let reals = found.videos.iter().filter(|video| video.label == Label::Real);
    let key = |video: &VideoRecord, stem: String| (video.compression.clone(), stem);
    let original_of: HashMap<_, PathBuf> =
        reals.map(|video| (key(video, stem(video).to_owned()), video.path.clone())).collect();
    for video in found.videos.iter_mut().filter(|video| video.label == Label::Fake) {
        video.original = original_of.get(&key(video, target(stem(video)))).cloned();
    }
}

fn stem(video: &VideoRecord) -> &str {
    video.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// The name of the original: `033` for `033_097`, and `01__scene` for `01_02__scene__HASH`.
fn target(stem: &str) -> String {
    let mut parts = stem.split("__");
    let target = parts.next().and_then(|people| people.split('_').next()).unwrap_or_default();
    parts.next().map_or_else(|| target.to_owned(), |scene| format!("{target}__{scene}"))
}

/// The actors in `01__scene` or `01_02__scene__HASH`. Their numbers are not those of other videos.
pub(super) fn actors(stem: &str) -> Vec<String> {
    let people = stem.split("__").next().unwrap_or_default();
    people.split('_').map(|actor| format!("actor{actor}")).collect()
}
