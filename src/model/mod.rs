//! The network: fallible layers, ResNet, the temporal head, and the detector made of them.
//!
//! Every operation is a fallible `f_` call of tch, so that running out of memory is an error and not a panic. Names and
//! numerics are those of torchvision and PyTorch. This room knows nothing of videos, losses and optimizers.

mod activation_checkpointing;
mod detector;
mod layers;
mod logits;
mod mode;
mod parameters;
mod placement;
mod pretrained;
mod resnet;
mod temporal;

pub use activation_checkpointing::SegmentInputs;
pub use detector::{Detector, PIXEL_MEAN, PIXEL_STD};
pub use logits::Logits;
pub use mode::Mode;
pub use parameters::{Parameter, Parameters, Role};
pub use placement::Placement;
pub use pretrained::{LoadedWeights, PretrainedError, Sources, load_pretrained};
pub use resnet::FEATURE_MAP_STRIDE;
