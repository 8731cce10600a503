//! The network: fallible layers, ResNet, the head over frames, and the detector that joins them.
//!
//! Every operation is a fallible `f_` call of tch, so that running out of memory is an error and not a panic.
//! Names and numerics are torchvision's and PyTorch's.

mod detector;
mod layers;
mod mode;
mod parameters;
mod placement;
mod pretrained;
mod recompute;
mod resnet;
mod temporal;

pub use detector::{Detector, Logits, PIXEL_MEAN, PIXEL_STD};
pub use mode::Mode;
pub use parameters::{Parameter, Parameters, Role};
pub use placement::Placement;
pub use pretrained::{Loaded, PretrainedError, Sources, load_pretrained};
pub use recompute::SegmentInputs;
pub use resnet::MAP_STRIDE;
