//! Provenance of a run: what is needed to reproduce it. Only the format; the caller collects the values.

use serde::{Deserialize, Serialize};

/// Provenance of a run. Its settings are in `config.yaml`, its videos in `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Versions of the program and its libraries.
    pub versions: Versions,
    /// The command line of this start or resumption.
    #[serde(default)]
    pub command_line: Vec<String>,
    /// Hash of the list of videos with labels and splits; it does not depend on the location of the data set.
    #[serde(default)]
    pub manifest_hash: String,
    /// Device and number format, with the reason.
    #[serde(default)]
    pub device: String,
    /// Where the weights before the first step came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_weights: Option<String>,
}

/// Versions of the program and its libraries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// Version of this program.
    pub dfdetect: String,
    /// The commit it was built from, `-dirty` where files had been changed since; absent in debug builds and where
    /// there was no repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// Version of libtorch.
    pub libtorch: String,
    /// Version of FFmpeg's decoding library, libavcodec.
    pub ffmpeg: String,
}
