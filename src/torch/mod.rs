//! What tch lacks: CUDA loaded at run time, autocast for every device, one thread's share of cores, the caching allocator,
//! TorchScript with weights in it.
//!
//! The only room with `unsafe`, all of it in `ffi.rs`, `foreach.rs` and `trace.rs`; the C++ side is `shim.cpp`,
//! `foreach.cpp` and `trace.cpp`.
//! States of random generators are not saved and put back here: each step seeds them anew, so nothing would use it.

mod allocator;
mod ffi;
pub mod foreach;
pub mod trace;

use std::marker::PhantomData;
use std::sync::OnceLock;

use serde::Serialize;
use tch::{Device, TchError, Tensor};

use crate::config::Precision;

pub use allocator::{
    AllocatorStats, allocator_stats, device_memory, limit_device_memory, peak_allocated_bytes, release_cached_memory,
    reset_peak_stats, trim_heap,
};

/// What libtorch calls give back; out-of-memory comes as `Err` like everything else.
pub type Result<T> = std::result::Result<T, TchError>;

/// The number format of a forward pass, decided; weights, gradients and moments are always float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// float32 throughout.
    F32,
    /// float16 where it is safe; gradients need loss scaling.
    Fp16,
    /// bfloat16 where it is safe.
    Bf16,
}

impl Format {
    /// The name used in configuration and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        }
    }

    /// What a configured precision means on a CUDA device or on this machine's CPU.
    #[must_use]
    pub fn resolve(precision: Precision, cuda: bool) -> Self {
        match precision {
            Precision::Off => Self::F32,
            Precision::Fp16 => Self::Fp16,
            Precision::Bf16 => Self::Bf16,
            Precision::Auto if cuda => Self::Fp16,
            Precision::Auto if cpu_has_bf16() => Self::Bf16,
            Precision::Auto => Self::F32,
        }
    }

    /// Bytes of one number.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Fp16 | Self::Bf16 => 2,
        }
    }
}

/// Version of the libtorch that this program was built with.
#[must_use]
pub fn version() -> String {
    ffi::torch_version()
}

/// Whether a CUDA device works. The first call loads libtorch's CUDA part where there is a driver for it.
///
/// The linker drops `libtorch_cuda` because nothing names it, and CUDA would then be missing without a word; loading it
/// here lets one binary serve machines with and without a GPU.
#[must_use]
pub fn cuda_available() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| {
        ffi::load_library(c"libcuda.so.1") && ffi::load_library(c"libtorch_cuda.so") && tch::Cuda::is_available()
    })
}

/// Lets libtorch choose kernels that give the same numbers each time, for the life of the process; it warns where an
/// operation has none. For CUDA: on the CPU they all do. To be called before the first tensor is on a CUDA device, and
/// before other threads are started.
///
/// # Errors
/// libtorch refuses.
pub fn be_deterministic() -> Result<()> {
    ffi::be_deterministic()
}

/// Whether this CPU multiplies bfloat16 in hardware; without that, bf16 is slower than f32.
#[must_use]
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

/// Autocast for the life of this value, on the thread that made it; put back when dropped, however that happens.
#[derive(Debug)]
pub struct Autocast {
    /// Device type as libtorch numbers it, and the state to go back to; `None` where the format is f32.
    previous: Option<(i32, (bool, i32))>,
    /// The state is the thread's: the value must not leave it.
    not_send: PhantomData<*const ()>,
}

