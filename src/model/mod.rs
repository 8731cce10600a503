//! The network: fallible layers, the backbone, the temporal head, and the detector made of them.
//!
//! Every operation is a fallible `f_` call of tch, so that running out of memory is an error and not a panic. Names and
//! numerics are those of PyTorch and of the packages that published weights come from. This room knows nothing of
//! videos, losses and optimizers.

mod activation_checkpointing;
mod backbone;
mod detector;
mod draws;
mod layers;
mod logits;
mod mode;
mod parameters;
mod placement;
mod pretrained;
mod temporal;
mod tokens;

pub use activation_checkpointing::SegmentInputs;
pub use detector::Detector;
pub use draws::Draws;
pub use logits::Logits;
pub use mode::Mode;
pub use parameters::{Parameter, Parameters, Role};
pub use placement::{Placement, first_usable};
pub use pretrained::{
    LoadedWeights, PretrainedError, PublishedDetector, PublishedWeights, Sources, WeightsSource, load_pretrained,
};
pub use tokens::positions_tc;
