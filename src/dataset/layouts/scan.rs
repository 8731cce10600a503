//! The scan of `data.root` and `data.test_roots`: it chooses the layout of each folder and makes the manifest.
//!
//! Only names and lists are read. No video is opened, so the manifest also contains unreadable ones until they are
//! probed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use super::layout::{Found, Layout};
use super::tree::{self, Root};
use super::{
    celebdf, csv, deeperforensics, deepfakebench, df40, dfdc, fakeavceleb, ffpp, ffpp_kaggle, folders, select,
};
use crate::config::{DataConfig, LayoutChoice, SelfBlend};
use crate::dataset::error::DataError;
use crate::dataset::manifest::Manifest;
use crate::dataset::record::{DataSet, Label, SkippedVideo, Split, VideoRecord};
use crate::dataset::self_blends::add_self_blends;

/// The order in which `auto` tries layouts. Layouts with an unmistakable sign come first.
const LAYOUTS: [&dyn Layout; 10] = [
    &celebdf::Celebdf,
    &ffpp::Ffpp,
    &dfdc::Dfdc,
    &fakeavceleb::Fakeavceleb,
    &deeperforensics::Deeperforensics,
    &deepfakebench::Deepfakebench,
    &csv::Csv,
    &ffpp_kaggle::FfppKaggle,
    &df40::Df40,
    &folders::Folders,
];
const HINT_LAYOUT: &str = "the data folder holds the folders `real` and `fake`, with videos at any depth below; \
                           `dfdetect demo-data --output demo` makes one to try things out; data/README.md shows the \
                           other layouts";

/// Finds the videos of `data.root`, then of `data.test_roots`. Videos with an official side of the split get it. Videos
/// of `data.test_roots` get [`Split::CrossTest`]; if the data set has official test videos, only those are used. Hidden
/// files are left out, links are followed.
///
/// # Errors
/// [`DataError::Unusable`] if a folder is missing, does not have its layout, or lacks a class; or if no data set has a
/// selected method.
pub fn scan(data: &DataConfig) -> Result<Manifest, DataError> {
    scan_for(data, SelfBlend::Off)
}

/// Like [`scan`], with self-blended fakes if they are configured. Then real videos are enough.
///
/// # Errors
/// The same as of [`scan`].
pub fn scan_for(data: &DataConfig, self_blend: SelfBlend) -> Result<Manifest, DataError> {
    scan_with(data, self_blend, false)
}

/// Like [`scan`], to evaluate a detector. Videos of one class are enough.
///
/// # Errors
/// The same as of [`scan`].
pub fn scan_to_measure(data: &DataConfig) -> Result<Manifest, DataError> {
    scan_with(data, SelfBlend::Off, true)
}

fn scan_with(data: &DataConfig, self_blend: SelfBlend, one_class_will_do: bool) -> Result<Manifest, DataError> {
    let mut manifest = Manifest { sets: Vec::new(), videos: Vec::new(), skipped: Vec::new() };
    let mut seen = HashSet::new();
    let mut methods = select::MethodFilter::new(&data.methods);
    let roots = data.root.0.iter().map(|root| (root, false)).chain(data.test_roots.0.iter().map(|root| (root, true)));
    for (path, cross) in roots {
        let root = Root::open(path)?;
        if !seen.insert((root.folder.canonicalize().unwrap_or_else(|_| root.folder.clone()), root.list.clone())) {
            return Err(root.unusable("this data set is named twice", "name it once, in data.root or test_roots"));
        }
        let (layout, why) = layout_of(&root, data)?;
        tracing::info!("{}: {} ({why})", path.display(), name(layout.choice()));
        let mut found = layout.read(&root, data)?;
        if cross || one_class_will_do {
            // They are about training.
            found.caveats.clear();
        }
        found.caveats.iter().for_each(|caveat| tracing::warn!("{}: {caveat}", path.display()));
        let reals_elsewhere = found.reals_elsewhere && data.root.0.len() > 1;
        let will_do = OneClass { any: cross || one_class_will_do, fakes: reals_elsewhere, self_blend };
        check_classes(&root, &found, &will_do)?;
        methods.apply(&mut found.videos, path);
        if cross {
            to_cross_test(&mut found.videos);
        }
        if let Some(limit) = data.max_videos_per_class {
            select::limit(&mut found.videos, limit);
        }
        let (set, caveats) = (manifest.sets.len(), std::mem::take(&mut found.caveats));
        add(&mut manifest, set, found);
        manifest.sets.push(DataSet { recognised: why, caveats, ..DataSet::new(root.folder, layout.choice()) });
    }
    let is_own_real = |video: &VideoRecord| video.label == Label::Real && video.split != Split::CrossTest;
    if !one_class_will_do && !manifest.videos.iter().any(is_own_real) {
        return Err(DataError::Unusable {
            root: manifest.root().to_owned(),
            problem: "none of the data sets to train on has real videos".into(),
            hint: "name one that has in data.root too, such as FaceForensics++".into(),
        });
    }
    methods.check(manifest.root())?;
    if !one_class_will_do {
        select::check_holdout(&data.holdout_methods, &manifest)?;
    }
    if self_blend != SelfBlend::Off {
        add_self_blends(&mut manifest);
    }
    Ok(manifest)
}

