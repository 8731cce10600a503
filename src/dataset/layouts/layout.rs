//! What every layout is: how a folder is recognised, and what is found in it.

use std::path::{Path, PathBuf};

use super::tree::{Item, Root, Unusable};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::people::people_of;
use crate::dataset::record::{Label, Split, VideoRecord};

/// How one kind of data set lies on disk.
pub(super) trait Layout: Sync {
    /// Its name in the configuration.
    fn choice(&self) -> LayoutChoice;

    /// What it is recognised by, for errors.
    fn expects(&self) -> &'static str;

    /// Why this folder is laid out so; `None` where it is not.
    fn recognise(&self, root: &Root) -> Option<String>;

    /// All videos, with a side of the split where the data set itself has one.
    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError>;
}

/// What a layout finds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) videos: Vec<VideoRecord>,
    pub(super) unusable: Vec<Unusable>,
    /// Why there are none of a class, if the layout knows.
    pub(super) lacking: Option<String>,
}

impl Found {
    /// Everything below a folder, each item made into a record.
    pub(super) fn add_items(&mut self, root: &Root, below: &Path, record: impl Fn(&Item) -> VideoRecord) {
        let (items, unusable) = root.items(below);
        self.videos.extend(items.iter().map(record));
        self.unusable.extend(unusable);
    }

    pub(super) fn skip(&mut self, path: impl Into<PathBuf>, reason: impl Into<String>) {
        self.unusable.push((path.into(), reason.into()));
    }
}

/// An item as a record, with the people that its name tells.
pub(super) fn record(item: &Item, label: Label) -> VideoRecord {
    let media = item.media.clone();
    VideoRecord { media, ..VideoRecord::new(&item.path, label, people_of(item.stem())) }
}

/// A side of the split by any of its usual names.
pub(super) fn split_named(name: &str) -> Option<Split> {
    match name.trim().to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" | "dev" => Some(Split::Val),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}
