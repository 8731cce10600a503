//! Autocast: matrix products and convolutions in half precision, as `torch.autocast` does it. Does not choose
//! the number format; the caller does. The formats are in `format.rs`.

use std::marker::PhantomData;

use tch::Device;

use super::ffi;
use super::format::Format;
use super::result::Result;

/// Autocast for the life of this value, on the thread that made it. Dropping it restores the earlier state.
#[derive(Debug)]
pub struct Autocast {
    /// Device type as libtorch numbers it, and the state to restore (whether autocast was on, and its scalar type);
    /// `None` if the format is f32.
    previous: Option<(i32, (bool, i32))>,
    /// The state belongs to the thread, so the value must stay on it.
    not_send: PhantomData<*const ()>,
}

impl Autocast {
    /// Turns on autocast to `format` for `device`; does nothing for f32, also inside another autocast.
    ///
    /// # Errors
    /// libtorch refuses the format on this device.
    pub fn enter(device: Device, format: Format) -> Result<Self> {
        // Numbers of c10::ScalarType, which tch does not export.
        let scalar_type = match format {
            Format::F32 => return Ok(Self { previous: None, not_send: PhantomData }),
            Format::Fp16 => 5,
            Format::Bf16 => 15,
        };
        // Numbers of c10::DeviceType: 0 is the CPU, 1 is CUDA.
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
            tracing::error!("autocast could not be restored: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

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
}
