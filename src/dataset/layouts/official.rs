//! The official split of FaceForensics++: pairs of originals in `train.json`, `val.json` and `test.json`. Opens no
//! video.

use std::collections::HashMap;
use std::path::Path;

use super::tree::Root;
use crate::dataset::error::DataError;
use crate::dataset::record::{Split, VideoRecord};

/// The official side of each original.
pub(super) struct OfficialSplit(HashMap<String, Split>);

impl OfficialSplit {
    /// Reads the lists from `splits/`, or else from the root. Without such files, it is empty.
    pub fn read(root: &Root) -> Result<Self, DataError> {
        Self::read_from(root, Path::new(root.folder_named("splits").unwrap_or_default()))
    }

    /// Reads the lists from a folder below the root.
    pub fn read_from(root: &Root, folder: &Path) -> Result<Self, DataError> {
        let mut side_of = HashMap::new();
        for (name, side) in [("train.json", Split::Train), ("val.json", Split::Val), ("test.json", Split::Test)] {
            let path = folder.join(name);
            if !root.folder.join(&path).is_file() {
                continue;
            }
            let pairs: Vec<[String; 2]> = serde_json::from_str(&root.read(&path)?).map_err(|error| {
                let problem =
                    format!("{}: expected a list of pairs such as [[\"071\", \"054\"]]: {error}", path.display());
                root.unusable(problem, "take the file from the data set's repository, or remove it")
            })?;
            for id in pairs.into_iter().flatten() {
                if side_of.insert(id.clone(), side).is_some_and(|before| before != side) {
                    let problem = format!("the official split has `{id}` on two sides");
                    return Err(root.unusable(problem, "take the files from the data set's repository"));
                }
            }
        }
        Ok(Self(side_of))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn describe(&self) -> &'static str {
        if self.is_empty() { "without its official split" } else { "with its official split" }
    }

    /// The side of a video of these people; an error if they are on two sides.
    pub fn apply(&self, video: &mut VideoRecord) -> Result<(), String> {
        let sides: Vec<_> = video.source_ids.iter().filter_map(|id| self.0.get(id)).collect();
        match sides.as_slice() {
            [first, rest @ ..] if rest.iter().any(|side| side != first) => {
                Err("its two people are on different sides of the official split".into())
            }
            [side, ..] if sides.len() == video.source_ids.len() => {
                (video.split, video.official) = (**side, true);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
