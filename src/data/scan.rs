//! From a folder with `real/` and `fake/` in it to a manifest.
//!
//! Goes by names alone: no file is opened, so an unreadable video is in the manifest until it is probed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::manifest::{DataSet, Label, Manifest, SkippedVideo, VideoRecord};
use super::{DataError, identity};
use crate::config::{DataConfig, LayoutChoice};

const REAL_FOLDERS: [&str; 4] = ["real", "0_real", "original", "reals"];
const FAKE_FOLDERS: [&str; 4] = ["fake", "1_fake", "manipulated", "fakes"];
const VIDEO_EXTENSIONS: [&str; 10] = ["mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "flv"];
const HINT_LAYOUT: &str = "the data folder holds the folders `real` and `fake`, with videos at any depth below; \
                           `dfdetect demo-data --output demo` makes one to try things out";

impl Manifest {
    /// Finds the videos below the class folders of `root`; none is on a side of the split yet.
    ///
    /// Class folders are `real`, `0_real`, `original`, `reals` and `fake`, `1_fake`, `manipulated`, `fakes`, in any
    /// case. Videos are known by their extension. Hidden files and folders are left out, links are followed. A fake's
    /// method is the first folder below its class folder. People are taken from file names; see [`identity::of`].
    ///
    /// # Errors
    /// [`DataError::Unusable`] where the folder is missing or has no videos of one class.
    pub fn scan(config: &DataConfig) -> Result<Self, DataError> {
        let root = config.root.0[0].as_path();
        let unusable =
            |problem: String| DataError::Unusable { root: root.to_owned(), problem, hint: HINT_LAYOUT.into() };
        if !root.exists() {
            return Err(unusable("there is no such folder".into()));
        }
        if !root.is_dir() {
            return Err(unusable("this is a file, not a folder".into()));
        }
        let names = folders(root).map_err(|error| unusable(format!("the folder cannot be read: {error}")))?;
        let absolute = std::path::absolute(root).map_err(|error| unusable(error.to_string()))?;
        let sets = vec![DataSet { root: absolute, layout: LayoutChoice::Folders, crop_faces: false }];
        let mut manifest = Self { sets, videos: Vec::new(), skipped: Vec::new() };
        for (label, known) in [(Label::Real, REAL_FOLDERS), (Label::Fake, FAKE_FOLDERS)] {
            let classes: Vec<_> = names.iter().filter(|name| known.contains(&lowercase(name).as_str())).collect();
            if classes.is_empty() {
                let found = describe(&names);
                return Err(unusable(format!("there is no folder `{}`; {found}", known[0])));
            }
            for class in &classes {
                manifest.collect(Path::new(class), label);
            }
            if !manifest.videos.iter().any(|video| video.label == label) {
                let below = classes.iter().map(|class| format!("`{}`", class.display())).collect::<Vec<_>>();
                let kinds = VIDEO_EXTENSIONS.join(", ");
                return Err(unusable(format!("there are no videos below {} ({kinds})", below.join(", "))));
            }
        }
        manifest.videos.sort_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
        manifest.skipped.sort_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
        Ok(manifest)
    }

    /// Adds the videos below one class folder.
    fn collect(&mut self, class: &Path, label: Label) {
        let entries = WalkDir::new(self.sets[0].root.join(class)).follow_links(true).into_iter();
        for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path())) {
            match entry {
                Ok(entry) if is_video(entry.path()) && !entry.file_type().is_dir() => {
                    let path = self.relative(entry.path());
                    match record(&path, label) {
                        Some(record) => self.videos.push(record),
                        None => self.skip(entry.path(), "its name is not valid UTF-8".into()),
                    }
                }
                Ok(_) => {}
                // A link back to a folder above it: all below was or will be visited.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) => {
                    let path = error.path().map_or_else(|| self.sets[0].root.join(class), Path::to_owned);
                    if !is_hidden(&path) {
                        let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                        self.skip(&path, format!("cannot be read: {reason}"));
                    }
                }
            }
        }
    }

    fn skip(&mut self, path: &Path, reason: String) {
        let path = PathBuf::from(self.relative(path).to_string_lossy().into_owned());
        self.skipped.push(SkippedVideo { set: 0, path, reason });
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.sets[0].root).unwrap_or(path).to_owned()
    }
}

/// `None` where a name is not valid UTF-8, which neither a manifest nor FFmpeg can hold.
fn record(path: &Path, label: Label) -> Option<VideoRecord> {
    path.to_str()?;
    let source_ids = identity::of(path.file_stem()?.to_str()?);
    let below_class: Vec<_> = path.iter().skip(1).collect();
    let method = match (label, below_class.as_slice()) {
        (Label::Fake, [method, _, ..]) => Some(method.to_str()?.to_owned()),
        _ => None,
    };
    Some(VideoRecord { method, ..VideoRecord::new(path, label, source_ids) })
}

