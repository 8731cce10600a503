//! What a checkpoint holds: tensors that share the memory of training, or copies of them that it does not change. Writes
//! nothing; that is `save.rs`.

use tch::{Device, Kind, Tensor};

use super::layout::named;
use crate::config::Config;
use crate::model::Parameters;
use crate::torch::Result;
use crate::train::fault::fault;
use crate::train::learner::Learner;
use crate::train::state::TrainState;

/// Tensors with their names in a file.
pub(super) type NamedTensors = Vec<(String, Tensor)>;

/// What a checkpoint holds.
pub(in crate::train) struct Contents {
    pub(super) tensors: Tensors,
    pub(super) state: TrainState,
    pub(super) config: Config,
}

/// The tensors of a checkpoint.
pub(in crate::train) struct Tensors {
    pub(super) model: NamedTensors,
    /// Weights of the EMA, where one is kept.
    pub(super) ema: Option<NamedTensors>,
    pub(super) optimizer: NamedTensors,
}

impl Contents {
    /// The contents of a checkpoint of now. Its tensors share the memory of training.
    pub fn of(learner: &Learner, state: &TrainState, config: &Config) -> Self {
        let tensors = Tensors {
            model: shared(learner.detector.parameters()),
            ema: learner.ema_parameters().map(shared),
            optimizer: share(learner.optimizer.state()),
        };
        Self { tensors, state: state.clone(), config: config.clone() }
    }

    /// Size of the tensors.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.numel() as u64 * 4
    }

    /// Replaces the tensors by copies on the host, so that training can change its own. `room` are copies of before, whose
    /// memory is used again: to get new memory takes longer than to copy.
    ///
    /// # Errors
    /// There is no memory for copies, or the device failed; then nothing has changed.
    pub fn copy_tensors(&mut self, room: Option<Tensors>) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        fault()?;
        let copies = room.map_or_else(|| self.tensors.room(), Ok)?;
        for (copy, tensor) in copies.iter().zip(self.tensors.iter()) {
            copy.shallow_clone().f_copy_(tensor)?;
        }
        self.tensors = copies;
        Ok(())
    }

    /// The tensors alone.
    pub fn into_tensors(self) -> Tensors {
        self.tensors
    }
}

impl Tensors {
    /// All of them, in an order of their own.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        let all = self.model.iter().chain(self.ema.iter().flatten()).chain(&self.optimizer);
        all.map(|(_, tensor)| tensor)
    }

    fn numel(&self) -> usize {
        self.iter().map(Tensor::numel).sum()
    }

    /// Tensors on the host like these, of any numbers, in one block of memory: it goes back to the system when it is
    /// freed, where many small ones would leave holes in the heap.
    fn room(&self) -> Result<Self> {
        let mut free = Tensor::f_empty([self.numel() as i64], (Kind::Float, Device::Cpu))?;
        let mut take = |tensors: &NamedTensors| -> Result<NamedTensors> {
            tensors.iter().map(|(name, tensor)| Ok((name.clone(), take_like(tensor, &mut free)?))).collect()
        };
        Ok(Self {
            model: take(&self.model)?,
            ema: self.ema.as_ref().map(&mut take).transpose()?,
            optimizer: take(&self.optimizer)?,
        })
    }
}

/// Takes the start of `free` for a tensor of the same shape and strides, so that a copy is made in one piece, and brought
/// into the order of the file later. `free` then is the rest.
fn take_like(tensor: &Tensor, free: &mut Tensor) -> Result<Tensor> {
    let numel = tensor.numel() as i64;
    let taken = free.f_narrow(0, 0, numel)?.f_as_strided(tensor.size(), tensor.stride(), None)?;
    *free = free.f_narrow(0, numel, free.size()[0] - numel)?;
    Ok(taken)
}

/// The tensors of a network with their names in the file.
pub(super) fn shared(parameters: &Parameters) -> NamedTensors {
    share(named(parameters))
}

fn share(tensors: Vec<(String, &Tensor)>) -> NamedTensors {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.shallow_clone())).collect()
}
