//! The real videos of FaceForensics++ and Celeb-DF in the folder of another data set, whose fakes were made of them. This
//! file opens no video.

use std::path::{Path, PathBuf};

use super::layout::{Found, record};
use super::tree::Root;
use crate::dataset::record::Label;

/// The compression of the originals that other data sets start from.
const COMPRESSION: &str = "c23";
const FACEFORENSICS: &str = "FaceForensics++";
const CELEB_DF: [&str; 2] = ["Celeb-DF-v2", "Celeb-DF"];
const OF_ANOTHER: &str = "fakes of another data set, which are not used here";

/// Whether a folder of this name holds originals.
pub(super) fn is_of_originals(name: &str) -> bool {
    [FACEFORENSICS].iter().chain(&CELEB_DF).any(|known| known.eq_ignore_ascii_case(name))
}

/// The folder of FaceForensics++ directly below `below`.
pub(super) fn faceforensics(root: &Root, below: &Path) -> Option<PathBuf> {
    named(root, below, FACEFORENSICS)
}

/// The folder of Celeb-DF directly below `below`.
pub(super) fn celeb_df(root: &Root, below: &Path) -> Option<PathBuf> {
    CELEB_DF.iter().find_map(|name| named(root, below, name))
}

/// Adds `original_sequences/youtube/c23/KIND/` below the folder of FaceForensics++, of the first kind that is there.
pub(super) fn add_faceforensics(found: &mut Found, root: &Root, folder: &Path, kinds: [&str; 2]) {
    let below = folder.join("original_sequences").join("youtube").join(COMPRESSION);
    match kinds.iter().find_map(|kind| named(root, &below, kind)) {
        Some(videos) => found.add_items(root, &videos, |item| record(item, Label::Real)),
        None => found.skip(&below, "has neither `videos` nor `frames` in it"),
    }
    skip_fakes(found, root, folder, "manipulated_sequences");
}

/// Adds `Celeb-real/` and `YouTube-real/` below the folder of Celeb-DF; of each, `frames/` alone where that is there.
pub(super) fn add_celeb_df(found: &mut Found, root: &Root, folder: &Path) {
    for name in ["Celeb-real", "YouTube-real"] {
        if let Some(videos) = named(root, folder, name) {
            let videos = named(root, &videos, "frames").unwrap_or(videos);
            found.add_items(root, &videos, |item| record(item, Label::Real));
        }
    }
    skip_fakes(found, root, folder, "Celeb-synthesis");
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
