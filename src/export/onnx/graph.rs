//! Nodes and weights of a graph in the making. Knows operations by name only.

use std::collections::BTreeMap;

use tch::Tensor;

use super::super::{ExportError, bytes_of};
use crate::model::Detector;
use crate::onnx::{Attribute, AttributeType, DataType, Initializer, Node};

/// The nodes so far, and the network's weights that no node has taken yet.
pub(super) struct Graph<'d> {
    nodes: Vec<Node>,
    initializers: Vec<Initializer>,
    left: BTreeMap<&'d str, &'d Tensor>,
}

impl<'d> Graph<'d> {
    pub fn of(detector: &'d Detector) -> Self {
        let parameters = detector.parameters().iter().map(|parameter| (parameter.name.as_str(), &parameter.tensor));
        let left = parameters.chain(detector.constants()).collect();
        Self { nodes: Vec::new(), initializers: Vec::new(), left }
    }

    /// Adds an operation and gives back what its result is called.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let name = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.named_node(op, inputs, &name, attributes);
        name
    }

    /// Adds an operation whose result has this name.
    pub fn named_node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<Attribute>) {
        self.nodes.push(Node {
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            outputs: vec![output.to_owned()],
            name: output.to_owned(),
            op: op.to_owned(),
            attributes,
        });
    }

    /// Whether the network has a tensor of this name that is not in use yet.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Takes one of the network's tensors, for what becomes of it.
    pub fn take(&mut self, name: &str) -> Result<&'d Tensor, ExportError> {
        self.left.remove(name).ok_or_else(|| ExportError::Unknown(format!("it has no `{name}`")))
    }

    /// Takes one of the network's tensors as it is; gives back its name.
    pub fn weight(&mut self, name: &str) -> Result<String, ExportError> {
        let tensor = self.take(name)?;
        self.floats(name, tensor)
    }

    /// Adds numbers under a name of the caller's.
    pub fn floats(&mut self, name: &str, tensor: &Tensor) -> Result<String, ExportError> {
        let raw = bytes_of(tensor)?;
        Ok(self.initializer(name, DataType::Float, tensor.size(), raw))
    }

    /// Adds sizes.
    pub fn sizes(&mut self, values: &[i64]) -> String {
        let name = format!("sizes_{}", self.initializers.len());
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(&name, DataType::Int64, vec![values.len() as i64], raw)
    }

    /// Adds an index.
    pub fn scalar(&mut self, value: i64) -> String {
        let name = format!("index_{}", self.initializers.len());
        self.initializer(&name, DataType::Int64, Vec::new(), value.to_le_bytes().to_vec())
    }

    fn initializer(&mut self, name: &str, data_type: DataType, dims: Vec<i64>, raw: Vec<u8>) -> String {
        let (name, data_type) = (name.to_owned(), data_type.into());
        self.initializers.push(Initializer { dims, data_type, floats: Vec::new(), name: name.clone(), raw });
        name
    }

    /// All nodes and weights, where the network's are all among them.
    pub fn finish(self) -> Result<(Vec<Node>, Vec<Initializer>), ExportError> {
        match self.left.keys().next() {
            None => Ok((self.nodes, self.initializers)),
            Some(name) => Err(ExportError::Unknown(format!("nothing uses its `{name}`"))),
        }
    }
}

/// A setting that is an integer.
pub(super) fn int(name: &str, int: i64) -> Attribute {
    Attribute { name: name.to_owned(), int, which: AttributeType::Int.into(), ..Attribute::default() }
}

/// A setting that is integers.
pub(super) fn ints(name: &str, ints: &[i64]) -> Attribute {
    let ints = ints.to_vec();
    Attribute { name: name.to_owned(), ints, which: AttributeType::Ints.into(), ..Attribute::default() }
}

/// A setting that is a float.
pub(super) fn float(name: &str, float: f32) -> Attribute {
    Attribute { name: name.to_owned(), float, which: AttributeType::Float.into(), ..Attribute::default() }
}

/// A setting that is a text.
pub(super) fn text(name: &str, text: &str) -> Attribute {
    let text = text.as_bytes().to_vec();
    Attribute { name: name.to_owned(), text, which: AttributeType::Text.into(), ..Attribute::default() }
}
