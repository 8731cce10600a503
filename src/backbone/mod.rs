//! Backbones, described as data: which layers a network has, how they are wired, and which pixels it expects.
//!
//! A description is the only place that knows an architecture. `model` makes tensors and forward passes of it, `memory`
//! predicts sizes, `export` writes ONNX nodes, `config` names the parts that can be frozen. A new backbone is one short
//! file here and one line in `choice.rs`. This room knows no tensor.

mod choice;
mod convnext;
mod description;
mod efficientnet;
mod efficientnet_same;
mod efficientnet_stages;
mod layer;
mod plane;
mod resnet;
mod vision_transformer;
mod xception;

pub use choice::Backbone;
pub use description::{Description, Part, Pixels, Pooling};
pub use layer::{
    Activation, Attention, BatchNorm, Conv, ConvNorm, Embeddings, Layer, LayerNorm, Linear, MaxPool, Residual, Scale,
    SqueezeExcitation, Weight,
};
pub use plane::{CellGrid, Plane};
