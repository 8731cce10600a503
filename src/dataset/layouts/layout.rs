//! The interface of a data set's layout: it recognises a folder and finds the videos in it. Knows nothing of single
//! layouts.

use std::path::{Path, PathBuf};

use super::tree::{Item, Root, Unusable};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::people::people_of;
use crate::dataset::record::{Label, Split, VideoRecord};

/// The layout of one kind of data set on disk.
pub(super) trait Layout: Sync {
    /// The name of the layout in the configuration.
    fn choice(&self) -> LayoutChoice;

    /// What the folder must contain, for error messages.
    fn expects(&self) -> &'static str;

    /// The reason why the folder has this layout; `None` if it has not.
    fn recognise(&self, root: &Root, data: &DataConfig) -> Option<String>;

    /// Finds all videos. A video has a side of the split if the data set has an official split.
    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError>;
}

/// The videos that a layout finds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) videos: Vec<VideoRecord>,
    pub(super) unusable: Vec<Unusable>,
    /// Why there are no videos of a class, if the layout knows.
    pub(super) lacking: Option<String>,
    /// Whether the data set comes without real videos, because they are those of another one.
    pub(super) reals_elsewhere: bool,
    /// What is known to make results on this data set mean less than they seem to.
    pub(super) caveats: Vec<String>,
}

impl Found {
    /// Adds all items below a folder; `record` makes a record of each.
    pub(super) fn add_items(&mut self, root: &Root, below: &Path, record: impl Fn(&Item) -> VideoRecord) {
        let (items, unusable) = root.items(below);
        self.videos.extend(items.iter().map(record));
        self.unusable.extend(unusable);
    }

    pub(super) fn skip(&mut self, path: impl Into<PathBuf>, reason: impl Into<String>) {
        self.unusable.push((path.into(), reason.into()));
    }
}

/// The record of an item, with the people that its name tells.
pub(super) fn record(item: &Item, label: Label) -> VideoRecord {
    let media = item.media.clone();
    VideoRecord { media, ..VideoRecord::new(&item.path, label, people_of(item.stem())) }
}

/// The side of the split with this name, in any usual spelling.
pub(super) fn split_named(name: &str) -> Option<Split> {
    match name.trim().to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" | "dev" => Some(Split::Val),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}
