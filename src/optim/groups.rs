//! Parameter groups: the learning rate and the weight decay of each parameter, and the parameters that one step
//! updates. Computes no update; that is `adam.rs` and `sgd.rs`.

use std::sync::Once;

use tch::{Kind, Tensor};

use crate::torch::Result;
use crate::torch::foreach::Span;

/// The parameters that an optimizer updates, sorted so that those with equal settings are adjacent.
///
/// Tensors of one dimension, which are biases and the scales and shifts of norms, get no weight decay. The learning
/// rate of each parameter is scaled by a factor of its own.
#[derive(Debug)]
pub struct ParameterGroups {
    all: Vec<Grouped>,
}

#[derive(Debug)]
struct Grouped {
    name: String,
    tensor: Tensor,
    learning_rate_scale: f64,
    weight_decay: f64,
}

impl ParameterGroups {
    /// Groups of parameters, each with its name and the factor on its learning rate.
    #[must_use]
    pub fn new<'t>(parameters: impl Iterator<Item = (&'t str, &'t Tensor, f64)>, weight_decay: f64) -> Self {
        let grouped = parameters.map(|(name, tensor, learning_rate_scale)| Grouped {
            name: name.to_owned(),
            tensor: tensor.shallow_clone(),
            learning_rate_scale,
            weight_decay: if tensor.dim() > 1 { weight_decay } else { 0.0 },
        });
        let mut all: Vec<_> = grouped.collect();
        all.sort_by(|a, b| {
            let scales = a.learning_rate_scale.total_cmp(&b.learning_rate_scale);
            scales.then((a.tensor.dim() <= 1).cmp(&(b.tensor.dim() <= 1)))
        });
        Self { all }
    }

    /// A tensor of zeros for each parameter, in its shape.
    pub(super) fn zeros(&self) -> Result<Vec<Tensor>> {
        let _no_grad = tch::no_grad_guard();
        self.all.iter().map(|parameter| parameter.tensor.f_zeros_like()).collect()
    }

    /// Names for saving `tensors`, one for each parameter: `PARAMETER.what`.
    pub(super) fn named<'t>(&self, tensors: &'t [Tensor], what: &str) -> Vec<(String, &'t Tensor)> {
        self.all.iter().zip(tensors).map(|(parameter, tensor)| (format!("{}.{what}", parameter.name), tensor)).collect()
    }

    /// The parameters that have a gradient, which are those that a step updates.
    pub(super) fn with_gradient(&self, learning_rate: f64) -> Result<ParametersWithGradient<'_>> {
        let mut updated = ParametersWithGradient {
            indices: Vec::new(),
            parameters: Vec::new(),
            gradients: Vec::new(),
            spans: Vec::new(),
        };
        for (index, parameter) in self.all.iter().enumerate() {
            let gradient = parameter.tensor.f_grad()?;
            if gradient.defined() {
                updated.add(index, parameter, gradient, learning_rate);
            }
        }
        Ok(updated)
    }
}

/// The parameters that one step updates, with their gradients and settings.
pub(super) struct ParametersWithGradient<'p> {
    indices: Vec<usize>,
    pub parameters: Vec<&'p Tensor>,
    pub gradients: Vec<Tensor>,
    pub spans: Vec<Span>,
}

impl<'p> ParametersWithGradient<'p> {
    fn add(&mut self, index: usize, parameter: &'p Grouped, gradient: Tensor, learning_rate: f64) {
        let (learning_rate, weight_decay) = (learning_rate * parameter.learning_rate_scale, parameter.weight_decay);
        let begin = self.indices.len();
        self.indices.push(index);
        self.parameters.push(&parameter.tensor);
        self.gradients.push(gradient);
        match self.spans.last_mut() {
            Some(span) if span.learning_rate == learning_rate && span.weight_decay == weight_decay => span.end += 1,
            _ => self.spans.push(Span { begin, end: begin + 1, learning_rate, weight_decay }),
        }
    }

