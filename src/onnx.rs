//! The part of the ONNX format (`onnx.proto`) that this program reads and writes, as protobuf messages.
//!
//! Runs no operation and builds no graph: `face/centerface.rs` runs the network of the face detector, `export/onnx`
//! builds the graph of a trained one.

use prost::Message;

/// An ONNX file (`ModelProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// The version of the format itself.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The version of that program.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// The network.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// The sets of operations that the nodes come from.
    #[prost(message, repeated, tag = "8")]
    pub opsets: Vec<Opset>,
    /// Metadata of the network.
    #[prost(message, repeated, tag = "14")]
    pub metadata: Vec<Entry>,
}

/// A set of operations, by its version; the standard set has no name.
#[derive(Clone, PartialEq, Message)]
pub struct Opset {
    /// The name of the set.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// The version of the set.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// An entry of the metadata.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A network: its nodes in the order of computation, and its weights.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// The nodes.
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<Node>,
    /// The name of the network.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The weights.
    #[prost(message, repeated, tag = "5")]
    pub initializers: Vec<Initializer>,
    /// The network's inputs; older exporters also list the weights here.
    #[prost(message, repeated, tag = "11")]
    pub inputs: Vec<Value>,
    /// The network's outputs.
    #[prost(message, repeated, tag = "12")]
    pub outputs: Vec<Value>,
}

/// An input or output of the network, with its type if that is declared (`ValueInfoProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// The name by which nodes refer to it.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Type>,
}

/// The type of a value; here always a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// The element type and the shape of the tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// The type of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// The element type, a [`DataType`].
    #[prost(enumeration = "DataType", tag = "1")]
    pub numbers: i32,
    /// The shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// The shape of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Its dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dims: Vec<Dim>,
}

/// A dimension: a size, or a name if the size is not fixed.
#[derive(Clone, PartialEq, Message)]
pub struct Dim {
    /// The size or the name.
    #[prost(oneof = "Size", tags = "1, 2")]
    pub size: Option<Size>,
}

/// The size of a dimension, or its name if the size is not fixed.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Size {
    /// A fixed size.
    #[prost(int64, tag = "1")]
    Of(i64),
    /// Any size; dimensions of the same name have the same size.
    #[prost(string, tag = "2")]
    Any(String),
}

/// Element types of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// No type.
    Undefined = 0,
    /// 32-bit floating point.
    Float = 1,
    /// Bytes, such as pixels.
    Uint8 = 2,
    /// 64-bit integers, such as sizes and indices.
    Int64 = 7,
}

/// A node: one operation with its inputs and outputs.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// The names of its inputs.
    #[prost(string, repeated, tag = "1")]
    pub inputs: Vec<String>,
    /// The names of its outputs.
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    /// The name of the node.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operation.
    #[prost(string, tag = "4")]
    pub op: String,
    /// The settings of the operation.
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<Attribute>,
}

/// An attribute of a node: a setting of its operation.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// The name of the attribute.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value, if it is a float. Only the field that `which` names is used.
    #[prost(float, tag = "2")]
    pub float: f32,
    /// The value, if it is an integer.
    #[prost(int64, tag = "3")]
    pub int: i64,
    /// The value, if it is a text.
    #[prost(bytes = "vec", tag = "4")]
    pub text: Vec<u8>,
    /// The value, if it is a list of integers.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// The type of the value, an [`AttributeType`].
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub which: i32,
}

/// Types of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// Not stated, as in older files.
    Undefined = 0,
    /// A float.
    Float = 1,
    /// An integer.
    Int = 2,
    /// A text.
    Text = 3,
    /// A list of integers.
    Ints = 7,
}

/// A weight (`TensorProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Initializer {
    /// Its shape.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// The element type, a [`DataType`].
    #[prost(enumeration = "DataType", tag = "2")]
    pub data_type: i32,
    /// Its numbers, unless the exporter stored them as bytes in `raw`.
    #[prost(float, repeated, tag = "4")]
    pub floats: Vec<f32>,
    /// The name by which nodes refer to it.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Its numbers as little-endian bytes.
    #[prost(bytes = "vec", tag = "9")]
    pub raw: Vec<u8>,
}

impl Model {
    /// The graph of a file.
    ///
    /// # Errors
    /// The file is no ONNX file, or has no graph.
    pub fn read_graph(bytes: &[u8]) -> Result<Graph, String> {
        let model = Self::decode(bytes).map_err(|error| format!("it is no ONNX file: {error}"))?;
        model.graph.ok_or_else(|| "there is no graph in it".into())
    }
}

impl Node {
    /// The integers of the attribute `name`; none if the node does not have it.
    #[must_use]
    pub fn ints(&self, name: &str) -> &[i64] {
        self.attributes.iter().find(|attribute| attribute.name == name).map_or(&[], |attribute| &attribute.ints)
    }

    /// The attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

impl Initializer {
    /// Its numbers, if they are 32-bit floats and their count is that of its shape.
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<f32>> {
        let count = self.dims.iter().try_fold(1_usize, |count, dim| count.checked_mul(usize::try_from(*dim).ok()?))?;
        let numbers = if self.raw.is_empty() {
            self.floats.clone()
        } else {
            let (words, rest) = self.raw.as_chunks::<4>();
            words
                .iter()
                .map(|word| f32::from_le_bytes(*word))
                .take(if rest.is_empty() { words.len() } else { 0 })
                .collect()
        };
        (self.data_type == DataType::Float as i32 && numbers.len() == count).then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_floats_of_their_shape_or_nothing() {
        let weight = |dims: &[i64], data_type, bytes| Initializer {
            dims: dims.to_vec(),
            data_type,
            floats: Vec::new(),
            name: "w".into(),
            raw: (0..bytes).collect(),
        };
        assert_eq!(weight(&[1, 2], 1, 8).numbers().unwrap().len(), 2);
        for bad in [weight(&[1, 2], 1, 7), weight(&[1, 2], 7, 8), weight(&[-1, 2], 1, 8), weight(&[i64::MAX, 8], 1, 8)]
        {
            assert_eq!(bad.numbers(), None);
        }
    }

    #[test]
    fn what_is_no_onnx_file_is_refused() {
        assert!(Model::read_graph(b"not a protobuf").is_err());
        assert!(Model::read_graph(b"").unwrap_err().contains("no graph"));
    }
}
