//! Plain folders: `real/` and `fake/`, possibly below `train/`, `val/` and `test/`, with videos, folders of frames or
//! single pictures at any depth; or `real_train/`, `fake_test/` and so on, as in WildDeepfake. This file opens no
//! video.

use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record, split_named};
use super::tree::Root;
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::record::{Label, Split, VideoRecord};

const REAL: [&str; 4] = ["real", "0_real", "original", "reals"];
const FAKE: [&str; 4] = ["fake", "1_fake", "manipulated", "fakes"];

pub(super) struct Folders;

impl Layout for Folders {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Folders
    }

    fn expects(&self) -> &'static str {
        "the folders `real` and `fake`"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let classes = class_folders(root);
        let names: Vec<_> = classes.iter().map(|class| format!("{}/", class.path.display())).collect();
        (root.list.is_none() && !names.is_empty()).then(|| format!("found {}", names.join(", ")))
    }

    /// The method of a fake is the first folder below its class folder, except in WildDeepfake, whose folders are parts
    /// of a download. People are taken from file names.
    fn read(&self, root: &Root, _: &DataConfig) -> Result<Found, DataError> {
        let classes = class_folders(root);
        let mut found = Found::default();
        for (label, known) in [(Label::Real, REAL), (Label::Fake, FAKE)] {
            let of_class: Vec<_> = classes.iter().filter(|class| class.label == label).collect();
            let before = found.videos.len();
            of_class.iter().for_each(|class| class.read(root, &mut found));
            if found.lacking.is_none() && found.videos.len() == before {
                let below: Vec<_> = of_class.iter().map(|class| format!("`{}`", class.path.display())).collect();
                found.lacking = Some(match below.as_slice() {
                    [] => format!("there is no folder `{}`; {}", known[0], root.describe()),
                    below => format!("there are no videos below {} ({})", below.join(", "), super::tree::kinds()),
                });
            }
        }
        Ok(found)
    }
}

struct ClassFolder {
    path: PathBuf,
    label: Label,
    side: Option<Split>,
    /// Whether the folders below are methods.
    has_methods: bool,
}

impl ClassFolder {
    fn read(&self, root: &Root, found: &mut Found) {
        let depth = self.path.iter().count();
        found.add_items(root, &self.path, |item| {
            let below: Vec<_> = item.path.iter().skip(depth).collect();
            let method = match (self.label, below.as_slice()) {
                (Label::Fake, [method, _, ..]) if self.has_methods => method.to_str().map(str::to_owned),
                _ => None,
            };
            let split = self.side.unwrap_or(Split::Train);
            VideoRecord { method, split, official: self.side.is_some(), ..record(item, self.label) }
        });
    }
}

fn class_named(name: &str) -> Option<Label> {
    match name.to_ascii_lowercase() {
        name if REAL.contains(&name.as_str()) => Some(Label::Real),
        name if FAKE.contains(&name.as_str()) => Some(Label::Fake),
        _ => None,
    }
}

fn class_folders(root: &Root) -> Vec<ClassFolder> {
    let mut classes = Vec::new();
    let mut add = |parent: &str, name: &str, side| {
        if let Some(label) = class_named(name) {
            classes.push(ClassFolder { path: Path::new(parent).join(name), label, side, has_methods: true });
        }
    };
    for folder in &root.folders {
        add("", folder, None);
        if let Some(side) = split_named(folder) {
            root.folders_below(Path::new(folder)).iter().for_each(|class| add(folder, class, Some(side)));
        }
    }
    for folder in &root.folders {
        let parts = folder.split_once('_').and_then(|(class, side)| Some((class_named(class)?, split_named(side)?)));
        if let Some((label, side)) = parts {
            classes.push(ClassFolder { path: folder.into(), label, side: Some(side), has_methods: false });
        }
    }
    classes
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;

    use super::*;
    use crate::config::Roots;
    use crate::dataset::Manifest;

    fn scan(root: &Path) -> Result<Manifest, DataError> {
        crate::dataset::scan(&DataConfig { root: Roots::one(root), ..DataConfig::default() })
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
    fn wild_deepfake_has_class_and_side_in_one_name() {
        let root = tree(&[
            "real_train/1/real/0/1.png",
            "real_train/1/real/0/2.png",
            "fake_train/3/fake/20/1.png",
            "real_test/700/real/1/1.png",
            "fake_test/701/fake/1/1.png",
        ]);
        let manifest = scan(root.path()).unwrap();
        let facts: Vec<_> = manifest
            .videos
            .iter()
            .map(|video| (video.path.to_str().unwrap(), video.label, video.split, video.official))
            .collect();
        assert_eq!(
            facts,
            [
                ("fake_test/701/fake/1", Label::Fake, Split::Test, true),
                ("fake_train/3/fake/20", Label::Fake, Split::Train, true),
                ("real_test/700/real/1", Label::Real, Split::Test, true),
                ("real_train/1/real/0", Label::Real, Split::Train, true),
            ]
        );
        assert!(manifest.videos.iter().all(|video| video.method.is_none()), "parts of a download are no methods");
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