    /// Of `tensors`, one for each parameter of the groups, those whose parameters are updated.
    pub fn pick<'t>(&self, tensors: &'t [Tensor]) -> Vec<&'t Tensor> {
        self.indices.iter().map(|index| &tensors[*index]).collect()
    }

    /// Whether libtorch's fused kernels can be used: they iterate over memory, so a gradient must have its parameter's
    /// strides. Autograd ensures that for every parameter without gaps in memory. Otherwise a warning is logged, once.
    pub fn can_be_fused(&self) -> bool {
        static WARNED: Once = Once::new();
        let alike = self
            .parameters
            .iter()
            .zip(&self.gradients)
            .all(|(parameter, gradient)| has_same_strides(parameter, gradient));
        if !alike {
            WARNED.call_once(|| {
                tracing::warn!(
                    "gradients lie in memory otherwise than their weights: the optimizer takes its slow path"
                );
            });
        }
        alike
    }

    /// Scratch memory for each parameter, in its shape; all of it is the memory of the largest.
    pub fn scratch(&self) -> Result<Vec<Tensor>> {
        let Some(largest) = self.parameters.iter().max_by_key(|parameter| parameter.numel()) else {
            return Ok(Vec::new());
        };
        let buffer = Tensor::f_empty([largest.numel() as i64], (Kind::Float, largest.device()))?;
        let view =
            |parameter: &&Tensor| buffer.f_narrow(0, 0, parameter.numel() as i64)?.f_view(parameter.size().as_slice());
        self.parameters.iter().map(view).collect()
    }
}

/// Whether two tensors of one shape have equal strides; those of dimensions of size 1 do not count.
fn has_same_strides(a: &Tensor, b: &Tensor) -> bool {
    let (size, a, b) = (a.size(), a.stride(), b.stride());
    size.iter().enumerate().all(|(side, length)| *length == 1 || a[side] == b[side])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn norms_and_biases_do_not_decay_and_the_backbone_learns_slower() {
        let weight = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let named = [
            ("head.fc.bias", weight(&[1])),
            ("backbone.conv1.weight", weight(&[2, 3, 3, 3])),
            ("head.fc.weight", weight(&[1, 4])),
            ("backbone.bn1.weight", weight(&[2])),
            ("backbone.fresh.weight", weight(&[2, 2])),
        ];
        let scale = |name: &str| if name.starts_with("backbone.") { 0.1 } else { 1.0 };
        let groups = ParameterGroups::new(named.iter().map(|(name, tensor)| (*name, tensor, scale(name))), 0.01);
        let names: Vec<_> = groups.all.iter().map(|parameter| parameter.name.as_str()).collect();
        let expected = ["conv1.weight", "fresh.weight", "bn1.weight"].map(|name| format!("backbone.{name}"));
        assert_eq!(names[..3], expected);
        assert_eq!(names[3..], ["head.fc.weight", "head.fc.bias"]);

        // All but one have a gradient.
        let loss = named[..4].iter().map(|(_, tensor)| tensor.sum(Kind::Float)).reduce(|a, b| a + b).unwrap();
        loss.backward();
        let updated = groups.with_gradient(2.0).unwrap();
        assert_eq!(updated.indices, [0, 2, 3, 4]);
        let spans: Vec<_> = updated.spans.iter().map(|s| (s.begin, s.end, s.learning_rate, s.weight_decay)).collect();
        assert_eq!(spans, [(0, 1, 0.2, 0.01), (1, 2, 0.2, 0.0), (2, 3, 2.0, 0.01), (3, 4, 2.0, 0.0)]);
        assert!(updated.can_be_fused());
        assert!(!has_same_strides(&weight(&[2, 3]), &weight(&[3, 2]).tr()));
        assert!(has_same_strides(&weight(&[1, 3]), &weight(&[3, 1]).tr()));
    }
}
