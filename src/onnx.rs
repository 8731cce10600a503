//! The part of the ONNX format (`onnx.proto`) that this program reads and writes, as protobuf messages.
//!
//! What the nodes mean is up to those who use it: the face detector's network is read, a trained one is exported.

use prost::Message;

/// A file.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Of the format itself.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Which program wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Which version of it.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// The network.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Which operations there are.
    #[prost(message, repeated, tag = "8")]
    pub opsets: Vec<Opset>,
    /// Whatever else is to be known.
    #[prost(message, repeated, tag = "14")]
    pub metadata: Vec<Entry>,
}

/// A set of operations, by its version; the usual one has no name.
#[derive(Clone, PartialEq, Message)]
pub struct Opset {
    /// Its name.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// An entry of the metadata.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// What it is about.
    #[prost(string, tag = "1")]
    pub key: String,
    /// What is so.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The nodes in the order they are computed, and the weights.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// The operations.
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<Node>,
    /// What the network is called.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The weights.
    #[prost(message, repeated, tag = "5")]
    pub initializers: Vec<Initializer>,
    /// The network's inputs; older exporters list the weights here, too.
    #[prost(message, repeated, tag = "11")]
    pub inputs: Vec<Value>,
    /// The network's outputs.
    #[prost(message, repeated, tag = "12")]
    pub outputs: Vec<Value>,
}

/// Something with a name, and with its type where that is declared.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// As nodes call it.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it is.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Type>,
}

/// A type; all are tensors here.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// Of what numbers in which shape.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// Numbers in a shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// The numbers' type.
    #[prost(enumeration = "DataType", tag = "1")]
    pub numbers: i32,
    /// The shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Its dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dims: Vec<Dim>,
}

/// A dimension: a size, or a name where any will do.
#[derive(Clone, PartialEq, Message)]
pub struct Dim {
    /// One of the two.
    #[prost(oneof = "Size", tags = "1, 2")]
    pub size: Option<Size>,
}

/// A size, or a name where any will do.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Size {
    /// Exactly so many.
    #[prost(int64, tag = "1")]
    Of(i64),
    /// Any; those of one name are equal.
    #[prost(string, tag = "2")]
    Any(String),
}

/// Types of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// None.
    Undefined = 0,
    /// 32 bits.
    Float = 1,
    /// Bytes.
    Uint8 = 2,
    /// Sizes and indices.
    Int64 = 7,
}

/// One operation.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// What it takes.
    #[prost(string, repeated, tag = "1")]
    pub inputs: Vec<String>,
    /// What it gives.
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    /// What it is called.
    #[prost(string, tag = "3")]
    pub name: String,
    /// What it does.
    #[prost(string, tag = "4")]
    pub op: String,
    /// How.
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<Attribute>,
}

/// A setting of an operation.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Of the setting.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value, one of these.
    #[prost(float, tag = "2")]
    pub float: f32,
    /// See `float`.
    #[prost(int64, tag = "3")]
    pub int: i64,
    /// See `float`.
    #[prost(bytes = "vec", tag = "4")]
    pub text: Vec<u8>,
    /// See `float`.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Which of them.
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub which: i32,
}

/// Types of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// Older files do not say.
    Undefined = 0,
    /// A float.
    Float = 1,
    /// An integer.
    Int = 2,
    /// A text.
    Text = 3,
    /// Integers.
    Ints = 7,
}

/// A weight.
#[derive(Clone, PartialEq, Message)]
pub struct Initializer {
    /// Its shape.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Its numbers' type.
    #[prost(enumeration = "DataType", tag = "2")]
    pub data_type: i32,
    /// Exporters put numbers here or, as bytes, into `raw`.
    #[prost(float, repeated, tag = "4")]
    pub floats: Vec<f32>,
    /// As nodes call it.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Little-endian.
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
    /// The integers of a setting; none where it is not there.
    #[must_use]
    pub fn ints(&self, name: &str) -> &[i64] {
        self.attributes.iter().find(|attribute| attribute.name == name).map_or(&[], |attribute| &attribute.ints)
    }

    /// A setting.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

impl Initializer {
    /// Its numbers, if they are 32-bit floats and as many as its shape says.
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
