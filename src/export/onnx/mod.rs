//! Export of the computation as an ONNX model. The messages of the format are in the room `onnx`.
//!
//! The structure of the network follows from the names of its weights; the number of attention heads is the only other
//! input. A weight that no node uses is an error.

mod backbone;
mod graph_builder;
mod head;
mod model;
mod names;

pub(super) use model::serialize;
