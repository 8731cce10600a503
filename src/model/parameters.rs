//! All tensors of a network by name, in the order of construction: trained, saved and restored. Computes no layer,
//! updates no weight and writes no file.

use tch::{Device, Kind, Tensor};

use crate::torch::{Result, foreach};

/// One tensor of a network.
#[derive(Debug)]
pub struct Parameter {
    /// Dotted name, as in a PyTorch state dict.
    pub name: String,
    /// Shares its memory with the layer that uses it.
    pub tensor: Tensor,
    /// What training does with it.
    pub role: Role,
    /// The part of the backbone that it belongs to, counted from the image on; `None` in the head.
    pub part: Option<usize>,
}

/// What training does with a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The optimizer updates it.
    Trained,
    /// Forward passes in training update it: a running statistic of batch norm.
    Buffer,
    /// Nothing updates it (`model.freeze`).
    Frozen,
}

/// The tensors of a network.
#[derive(Debug, Default)]
pub struct Parameters {
    all: Vec<Parameter>,
}

impl Parameters {
    /// Every tensor, in the order of construction.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.all.iter()
    }

    /// The tensors that the optimizer updates.
    pub fn trainable(&self) -> impl Iterator<Item = &Parameter> {
        self.with_role(Role::Trained)
    }

    fn with_role(&self, role: Role) -> impl Iterator<Item = &Parameter> {
        self.all.iter().filter(move |parameter| parameter.role == role)
    }

    /// Number of trainable values.
    #[must_use]
    pub fn trainable_count(&self) -> u64 {
        self.trainable().map(|parameter| parameter.tensor.numel() as u64).sum()
    }

    /// Copies of the running statistics, for [`Parameters::restore_buffers`] after a failed attempt.
    ///
    /// # Errors
    /// No memory for the copies.
    pub fn copy_buffers(&self) -> Result<Vec<Tensor>> {
        let _no_grad = tch::no_grad_guard();
        self.with_role(Role::Buffer).map(|p| p.tensor.f_detach_copy()).collect()
    }

    /// Copies the running statistics into `copies`, which [`Parameters::copy_buffers`] made. Needs no memory.
    ///
    /// # Errors
    /// The copies are not those of this network.
    pub fn copy_buffers_into(&self, copies: &[Tensor]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        foreach::copy(&copies.iter().collect::<Vec<_>>(), &self.buffers())
    }

    /// Restores the running statistics from the result of [`Parameters::copy_buffers`].
    ///
    /// # Errors
    /// The copies are not those of this network.
    pub fn restore_buffers(&self, copies: &[Tensor]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        foreach::copy(&self.buffers(), &copies.iter().collect::<Vec<_>>())
    }

    fn buffers(&self) -> Vec<&Tensor> {
        self.with_role(Role::Buffer).map(|parameter| &parameter.tensor).collect()
    }

    /// The gradients of the trainable tensors that have one.
    ///
    /// # Errors
    /// No memory for handles.
    pub fn gradients(&self) -> Result<Vec<Tensor>> {
        let gradients = self.trainable().map(|parameter| parameter.tensor.f_grad());
        gradients.filter(|gradient| gradient.as_ref().map_or(true, Tensor::defined)).collect()
    }

    /// Sets every gradient to zero, keeping its memory.
    ///
    /// # Errors
    /// The device failed.
    pub fn zero_gradients(&self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        foreach::zero(&self.gradients()?.iter().collect::<Vec<_>>())
    }
}

/// How a weight is initialised.
#[derive(Debug, Clone, Copy)]
pub(super) enum Init {
    /// All values equal.
    Constant(f64),
    /// Uniform within plus and minus this bound.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
}

/// Makes the tensors of one part of a network, under a name prefix.
pub(super) struct Scope<'p> {
    parameters: &'p mut Parameters,
    prefix: String,
    device: Device,
    channels_last: bool,
    frozen: bool,
    part: Option<usize>,
}

impl<'p> Scope<'p> {
    pub fn root(parameters: &'p mut Parameters, device: Device, channels_last: bool) -> Self {
        Self { parameters, prefix: String::new(), device, channels_last, frozen: false, part: None }
    }

    /// The scope of a part called `name`.
    pub fn part(&mut self, name: &str) -> Scope<'_> {
        Scope {
            prefix: format!("{}{name}.", self.prefix),
            parameters: self.parameters,
            device: self.device,
            channels_last: self.channels_last,
            frozen: self.frozen,
            part: self.part,
        }
    }

    /// The scope of part `index` of the backbone, under the same name prefix.
    pub fn backbone_part(&mut self, index: usize) -> Scope<'_> {
        Scope {
            prefix: self.prefix.clone(),
            parameters: self.parameters,
            device: self.device,
            channels_last: self.channels_last,
            frozen: self.frozen,
            part: Some(index),
        }
    }

    /// Sets whether tensors made from here on are frozen.
    pub fn freeze(&mut self, frozen: bool) -> &mut Self {
        self.frozen = frozen;
        self
    }

    /// Whether tensors made in this scope are frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// A trained tensor, or a frozen one.
    pub fn weight(&mut self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        let tensor = self.make(shape, init)?.f_set_requires_grad(!self.frozen)?;
        Ok(self.keep(name, tensor, Role::Trained))
    }

    /// A running statistic.
    pub fn buffer(&mut self, name: &str, shape: &[i64], value: f64) -> Result<Tensor> {
        let tensor = self.make(shape, Init::Constant(value))?;
        Ok(self.keep(name, tensor, Role::Buffer))
    }

    fn keep(&mut self, name: &str, tensor: Tensor, role: Role) -> Tensor {
        let shared = tensor.shallow_clone();
        let role = if self.frozen { Role::Frozen } else { role };
        self.parameters.all.push(Parameter { name: format!("{}{name}", self.prefix), tensor, role, part: self.part });
        shared
    }

    /// Draws the values on the CPU, so that a seed gives the same network on every device.
    fn make(&self, shape: &[i64], init: Init) -> Result<Tensor> {
        #[cfg(test)]
        if !matches!(init, Init::Constant(_)) {
            crate::torch::assert_generator_is_locked();
        }
        let _no_grad = tch::no_grad_guard();
        let mut values = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let _ = match init {
            Init::Constant(value) => values.f_fill_(value)?,
            Init::Uniform(bound) => values.f_uniform_(-bound, bound)?,
            Init::Normal(deviation) => values.f_normal_(0.0, deviation)?,
        };
        let values = values.f_to_device(self.device)?;
        if self.channels_last && shape.len() == 4 {
            // tch has no memory format argument; these are exactly its strides.
            return values.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2]);
        }
        Ok(values)
    }
}
