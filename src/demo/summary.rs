//! The summary of a demo set. Only the format: `synthetic.rs` and `from_videos.rs` fill it, and `folder.rs` writes it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cues::Cue;

/// The summary of a set, `demo.json` in its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of the generator.
    pub version: u32,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Videos of both classes.
    pub videos: usize,
    /// Real ones.
    pub real: usize,
    /// Forgeries.
    pub fake: usize,
    /// Number of people.
    pub people: usize,
    /// Size of all videos together.
    pub bytes: u64,
    /// How well the classes separate without looking at the faces.
    pub cues: Vec<Cue>,
    /// The source videos; absent for a synthetic set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footage: Option<UsedFootage>,
}

/// The source videos of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsedFootage {
    /// Their folder.
    pub from: PathBuf,
    /// Number of videos that the set uses.
    pub videos: usize,
    /// Whether parts of one video count as different people, because there were too few videos for a split by person.
    pub people_shared: bool,
    /// Videos that the set does not use.
    pub left_out: Vec<LeftOut>,
}

/// A source video that a set does not use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Path relative to the folder.
    pub path: PathBuf,
    /// Why, in one line.
    pub reason: String,
}
