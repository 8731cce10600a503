//! The ONNX model: its graph, inputs, outputs and metadata. Adds no nodes; that is `backbone.rs` and `head.rs`.

use prost::Message;

use super::backbone::backbone;
use super::graph_builder::GraphBuilder;
use super::head::head;
use super::names::{CLIP_LOGITS, FRAME_LOGITS, FRAMES};
use crate::export::error::ExportError;
use crate::export::format::Format;
use crate::export::metadata::{ExportMetadata, METADATA_KEY};
use crate::model::Detector;
use crate::onnx::{self, DataType, Dim, Entry, Model, Opset, Shape, Size, TensorType, Type, Value};

/// The first opset with a node for layer normalisation (2022).
const OPSET: i64 = 17;
/// The version of the ONNX format that was released with it.
const IR_VERSION: i64 = 8;

pub fn serialize(detector: &Detector, metadata: &ExportMetadata) -> Result<Vec<u8>, ExportError> {
    let mut graph = GraphBuilder::of(detector);
    let features_nf = backbone(&mut graph, metadata)?;
    head(&mut graph, &features_nf, &metadata.model)?;
    let (nodes, initializers) = graph.finish()?;
    let (clips, frames) = (any("clips"), any("frames"));
    let [height, width] = [metadata.height, metadata.width].map(|side| Size::Of(side as i64));
    let input = value(FRAMES, DataType::Uint8, vec![clips.clone(), frames.clone(), height, width, Size::Of(3)]);
    let outputs = vec![
        value(CLIP_LOGITS, DataType::Float, vec![clips.clone()]),
        value(FRAME_LOGITS, DataType::Float, vec![clips, frames]),
    ];
    let name = "deepfake_detector".into();
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "dfdetect".into(),
        producer_version: metadata.dfdetect.into(),
        graph: Some(onnx::Graph { nodes, name, initializers, inputs: vec![input], outputs }),
        opsets: vec![Opset { domain: String::new(), version: OPSET }],
        metadata: vec![Entry { key: METADATA_KEY.into(), value: metadata.json(Format::Onnx) }],
    };
    Ok(model.encode_to_vec())
}

/// A dimension of any size, with its name.
fn any(name: &str) -> Size {
    Size::Any(name.to_owned())
}

/// An input or output of the graph.
fn value(name: &str, numbers: DataType, sizes: Vec<Size>) -> Value {
    let dims = sizes.into_iter().map(|size| Dim { size: Some(size) }).collect();
    let tensor = TensorType { numbers: numbers.into(), shape: Some(Shape { dims }) };
    Value { name: name.to_owned(), kind: Some(Type { tensor: Some(tensor) }) }
}
