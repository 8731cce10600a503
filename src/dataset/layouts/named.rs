//! Videos without labels that a user names one by one, or by their folders. This file opens no video.

use std::path::{Path, PathBuf};

use super::tree::{self, Item, Root};
use crate::config::LayoutChoice;
use crate::dataset::manifest::Manifest;
use crate::dataset::record::{DataSet, Label, Media, VideoRecord};

/// A manifest of the videos at these paths, and the paths without a video, with the reason.
///
/// Each video is a data set of its own, so that face cropping is decided for each alone. The labels are unknown: the
/// value in the record is a placeholder.
#[must_use]
pub fn named_videos(paths: &[PathBuf]) -> (Manifest, Vec<(PathBuf, String)>) {
    let mut manifest = Manifest { sets: Vec::new(), videos: Vec::new(), skipped: Vec::new() };
    let mut unusable = Vec::new();
    for path in paths {
        match tree::media_at(path) {
            None => unusable.push((path.clone(), "there is no such file or folder".to_owned())),
            Some(Media::Folder) => match Root::open(path) {
                Err(error) => unusable.push((path.clone(), error.to_string())),
                Ok(root) => {
                    let (items, not_used) = root.items(Path::new(""));
                    if items.is_empty() {
                        unusable.push((path.clone(), "there is no video in it".to_owned()));
                    }
                    unusable.extend(not_used.into_iter().map(|(below, why)| (path.join(below), why)));
                    items
                        .into_iter()
                        .for_each(|Item { path: below, media }| add_named(&mut manifest, path, &below, media));
                }
            },
            Some(media) => match (path.parent(), path.file_name()) {
                (Some(folder), Some(name)) => add_named(&mut manifest, folder, Path::new(name), media),
                _ => unusable.push((path.clone(), "this is no file's name".to_owned())),
            },
        }
    }
    (manifest, unusable)
}

fn add_named(manifest: &mut Manifest, folder: &Path, below: &Path, media: Media) {
    let set = DataSet { recognised: "named".into(), ..DataSet::new(folder, LayoutChoice::Folders) };
    manifest.sets.push(set);
    let set = manifest.sets.len() - 1;
    manifest.videos.push(VideoRecord { set, media, ..VideoRecord::new(below, Label::Real, Vec::new()) });
}
