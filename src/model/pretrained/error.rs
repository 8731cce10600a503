//! The errors of loading pretrained weights. The errors of a single download are in `download.rs`.

use std::io;
use std::path::PathBuf;

use tch::TchError;

use super::weights_source::WeightsSource;

/// Why pretrained weights could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// The file cannot be opened or read.
    #[error(
        "{weights}: the weights cannot be read: {source}\n  hint: model.pretrained takes auto, imagenet, none, hf:OWNER/NAME, or the path of a .pth or .safetensors file"
    )]
    Io {
        /// The file.
        weights: WeightsSource,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is damaged, or holds more than tensors.
    #[error(
        "{weights}: the weights are not read: {problem}\n  hint: take a whole file that holds a plain state dict; in Python, torch.save(model.state_dict(), \"weights.pth\") writes one"
    )]
    Invalid {
        /// The file.
        weights: WeightsSource,
        /// The defect.
        problem: String,
    },
    /// The weights belong to another network.
    #[error(
        "{weights}: these are not weights of model.backbone: {problem}\n  hint: set model.backbone to the network they are of, or take other weights"
    )]
    Unfit {
        /// The file.
        weights: WeightsSource,
        /// The mismatch.
        problem: String,
    },
    /// The file has not the weights of such a published detector.
    #[error(
        "{weights}: these are not weights of such a detector: {problem}\n  hint: docs/published-detectors.md says which files can be imported; take the file as its authors publish it"
    )]
    NotPublished {
        /// The file.
        weights: WeightsSource,
        /// The mismatch.
        problem: String,
    },
    /// The published weights are in no cache and could not be fetched.
    #[error("the published weights of {backbone} are not here: {problem}\n  hint: {how_to_get} and put it at {}; or set model.pretrained to the path of such a file, or to none", .place.display())]
    NoPublished {
        /// The backbone.
        backbone: &'static str,
        /// Why they could not be fetched.
        problem: String,
        /// How a user gets the file.
        how_to_get: String,
        /// Where it is looked for.
        place: PathBuf,
    },
    /// A file of the Hugging Face hub is not in its cache and could not be fetched.
    #[error(
        "{file} cannot be fetched: {problem}\n  at {url}\n  hint: see whether the repository has that file; HF_ENDPOINT names a mirror, HF_HOME a cache; or set model.pretrained to the path of a file"
    )]
    NoHubFile {
        /// As it is named in the configuration.
        file: String,
        /// The address.
        url: String,
        /// Why it could not be fetched.
        problem: String,
    },
    /// A file in a cache is not the published one.
    #[error("{}: its SHA-256 is {found}, that of the published weights is {expected}\n  hint: delete the file, and it is fetched again", .path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// The published one's.
        expected: &'static str,
    },
    /// The user wants to stop.
    #[error("interrupted; what came of the weights is kept")]
    Interrupted,
    /// libtorch could not allocate or copy a tensor.
    #[error("a tensor could not be copied: {0}")]
    Torch(#[from] TchError),
}

impl PretrainedError {
    /// Whether the user's input is at fault (exit code 2), as opposed to a failure at run time (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Unfit { .. } | Self::NotPublished { .. } | Self::Invalid { .. } | Self::OtherFile { .. } => true,
            Self::NoPublished { .. } | Self::NoHubFile { .. } | Self::Interrupted | Self::Torch(_) => false,
        }
    }

    /// Whether published weights are just not there, so that `model.pretrained: auto` goes on without them.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoPublished { .. })
    }

    pub(super) fn cannot_read(weights: &WeightsSource, source: io::Error) -> Self {
        Self::Io { weights: weights.clone(), source }
    }

    /// The same error, for a file that is to be imported: its hint is about published detectors.
    pub(super) fn of_import(self) -> Self {
        match self {
            Self::Io { weights, source } => {
                Self::NotPublished { weights, problem: format!("the file cannot be read: {source}") }
            }
            Self::Invalid { weights, problem } => Self::NotPublished { weights, problem },
            other => other,
        }
    }

    pub(super) fn invalid(weights: &WeightsSource, problem: String) -> Self {
        Self::Invalid { weights: weights.clone(), problem }
    }

    pub(super) fn unfit(weights: &WeightsSource, problem: String) -> Self {
        Self::Unfit { weights: weights.clone(), problem }
    }
}
