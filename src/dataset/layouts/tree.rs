//! The folders and files of a data set: paths and kinds, without opening a video.
//!
//! Hidden files and folders are left out, links are followed, loops of links end, names that are not UTF-8 are
//! reported. This file knows nothing of labels and methods.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::dataset::error::DataError;
use crate::dataset::record::Media;

const VIDEO_EXTENSIONS: [&str; 10] = ["mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "flv"];
const PICTURE_EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
/// The size above which a list is not read, because it would not fit in memory.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// The folder of a data set.
pub(super) struct Root {
    /// The absolute path.
    pub folder: PathBuf,
    /// The name of the list in it, if the user named the list instead of the folder.
    pub list: Option<String>,
    /// The names of the folders in it, sorted.
    pub folders: Vec<String>,
    /// The names of the files in it, sorted.
    pub files: Vec<String>,
}

/// A video, a picture, or a folder of frames.
pub(super) struct Item {
    /// The path below the root.
    pub path: PathBuf,
    pub media: Media,
}

impl Item {
    /// The name without extension; for a folder, the whole name.
    pub fn stem(&self) -> &str {
        let name = if self.media == Media::Folder { self.path.file_name() } else { self.path.file_stem() };
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Paths below the root that cannot be used, with the reason.
pub(super) type Unusable = (PathBuf, String);

impl Root {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let fail = |problem: String| DataError::Unusable {
            root: path.to_owned(),
            problem,
            hint: "name the folder of the data set, or its list (.csv, or .json of DeepfakeBench)".into(),
        };
        if !path.exists() {
            return Err(fail("there is no such folder".into()));
        }
        let absolute = std::path::absolute(path).map_err(|error| fail(error.to_string()))?;
        let (folder, list) = folder_and_list(absolute);
        if list.as_deref().is_some_and(|name| !["csv", "json"].contains(&extension(Path::new(name)).as_str())) {
            return Err(fail("this is a file, not a folder".into()));
        }
        let (folders, files) = names(&folder).map_err(|error| fail(format!("the folder cannot be read: {error}")))?;
        Ok(Self { folder, list, folders, files })
    }

    pub fn unusable(&self, problem: impl Into<String>, hint: impl Into<String>) -> DataError {
        DataError::Unusable { root: self.folder.clone(), problem: problem.into(), hint: hint.into() }
    }

    /// The folder with this name as it is spelled on disk; the case is ignored.
    pub fn folder_named(&self, name: &str) -> Option<&str> {
        self.folders.iter().find(|folder| folder.eq_ignore_ascii_case(name)).map(String::as_str)
    }

    /// The file with this name as it is spelled on disk; the case is ignored.
    pub fn file_named(&self, name: &str) -> Option<&str> {
        self.files.iter().find(|file| file.eq_ignore_ascii_case(name)).map(String::as_str)
    }

    /// The names of the folders below `path`, sorted; empty if it cannot be read.
    pub fn folders_below(&self, path: &Path) -> Vec<String> {
        names(&self.folder.join(path)).map(|(folders, _)| folders).unwrap_or_default()
    }

    /// The lists with this extension in the folder, or the one that the user named.
    pub fn lists(&self, kind: &str) -> Vec<&str> {
        let candidates: Vec<&String> =
            self.list.as_ref().map_or_else(|| self.files.iter().collect(), |list| vec![list]);
        candidates.into_iter().filter(|name| extension(Path::new(name)) == kind).map(String::as_str).collect()
    }

    /// The whole text of a list.
    pub fn read(&self, name: &Path) -> Result<String, DataError> {
        let path = self.folder.join(name);
        let fail = |problem: String| DataError::Unusable {
            root: path.clone(),
            problem,
            hint: "repair or remove this file".into(),
        };
        let read = || -> std::io::Result<(Vec<u8>, bool)> {
            let mut bytes = Vec::new();
            File::open(&path)?.take(MAX_LIST_BYTES + 1).read_to_end(&mut bytes)?;
            let too_large = bytes.len() as u64 > MAX_LIST_BYTES;
            Ok((bytes, too_large))
        };
        let (bytes, too_large) = read().map_err(|error| fail(format!("cannot be read: {error}")))?;
        if too_large {
            return Err(fail(format!("is larger than {} MiB, which no list of videos is", MAX_LIST_BYTES >> 20)));
        }
        let text = String::from_utf8(bytes).map_err(|_| fail("is not UTF-8 text".into()))?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    /// The first bytes of a list, to recognise it; empty if it cannot be read.
    pub fn peek(&self, name: &Path) -> String {
        let mut bytes = Vec::new();
        let read = File::open(self.folder.join(name)).and_then(|file| file.take(64 << 10).read_to_end(&mut bytes));
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned(),
            Err(_) => String::new(),
        }
    }

    /// A description of the contents, for error messages.
    pub fn describe(&self) -> String {
        const SHOWN: usize = 8;
        let shown = self.folders.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match self.folders.len() {
            0 => "there are no folders in it".into(),
            count if count > SHOWN => format!("the folders in it are {shown} and {} more", count - SHOWN),
            _ => format!("the folders in it are {shown}"),
        }
    }

    /// Videos, pictures and folders of frames below a folder, at any depth.
    ///
    /// A folder below `below` that has pictures, but no videos and folders, holds the frames of one video. Other
    /// pictures are items of their own, except next to videos, where they are probably thumbnails.
    pub fn items(&self, below: &Path) -> (Vec<Item>, Vec<Unusable>) {
        let mut listing = Listing::default();
        let top = self.folder.join(below);
        let entries = WalkDir::new(&top).follow_links(true).sort_by_file_name().into_iter();
        for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path())) {
            match entry {
                Ok(entry) => listing.add(self.relative(entry.path()), &entry),
                // This is a link to a folder above, whose contents are visited anyway.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) => {
                    let path = error.path().unwrap_or(&top);
                    if !is_hidden(path) {
                        let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                        listing.unusable.push((printable(self.relative(path)), format!("cannot be read: {reason}")));
                    }
                }
            }
        }
        listing.finish(below)
    }

    fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.folder).unwrap_or(path)
    }
}