fn add(manifest: &mut Manifest, set: usize, found: Found) {
    let mut videos = found.videos;
    videos.iter_mut().for_each(|video| video.set = set);
    videos.sort_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
    let mut skipped: Vec<SkippedVideo> = found
        .unusable
        .into_iter()
        .map(|(path, reason)| SkippedVideo { set, path, self_blend: false, reason })
        .collect();
    skipped.sort_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
    manifest.videos.extend(videos);
    manifest.skipped.extend(skipped);
}

/// The configured layout, or the one that is recognised, and why it is recognised.
fn layout_of(root: &Root, data: &DataConfig) -> Result<(&'static dyn Layout, String), DataError> {
    let asked = data.layout;
    let candidates = LAYOUTS.into_iter().filter(|layout| asked == LayoutChoice::Auto || layout.choice() == asked);
    if let Some(found) = candidates.into_iter().find_map(|layout| Some((layout, layout.recognise(root, data)?))) {
        return Ok(found);
    }
    if let (LayoutChoice::Auto | LayoutChoice::Csv, Some(error)) = (asked, csv::unfitting(root, data)) {
        return Err(error);
    }
    let found = root.describe();
    match LAYOUTS.into_iter().find(|layout| layout.choice() == asked) {
        Some(layout) if asked != LayoutChoice::Folders => {
            let problem = format!("this is not laid out as {}: expected {}; {found}", name(asked), layout.expects());
            Err(root.unusable(problem, "set data.layout: auto to have it recognised"))
        }
        Some(_) => Err(root.unusable(format!("there is no folder `real`; {found}"), HINT_LAYOUT)),
        None => {
            Err(root
                .unusable(format!("there is no folder `real`, nor anything of another layout; {found}"), HINT_LAYOUT))
        }
    }
}

/// Whether a data set may have videos of one class only.
struct OneClass {
    /// It is only measured or tested on.
    any: bool,
    /// Its reals are in another data set, and there are others.
    fakes: bool,
    self_blend: SelfBlend,
}

/// Training needs both classes, or reals from which fakes are made. A data set that is only tested on needs any video.
fn check_classes(root: &Root, found: &Found, will_do: &OneClass) -> Result<(), DataError> {
    let has = |label| found.videos.iter().any(|video| video.label == label);
    let first = found.unusable.first().map(|(path, why)| format!(", for instance {}: {why}", path.display()));
    let problem = |kind: &str| {
        let unusable = found.unusable.len();
        let rest = first.as_ref().map_or(String::new(), |first| format!("; {unusable} cannot be used{first}"));
        let lacking = found.lacking.clone();
        let problem = lacking.unwrap_or_else(|| format!("there are no {kind}videos in it ({})", tree::kinds()));
        root.unusable(problem + &rest, HINT_LAYOUT)
    };
    match (has(Label::Real), has(Label::Fake)) {
        (false, false) => Err(problem("")),
        (false, _) if !will_do.any && !will_do.fakes => Err(problem("real ")),
        (_, false) if !will_do.any && will_do.self_blend == SelfBlend::Off => Err(problem("fake ")),
        _ => Ok(()),
    }
}

fn to_cross_test(videos: &mut Vec<VideoRecord>) {
    let is_test = |video: &VideoRecord| video.official && video.split == Split::Test;
    if videos.iter().any(is_test) {
        videos.retain(is_test);
    }
    for video in videos {
        (video.split, video.official) = (Split::CrossTest, true);
    }
}

/// The name of a layout in the configuration.
fn name(layout: LayoutChoice) -> String {
    serde_json::to_value(layout).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn bytes(path: &Path) -> &[u8] {
    OsStr::as_encoded_bytes(path.as_os_str())
}
