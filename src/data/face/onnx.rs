//! The part of the ONNX format that the detector's network needs, as protobuf messages.
//!
//! Reads what is there; what the nodes mean is up to the caller.

use prost::Message;

/// A file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
}

/// The nodes in the order they are computed, and the weights.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    pub initializers: Vec<Initializer>,
    /// The network's inputs; older exporters list the weights here, too.
    #[prost(message, repeated, tag = "11")]
    pub inputs: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    pub outputs: Vec<Value>,
}

/// Something with a name. Its declared shape is left out: networks without fixed sizes run at any.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// One operation.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    #[prost(string, tag = "4")]
    pub op: String,
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<Attribute>,
}

/// A setting of an operation.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub float: f32,
    #[prost(int64, tag = "3")]
    pub int: i64,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
}

/// A weight.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Initializer {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Exporters put numbers here or, as bytes, into `raw`.
    #[prost(float, repeated, tag = "4")]
    pub floats: Vec<f32>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw: Vec<u8>,
}

impl Model {
    /// The graph of a file.
    pub fn graph(bytes: &[u8]) -> Result<Graph, String> {
        let model = Self::decode(bytes).map_err(|error| format!("it is no ONNX file: {error}"))?;
        model.graph.ok_or_else(|| "there is no graph in it".into())
    }
}

impl Node {
    pub fn ints(&self, name: &str) -> &[i64] {
        self.attributes.iter().find(|attribute| attribute.name == name).map_or(&[], |attribute| &attribute.ints)
    }

    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

impl Initializer {
    /// Its numbers, if they are 32-bit floats and as many as its shape says.
    pub fn numbers(&self) -> Option<Vec<f32>> {
        const FLOAT: i32 = 1;
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
        (self.data_type == FLOAT && numbers.len() == count).then_some(numbers)
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
        assert!(Model::graph(b"not a protobuf").is_err());
        assert!(Model::graph(b"").unwrap_err().contains("no graph"));
    }
}
