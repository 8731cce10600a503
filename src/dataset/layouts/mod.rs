//! From folders to a manifest: one file a layout, and which of them a folder has.
//!
//! Goes by names and lists alone: no video is opened, so an unreadable one is in the manifest until it is probed.
//! `layout` says what a layout is, `tree` looks at folders and lists, `scan` asks each layout and makes the manifest.

mod celebdf;
mod csv;
mod deepfakebench;
mod dfdc;
mod ffpp;
mod ffpp_kaggle;
mod folders;
mod layout;
mod named;
mod official;
mod scan;
mod select;
mod tree;

pub use named::named_videos;
pub use scan::{scan, scan_for, scan_to_measure};
pub(super) use tree::folder_and_list;
