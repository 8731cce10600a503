//! The values of tensors as bytes. Knows nothing of file formats.

use tch::{Device, Tensor};

use crate::torch::Result;

/// The values of a float32 tensor in row-major order, whatever its strides.
pub(super) fn float32_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let values = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; values.numel() * 4];
    values.f_copy_data_u8(&mut bytes, values.numel())?;
    Ok(bytes)
}
