//! Tiny trees of empty files, and what a scan says of them.

use std::fs;
use std::path::Path;

use dfdetect::config::{DataConfig, LayoutChoice, Roots};
use dfdetect::dataset::{self, DataError, Manifest, Split, VideoRecord};
use tempfile::TempDir;

pub fn tree<S: AsRef<str>>(files: impl IntoIterator<Item = S>) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    files.into_iter().for_each(|file| put(&root, file.as_ref(), ""));
    root
}

pub fn put(root: &TempDir, name: &str, text: &str) {
    let path = root.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub fn config(root: &Path) -> DataConfig {
    DataConfig { root: Roots::one(root), ..DataConfig::default() }
}

#[track_caller]
pub fn scan(root: &TempDir) -> Manifest {
    dataset::scan(&config(root.path())).unwrap()
}

#[track_caller]
pub fn refused(result: Result<Manifest, DataError>, parts: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(error.is_usage() && text.contains("hint: "), "{text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "`{part}` is not in: {text}"));
}

#[track_caller]
pub fn recognised(manifest: &Manifest, layout: LayoutChoice, because: &str) {
    let set = &manifest.sets[0];
    assert_eq!(set.layout, layout);
    assert!(set.recognised.contains(because), "{}", set.recognised);
}

#[track_caller]
pub fn video<'a>(manifest: &'a Manifest, path: &str) -> &'a VideoRecord {
    let found = manifest.videos.iter().find(|video| video.path == Path::new(path));
    found.unwrap_or_else(|| panic!("{path} is not in {:?}", paths(manifest)))
}

pub fn paths(manifest: &Manifest) -> Vec<&str> {
    manifest.videos.iter().map(|video| video.path.to_str().unwrap()).collect()
}

pub fn official(manifest: &Manifest, path: &str) -> Option<Split> {
    let video = video(manifest, path);
    video.official.then_some(video.split)
}

pub fn original<'a>(manifest: &'a Manifest, path: &str) -> Option<&'a str> {
    video(manifest, path).original.as_ref().map(|path| path.to_str().unwrap())
}
