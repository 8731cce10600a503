//! Scanning folders into a manifest: one file for each layout of a data set.
//!
//! Only names and lists are read. No video is opened, so the manifest also contains unreadable ones until they are
//! probed. `layout` is the interface of a layout, `tree` reads folders and lists, `scan` tries each layout and makes
//! the manifest.

mod celebdf;
mod csv;
mod deeperforensics;
mod deepfakebench;
mod df40;
mod dfdc;
mod fakeavceleb;
mod ffpp;
mod ffpp_kaggle;
mod folders;
mod layout;
mod named;
mod official;
mod originals;
mod scan;
mod score_list;
mod select;
mod tree;

pub use named::named_videos;
pub use scan::{scan, scan_for, scan_to_measure};
pub use score_list::{ScoreRow, read_scores};
pub(super) use tree::folder_and_list;