/// The folder of the data set, given a path of the user: a folder, or a list in it. Also the name of the list.
pub(in crate::dataset) fn folder_and_list(path: PathBuf) -> (PathBuf, Option<String>) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    match (path.is_dir(), path.parent(), name) {
        (false, Some(parent), Some(name)) => (parent.to_owned(), Some(name)),
        _ => (path, None),
    }
}

/// The items that a walk found, by folder.
#[derive(Default)]
struct Listing {
    folders: BTreeMap<PathBuf, Contents>,
    unusable: Vec<Unusable>,
}

#[derive(Default)]
struct Contents {
    videos: Vec<PathBuf>,
    pictures: Vec<PathBuf>,
    has_folders: bool,
}

impl Listing {
    fn add(&mut self, path: &Path, entry: &DirEntry) {
        let is_folder = entry.file_type().is_dir();
        if !(is_folder && entry.depth() > 0 || !is_folder && (is_video(path) || is_picture(path))) {
            return;
        }
        let parent = self.folders.entry(path.parent().unwrap_or(Path::new("")).to_owned()).or_default();
        match (is_folder, is_video(path)) {
            (true, _) => parent.has_folders = true,
            (false, true) => parent.videos.push(path.to_owned()),
            (false, false) => parent.pictures.push(path.to_owned()),
        }
    }

    fn finish(self, below: &Path) -> (Vec<Item>, Vec<Unusable>) {
        let (mut items, mut unusable) = (Vec::new(), self.unusable);
        let mut add = |path: PathBuf, media: Media| match path.to_str() {
            Some(_) => items.push(Item { path, media }),
            // Neither a manifest nor FFmpeg can hold such a name.
            None => unusable.push((printable(&path), "its name is not valid UTF-8".into())),
        };
        let mut beside_videos = Vec::new();
        for (folder, contents) in self.folders {
            let has_videos = !contents.videos.is_empty();
            contents.videos.into_iter().for_each(|path| add(path, Media::Video));
            if has_videos {
                beside_videos.extend(contents.pictures);
            } else if contents.has_folders || folder == below {
                contents.pictures.into_iter().for_each(|path| add(path, Media::Picture));
            } else if !contents.pictures.is_empty() {
                add(folder, Media::Folder);
            }
        }
        let reason = "a picture beside videos: single pictures go into a folder of their own";
        unusable.extend(beside_videos.iter().map(|path| (printable(path), reason.to_owned())));
        (items, unusable)
    }
}

/// A path from a list, if it stays below the folder of the list.
pub(super) fn confined(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!clean.as_os_str().is_empty()).then_some(clean)
}

/// The kind of item at a path from a list, by its extension; `None` if there is nothing.
pub(super) fn media_at(path: &Path) -> Option<Media> {
    match fs::metadata(path).ok()?.is_dir() {
        true => Some(Media::Folder),
        false if is_picture(path) => Some(Media::Picture),
        false => Some(Media::Video),
    }
}

/// The names of folders and of files, sorted. Hidden names and those that are not UTF-8 are left out.
fn names(folder: &Path) -> std::io::Result<(Vec<String>, Vec<String>)> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(name), false) = (path.file_name().and_then(|name| name.to_str()), is_hidden(&path)) {
            if path.is_dir() { &mut folders } else { &mut files }.push(name.to_owned());
        }
    }
    folders.sort();
    files.sort();
    Ok((folders, files))
}

pub(super) fn is_video(path: &Path) -> bool {
    VIDEO_EXTENSIONS.contains(&extension(path).as_str())
}

pub(super) fn is_picture(path: &Path) -> bool {
    PICTURE_EXTENSIONS.contains(&extension(path).as_str())
}

/// The known extensions, for error messages.
pub(super) fn kinds() -> String {
    [VIDEO_EXTENSIONS.as_slice(), &PICTURE_EXTENSIONS].concat().join(", ")
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn printable(path: &Path) -> PathBuf {
    path.to_string_lossy().into_owned().into()
}
