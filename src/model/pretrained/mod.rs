//! Pretrained weights of the backbone: found in a cache or downloaded, read from a file, and copied into the network; and
//! published detectors' files. A checkpoint to resume from is not read here; that is `train/checkpoint`.

mod download;
mod error;
mod hub;
mod load;
mod pickle;
mod pickle_object;
mod published;
mod published_detector;
mod sources;
#[cfg(test)]
mod tests;
mod unpickler;
mod weights_file;
mod weights_source;

pub use error::PretrainedError;
pub use load::{LoadedWeights, load_pretrained};
pub use published_detector::{PublishedDetector, PublishedWeights};
pub use sources::Sources;
pub use weights_source::WeightsSource;
