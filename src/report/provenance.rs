//! What a run was made of: enough to make it again.

use serde::{Deserialize, Serialize};

/// What a run was made of. Its settings are in `config.yaml`, its videos in `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Of the program and what it stands on.
    pub versions: Versions,
    /// How it was started or, for the part that is told of, resumed.
    #[serde(default)]
    pub command_line: Vec<String>,
    /// Of the list of videos with labels and sides of the split: equal for equal lists, wherever the data set lies.
    #[serde(default)]
    pub manifest_hash: String,
    /// Where it ran and in which number format, with the reason.
    #[serde(default)]
    pub device: String,
}

/// Versions of the program and what it stands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// This program.
    pub dfdetect: String,
    /// The commit it was built from, `-dirty` where files had been changed since; absent in debug builds and where there was
    /// no repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// The tensor library.
    pub libtorch: String,
    /// The version of the decoding library, libavcodec.
    pub ffmpeg: String,
}
