//! Collects the nodes and weights of an ONNX graph. Operations are given by name. Knows nothing of the network's
//! architecture.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::export::error::ExportError;
use crate::export::tensor_bytes::float32_bytes;
use crate::model::Detector;
use crate::onnx::{Attribute, AttributeType, DataType, Initializer, Node};

/// The nodes and weights added so far, and the network's tensors that no node uses yet.
pub(super) struct GraphBuilder<'d> {
    nodes: Vec<Node>,
    initializers: Vec<Initializer>,
    unused: BTreeMap<&'d str, &'d Tensor>,
}

impl<'d> GraphBuilder<'d> {
    pub fn of(detector: &'d Detector) -> Self {
        let parameters = detector.parameters().iter().map(|parameter| (parameter.name.as_str(), &parameter.tensor));
        let unused = parameters.chain(detector.constants()).collect();
        Self { nodes: Vec::new(), initializers: Vec::new(), unused }
    }

    /// Adds a node and returns the name of its output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let name = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.named_node(op, inputs, &name, attributes);
        name
    }

    /// Adds a node with this name of its output.
    pub fn named_node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<Attribute>) {
        self.nodes.push(Node {
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            outputs: vec![output.to_owned()],
            name: output.to_owned(),
            op: op.to_owned(),
            attributes,
        });
    }

    /// Whether the network has a tensor of this name that no node uses yet.
    pub fn has(&self, name: &str) -> bool {
        self.unused.contains_key(name)
    }

    /// Takes one of the network's tensors, to be converted before it is added.
    pub fn take(&mut self, name: &str) -> Result<&'d Tensor, ExportError> {
        self.unused.remove(name).ok_or_else(|| ExportError::Unknown(format!("it has no `{name}`")))
    }

    /// Adds one of the network's tensors unchanged; returns its name.
    pub fn weight(&mut self, name: &str) -> Result<String, ExportError> {
        let tensor = self.take(name)?;
        self.floats(name, tensor)
    }

    /// Adds a float tensor under this name.
    pub fn floats(&mut self, name: &str, tensor: &Tensor) -> Result<String, ExportError> {
        let raw = float32_bytes(tensor)?;
        Ok(self.initializer(name, DataType::Float, tensor.size(), raw))
    }

    /// Adds a list of sizes; returns its name.
    pub fn sizes(&mut self, values: &[i64]) -> String {
        let name = format!("sizes_{}", self.initializers.len());
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(&name, DataType::Int64, vec![values.len() as i64], raw)
    }

    /// Adds a scalar index; returns its name.
    pub fn scalar(&mut self, value: i64) -> String {
        let name = format!("index_{}", self.initializers.len());
        self.initializer(&name, DataType::Int64, Vec::new(), value.to_le_bytes().to_vec())
    }

    /// Adds a scalar number; returns its name.
    pub fn number(&mut self, value: f32) -> Result<String, ExportError> {
        let name = format!("number_{}", self.initializers.len());
        self.floats(&name, &Tensor::from(value))
    }

    fn initializer(&mut self, name: &str, data_type: DataType, dims: Vec<i64>, raw: Vec<u8>) -> String {
        let (name, data_type) = (name.to_owned(), data_type.into());
        self.initializers.push(Initializer { dims, data_type, floats: Vec::new(), name: name.clone(), raw });
        name
    }

    /// All nodes and weights; an error where a tensor of the network is unused.
    pub fn finish(self) -> Result<(Vec<Node>, Vec<Initializer>), ExportError> {
        match self.unused.keys().next() {
            None => Ok((self.nodes, self.initializers)),
            Some(name) => Err(ExportError::Unknown(format!("nothing uses its `{name}`"))),
        }
    }
}

/// An integer attribute.
pub(super) fn int(name: &str, int: i64) -> Attribute {
    Attribute { name: name.to_owned(), int, which: AttributeType::Int.into(), ..Attribute::default() }
}

/// An attribute that is a list of integers.
pub(super) fn ints(name: &str, ints: &[i64]) -> Attribute {
    let ints = ints.to_vec();
    Attribute { name: name.to_owned(), ints, which: AttributeType::Ints.into(), ..Attribute::default() }
}

/// A float attribute.
pub(super) fn float(name: &str, float: f32) -> Attribute {
    Attribute { name: name.to_owned(), float, which: AttributeType::Float.into(), ..Attribute::default() }
}

/// A string attribute.
pub(super) fn text(name: &str, text: &str) -> Attribute {
    let text = text.as_bytes().to_vec();
    Attribute { name: name.to_owned(), text, which: AttributeType::Text.into(), ..Attribute::default() }
}