/// Names of the folders in `root`, sorted.
fn folders(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.path().is_dir() && !is_hidden(&entry.path()) {
            names.push(PathBuf::from(entry.file_name()));
        }
    }
    names.sort();
    Ok(names)
}

fn describe(names: &[PathBuf]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{}`", name.display())).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "there are no folders in it".into(),
        count if count > SHOWN => format!("the folders in it are {shown} and {} more", count - SHOWN),
        _ => format!("the folders in it are {shown}"),
    }
}

fn is_video(path: &Path) -> bool {
    path.extension().is_some_and(|extension| VIDEO_EXTENSIONS.contains(&lowercase(Path::new(extension)).as_str()))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn lowercase(name: &Path) -> String {
    name.to_string_lossy().to_ascii_lowercase()
}

fn bytes(path: &Path) -> &[u8] {
    OsStr::as_encoded_bytes(path.as_os_str())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Roots;

    fn scan(root: &Path) -> Result<Manifest, DataError> {
        Manifest::scan(&DataConfig { root: Roots::one(root), ..DataConfig::default() })
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn videos_are_found_at_any_depth_and_sorted_by_bytes() {
        let root = tree(&[
            "Real/b.mp4",
            "Real/B.MP4",
            "Real/deep/er/a.mkv",
            "Real/.hidden.mp4",
            "Real/.cache/x.mp4",
            "Real/notes.txt",
            "1_FAKE/one.avi",
            "1_FAKE/Deepfakes/c23/033_097.mp4",
            "elsewhere/z.mp4",
            "z.mp4",
        ]);
        let manifest = scan(root.path()).unwrap();
        let found: Vec<_> = manifest
            .videos
            .iter()
            .map(|video| (video.path.to_str().unwrap(), video.label, video.method.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("1_FAKE/Deepfakes/c23/033_097.mp4", Label::Fake, Some("Deepfakes")),
                ("1_FAKE/one.avi", Label::Fake, None),
                ("Real/B.MP4", Label::Real, None),
                ("Real/b.mp4", Label::Real, None),
                ("Real/deep/er/a.mkv", Label::Real, None),
            ]
        );
        assert!(manifest.sets[0].root.is_absolute() && manifest.skipped.is_empty());
        assert_eq!(manifest.videos[0].source_ids, ["033", "097"]);
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_a_loop_ends() {
        use std::os::unix::fs::symlink;
        let elsewhere = tree(&["linked.mp4"]);
        let root = tree(&["real/a.mp4", "fake/b.mp4"]);
        symlink(elsewhere.path(), root.path().join("real/more")).unwrap();
        symlink(root.path().join("real"), root.path().join("real/loop")).unwrap();
        symlink("nowhere.mp4", root.path().join("fake/broken.mp4")).unwrap();
        let manifest = scan(root.path()).unwrap();
        let paths: Vec<_> = manifest.videos.iter().map(|video| video.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["fake/b.mp4", "real/a.mp4", "real/more/linked.mp4"]);
        assert_eq!(manifest.skipped.len(), 1);
        assert_eq!(manifest.skipped[0].path.to_str(), Some("fake/broken.mp4"));
        assert!(manifest.skipped[0].reason.contains("No such file"), "{}", manifest.skipped[0].reason);
    }

    #[test]
    #[cfg(unix)]
    fn a_name_that_is_not_utf8_is_skipped_and_named() {
        use std::os::unix::ffi::OsStrExt;
        let root = tree(&["real/a.mp4", "fake/b.mp4"]);
        fs::write(root.path().join("real").join(OsStr::from_bytes(b"\xff.mp4")), "").unwrap();
        let manifest = scan(root.path()).unwrap();
        assert_eq!(manifest.videos.len(), 2);
        assert!(manifest.skipped[0].reason.contains("UTF-8"));
        manifest.save(&root.path().join("manifest.json")).unwrap();
    }

    #[test]
    fn an_unusable_folder_says_what_is_there_and_what_to_do() {
        let error_of = |path: &Path| {
            let error = scan(path).unwrap_err();
            assert!(error.is_usage());
            let text = error.to_string();
            assert!(text.contains("hint: ") && text.contains(path.to_str().unwrap()), "{text}");
            text
        };
        let root = tree(&["a.mp4", "people/b.mp4", "real/c.mp4"]);
        assert!(error_of(&root.path().join("missing")).contains("no such folder"));
        assert!(error_of(&root.path().join("a.mp4")).contains("a file, not a folder"));
        let text = error_of(root.path());
        assert!(text.contains("no folder `fake`; the folders in it are `people`, `real`"), "{text}");
        assert!(error_of(&root.path().join("people")).contains("there are no folders in it"));
        fs::create_dir_all(root.path().join("Fakes/empty")).unwrap();
        assert!(error_of(root.path()).contains("no videos below `Fakes` (mp4, avi"));
    }
}
