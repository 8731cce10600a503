//! The real videos of FaceForensics++ and Celeb-DF in the folder of another data set, whose fakes were made of them.
//! This file opens no video.

use std::path::{Path, PathBuf};

use super::layout::{Found, record};
use super::tree::{Root, Unusable};
use crate::config::DataConfig;
use crate::dataset::record::Label;

/// The compression of the originals that other data sets start from.
const USUAL_COMPRESSION: &str = "c23";
const FACEFORENSICS: &str = "FaceForensics++";
/// The first contains the second.
const CELEB_DF: [&str; 2] = ["Celeb-DF-v2", "Celeb-DF"];
const OF_ANOTHER: &str = "fakes of another data set, which are not used here";

/// A data set that others start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    FaceForensics,
    CelebDf,
}

impl Source {
    /// The data set whose originals a folder of this name holds.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        if is(&FACEFORENSICS) {
            return Some(Self::FaceForensics);
        }
        CELEB_DF.iter().any(is).then_some(Self::CelebDf)
    }
}

/// The folder of FaceForensics++ directly below `below`.
pub(super) fn faceforensics(root: &Root, below: &Path) -> Option<PathBuf> {
    named(root, below, FACEFORENSICS)
}

/// Adds `original_sequences/youtube/COMPRESSION/KIND/` below the folder of FaceForensics++, of the first kind that is
/// there.
pub(super) fn add_faceforensics(found: &mut Found, root: &Root, data: &DataConfig, folder: &Path, kinds: [&str; 2]) {
    match videos_of_youtube(root, data, folder, kinds) {
        Ok(videos) => found.add_items(root, &videos, |item| record(item, Label::Real)),
        Err((path, lack)) => found.skip(path, lack),
    }
    skip_fakes(found, root, folder, "manipulated_sequences");
}

/// The folder of the originals, or the one in which the next is missing, and what it lacks.
fn videos_of_youtube(root: &Root, data: &DataConfig, folder: &Path, kinds: [&str; 2]) -> Result<PathBuf, Unusable> {
    let mut at = folder.to_owned();
    for name in ["original_sequences", "youtube"] {
        let Some(below) = named(root, &at, name) else {
            return Err((at, format!("has no folder `{name}` in it")));
        };
        at = below;
    }
    let there = root.folders_below(&at);
    let Some(compression) = compression_of(&there, data) else {
        let lack = match there.as_slice() {
            [] => format!("has no folder `{USUAL_COMPRESSION}` in it"),
            there => {
                let asked = &data.compression;
                format!("has no folder `{asked}`, which data.compression asks for; there is {}", there.join(", "))
            }
        };
        return Err((at, lack));
    };
    let below = at.join(compression);
    let videos = kinds.iter().find_map(|kind| named(root, &below, kind));
    videos.ok_or_else(|| (below, "has neither `videos` nor `frames` in it".into()))
}

/// The compression to use. It is one alone, also where all are asked for: the fakes do not have several, and each
/// original is to count once.
fn compression_of<'a>(there: &'a [String], data: &DataConfig) -> Option<&'a String> {
    let allowed: Vec<&String> = there.iter().filter(|name| data.has_compression(name)).collect();
    let usual = allowed.iter().find(|name| name.eq_ignore_ascii_case(USUAL_COMPRESSION));
    usual.or_else(|| allowed.first()).copied()
}

/// Adds `Celeb-real/` and `YouTube-real/` below the folder of Celeb-DF; of each, `frames/` alone where that is there.
pub(super) fn add_celeb_df(found: &mut Found, root: &Root, folder: &Path) {
    if let Some(newer) = newer_celeb_df(root, folder) {
        return found.skip(folder, format!("its videos are in {} too, which is used", newer.display()));
    }
    let reals: Vec<_> = ["Celeb-real", "YouTube-real"].iter().filter_map(|name| named(root, folder, name)).collect();
    if reals.is_empty() {
        found.skip(folder, "has neither `Celeb-real` nor `YouTube-real` in it");
    }
    for videos in reals {
        let videos = named(root, &videos, "frames").unwrap_or(videos);
        found.add_items(root, &videos, |item| record(item, Label::Real));
    }
    skip_fakes(found, root, folder, "Celeb-synthesis");
}

/// The folder of a later version of Celeb-DF beside this one.
fn newer_celeb_df(root: &Root, folder: &Path) -> Option<PathBuf> {
    let [newest, older] = CELEB_DF;
    let is_older = folder.file_name().is_some_and(|name| name.eq_ignore_ascii_case(older));
    named(root, folder.parent()?, newest).filter(|_| is_older)
}

fn skip_fakes(found: &mut Found, root: &Root, folder: &Path, name: &str) {
    if let Some(fakes) = named(root, folder, name) {
        found.skip(fakes, OF_ANOTHER);
    }
}

/// The folder with this name below `below`, as it is spelled on disk; the case is ignored.
fn named(root: &Root, below: &Path, name: &str) -> Option<PathBuf> {
    let folders = root.folders_below(below);
    folders.iter().find(|folder| folder.eq_ignore_ascii_case(name)).map(|folder| below.join(folder))
}
