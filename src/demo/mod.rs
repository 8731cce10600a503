//! A small labelled data set of H.264 videos: synthetic (talking heads and face swaps of them), or from real videos
//! (faces blended into themselves).
//!
//! Independent of training and of reading data sets. Used by `dfdetect demo-data`, and by tests that need videos.
//!
//! Both kinds: `folder` makes the folder of a set aside and publishes it; `encode` writes videos; `cues` measures
//! whether anything but the faces separates the classes; `contact_sheet` draws the preview. Synthetic sets
//! (`synthetic`): `video_list` lists the videos; `render` paints one from a `scene` (what differs between videos), a
//! `person` and, for a fake, a `face_swap`. Sets of real videos (`from_videos`): `source_videos` extracts segments with
//! one face.

mod contact_sheet;
mod cues;
pub mod encode;
mod error;
mod face;
mod face_swap;
mod folder;
mod from_videos;
mod head;
mod paint;
mod person;
mod random_streams;
mod render;
mod scene;
mod source_videos;
mod summary;
mod synthetic;
mod video_list;

pub use cues::Cue;
pub use encode::{VideoSettings, VideoWriter};
pub use error::DemoError;
pub use from_videos::{PEOPLE_SHARED, make_from};
pub use summary::{LeftOut, Summary, UsedFootage};
pub use synthetic::{Made, make};
pub use video_list::{MAX_VIDEOS, MIN_VIDEOS};