impl Autocast {
    /// Turns autocast to `format` on for `device`; does nothing for f32.
    ///
    /// # Errors
    /// libtorch refuses the format on this device.
    pub fn enter(device: Device, format: Format) -> Result<Self> {
        // Numbers of c10::ScalarType, which tch keeps to itself.
        let scalar_type = match format {
            Format::F32 => return Ok(Self { previous: None, not_send: PhantomData }),
            Format::Fp16 => 5,
            Format::Bf16 => 15,
        };
        let device_type = i32::from(device.is_cuda());
        let previous = ffi::autocast_state(device_type)?;
        ffi::autocast_enter(device_type, scalar_type)?;
        Ok(Self { previous: Some((device_type, previous)), not_send: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        if let Some((device_type, state)) = self.previous
            && let Err(error) = ffi::autocast_leave(device_type, state)
        {
            tracing::error!("autocast could not be put back: {error}");
        }
    }
}

/// One thread for what this thread computes, for the life of this value; other threads keep theirs.
#[derive(Debug)]
pub struct OneThread {
    /// What to go back to; none where libtorch does without OpenMP.
    previous: Option<i32>,
    /// The setting is the thread's: the value must not leave it.
    not_send: PhantomData<*const ()>,
}

impl OneThread {
    /// From here on, this thread computes alone.
    #[must_use]
    pub fn enter() -> Self {
        let previous = ffi::threads_of_this_thread();
        ffi::set_threads_of_this_thread(1);
        Self { previous, not_send: PhantomData }
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        if let Some(threads) = self.previous {
            ffi::set_threads_of_this_thread(threads);
        }
    }
}

/// Adds to the gradients of all that `tensor` was made of, where `gradient` is that of `tensor` itself.
///
/// # Errors
/// Out of memory, or `tensor` has no graph.
pub fn backward(tensor: &Tensor, gradient: &Tensor) -> Result<()> {
    ffi::backward(tensor, gradient)
}

/// Moves the numbers of a tensor to the CPU, for all who share it; its gradient is dropped.
///
/// # Errors
/// The host has no memory for them.
pub fn move_to_cpu(tensor: &Tensor) -> Result<()> {
    ffi::move_to_cpu(&mut tensor.shallow_clone())
}

/// Tests that draw random numbers hold this: libtorch's generator is one for the whole process.
#[cfg(test)]
pub(crate) fn generator_lock() -> std::sync::MutexGuard<'static, ()> {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn product_kind() -> Kind {
        let a = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        a.f_matmul(&a).unwrap().kind()
    }

    #[test]
    fn autocast_holds_while_the_value_lives_and_nests() {
        assert_eq!(product_kind(), Kind::Float);
        let outer = Autocast::enter(Device::Cpu, Format::Bf16).unwrap();
        assert_eq!(product_kind(), Kind::BFloat16);
        drop(Autocast::enter(Device::Cpu, Format::Fp16).unwrap());
        assert_eq!(product_kind(), Kind::BFloat16);
        drop(outer);
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn autocast_is_put_back_when_a_call_fails_inside() {
        let failing = || -> Result<Tensor> {
            let _autocast = Autocast::enter(Device::Cpu, Format::Bf16)?;
            Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).f_matmul(&Tensor::ones([2, 3], (Kind::Float, Device::Cpu)))
        };
        assert!(failing().is_err());
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn backward_goes_on_from_a_gradient_of_any_shape() {
        let x = Tensor::from_slice(&[1.0, 2.0, 3.0]).set_requires_grad(true);
        backward(&(&x * &x), &Tensor::from_slice(&[1.0, 0.5, -1.0])).unwrap();
        assert_eq!(Vec::<f64>::try_from(x.grad()).unwrap(), [2.0, 2.0, -6.0]);
        assert!(backward(&x.detach(), &x).is_err(), "nothing to go back through");
    }

    #[test]
    fn moving_keeps_the_numbers_for_all_who_share_them_and_drops_the_gradient() {
        let x = Tensor::from_slice(&[1.0, 2.0]).set_requires_grad(true);
        let shared = x.shallow_clone();
        x.sum(Kind::Double).backward();
        move_to_cpu(&x).unwrap();
        assert!(!shared.grad().defined());
        shared.sum(Kind::Double).backward();
        assert_eq!(Vec::<f64>::try_from(x.grad()).unwrap(), [1.0, 1.0]);
        assert_eq!(Vec::<f64>::try_from(x.detach()).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn precision_resolves_by_device() {
        assert_eq!(Format::resolve(Precision::Auto, true), Format::Fp16);
        assert_eq!(Format::resolve(Precision::Bf16, true), Format::Bf16);
        assert_eq!(Format::resolve(Precision::Off, true), Format::F32);
        assert_eq!(Format::resolve(Precision::Auto, false) == Format::Bf16, cpu_has_bf16());
        assert_ne!(Format::resolve(Precision::Auto, false), Format::Fp16);
    }

    #[test]
    fn one_thread_holds_for_its_thread_only_and_is_put_back() {
        std::thread::spawn(|| {
            let before = tch::get_num_threads();
            let one_thread = OneThread::enter();
            assert_eq!(tch::get_num_threads(), 1);
            assert_eq!(std::thread::spawn(tch::get_num_threads).join().unwrap(), before);
            drop(one_thread);
            assert_eq!(tch::get_num_threads(), before);
        })
        .join()
        .unwrap();
    }
}
