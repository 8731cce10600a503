//! The computation as an ONNX model: `network.rs` and `head.rs` say which nodes there are, `graph.rs` keeps count of them.
//!
//! The structure is read off the names of the weights, which are all that tells one network from another but for the
//! number of attention heads; a weight that finds no node is an error.

mod graph;
mod head;
mod network;

use prost::Message;

use self::graph::Graph;
use super::{ExportError, Facts, Format, NOTE};
use crate::model::Detector;
use crate::onnx::{self, DataType, Dim, Entry, Model, Opset, Shape, Size, TensorType, Type, Value};

/// The first with layer normalisation, which is a node of its own there (2022).
const OPSET: i64 = 17;
/// The version of the format that came with it.
const IR_VERSION: i64 = 8;

const FRAMES: &str = "frames";
const CLIP_LOGITS: &str = "clip_logits";
const FRAME_LOGITS: &str = "frame_logits";

pub(super) fn file(detector: &Detector, facts: &Facts) -> Result<Vec<u8>, ExportError> {
    let mut graph = Graph::of(detector);
    let features_nf = network::backbone(&mut graph, facts)?;
    head::head(&mut graph, &features_nf, facts.model.attention_heads as i64)?;
    let (nodes, initializers) = graph.finish()?;
    let (clips, frames) = (any("clips"), any("frames"));
    let [height, width] = [facts.height, facts.width].map(|side| Size::Of(side as i64));
    let input = value(FRAMES, DataType::Uint8, vec![clips.clone(), frames.clone(), height, width, Size::Of(3)]);
    let outputs = vec![
        value(CLIP_LOGITS, DataType::Float, vec![clips.clone()]),
        value(FRAME_LOGITS, DataType::Float, vec![clips, frames]),
    ];
    let name = "deepfake_detector".into();
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "dfdetect".into(),
        producer_version: facts.dfdetect.into(),
        graph: Some(onnx::Graph { nodes, name, initializers, inputs: vec![input], outputs }),
        opsets: vec![Opset { domain: String::new(), version: OPSET }],
        metadata: vec![Entry { key: NOTE.into(), value: facts.json(Format::Onnx) }],
    };
    Ok(model.encode_to_vec())
}

fn any(name: &str) -> Size {
    Size::Any(name.to_owned())
}

fn value(name: &str, numbers: DataType, sizes: Vec<Size>) -> Value {
    let dims = sizes.into_iter().map(|size| Dim { size: Some(size) }).collect();
    let tensor = TensorType { numbers: numbers.into(), shape: Some(Shape { dims }) };
    Value { name: name.to_owned(), kind: Some(Type { tensor: Some(tensor) }) }
}
