//! Export of the computation as an ONNX model. The messages of the format are in the room `onnx`.
//!
//! The structure of the backbone follows from its description, that of the head from the names of its weights and the
//! number of attention heads. A weight that no node uses is an error.

mod backbone;
mod graph_builder;
mod head;
mod model;
mod names;
mod tokens;

pub(super) use model::serialize;
