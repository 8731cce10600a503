//! Operations on one tensor that tch lacks: backward from a given gradient, ReLU6 that keeps less for backward, a
//! depthwise convolution whose backward is fast on the CPU, and a move to another device in place. Operations on lists of
//! tensors are in `foreach.rs`.

use tch::{Device, Kind, TchError, Tensor};

use super::allocator::cuda_index;
use super::cuda::cuda_available;
use super::ffi;
use super::result::Result;

/// Backpropagates `gradient`, the gradient of `tensor`, and accumulates the gradients of the leaves of its graph.
///
/// # Errors
/// Out of memory, or `tensor` has no graph.
pub fn backward(tensor: &Tensor, gradient: &Tensor) -> Result<()> {
    ffi::backward(tensor, gradient)
}

/// ReLU6 in place. For backward it keeps its result, which the next layer keeps anyway, where libtorch's own keeps its
/// input.
///
/// # Errors
/// `x` is a leaf of the graph.
pub fn relu6(mut x: Tensor) -> Result<Tensor> {
    ffi::relu6(&mut x)?;
    Ok(x)
}

/// The convolution of each channel of `x_nchw` with its own filter of `weight`, `[C, 1, K, K]`. On the CPU its backward
/// is several times faster than libtorch's for 5x5 filters, and in bfloat16 at stride 2.
///
/// # Errors
/// Out of memory, or shapes that do not fit.
pub fn depthwise_convolution(x_nchw: &Tensor, weight: &Tensor, stride: i64, padding: i64) -> Result<Tensor> {
    let mut y_nchw = x_nchw.shallow_clone();
    ffi::depthwise_convolution(&mut y_nchw, weight, stride, padding)?;
    Ok(y_nchw)
}

/// A u8 tensor on the CPU of this shape, made of the bytes of all `parts`, one after the other: the only copy on the
/// way from clips to a tensor. `pinned` puts it into page-locked memory, from which a copy to a GPU need not be waited
/// for.
///
/// # Errors
/// Out of memory, another number of bytes than the shape has, or page-locked memory without CUDA.
pub fn tensor_of_bytes(parts: &[&[u8]], shape: &[i64], pinned: bool) -> Result<Tensor> {
    let mut tensor = if pinned { pinned_bytes(shape)? } else { Tensor::f_empty(shape, (Kind::Uint8, Device::Cpu))? };
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    if bytes != tensor.numel() {
        return Err(TchError::Shape(format!("{bytes} bytes for a tensor of shape {shape:?}")));
    }
    ffi::fill_bytes(&mut tensor, parts);
    #[cfg(test)]
    COPIED_BYTES.set(COPIED_BYTES.get() + bytes);
    Ok(tensor)
}

/// An uninitialised u8 tensor in page-locked memory of the host.
fn pinned_bytes(shape: &[i64]) -> Result<Tensor> {
    if !cuda_available() {
        return Err(TchError::Torch("page-locked memory is CUDA's, and CUDA does not work here".into()));
    }
    ffi::pinned_bytes(shape)
}

/// The numbers of all tensors, which are on one device, one after the other. The device is waited for once.
///
/// # Errors
/// Out of memory, or the device failed.
pub fn read(tensors: &[Tensor]) -> Result<Vec<f64>> {
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    #[cfg(test)]
    READS.set(READS.get() + 1);
    let flat = tensors.iter().map(|tensor| tensor.f_detach()?.f_to_kind(Kind::Double)?.f_flatten(0, -1));
    let all = Tensor::f_cat(&flat.collect::<Result<Vec<_>>>()?, 0)?;
    Vec::<f64>::try_from(all.f_to_device(Device::Cpu)?)
}

#[cfg(test)]
thread_local! {
    static READS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    static COPIED_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How often this thread has waited in [`read`].
#[cfg(test)]
pub(crate) fn reads() -> usize {
    READS.get()
}

/// How many bytes this thread has copied in [`tensor_of_bytes`].
#[cfg(test)]
pub(crate) fn copied_bytes() -> usize {
    COPIED_BYTES.get()
}

/// A small tensor of the host on a device. The caller does not wait for the copy.
///
/// # Errors
/// Out of memory.
pub fn send(tensor: &Tensor, device: Device) -> Result<Tensor> {
    match device {
        Device::Cuda(_) => ffi::pin(tensor)?.f_to_device_(device, tensor.kind(), true, false),
        _ => tensor.f_to_device(device),
    }
}

/// Moves a tensor to a device in place, for all handles that share it; its gradient is dropped.
///
/// # Errors
/// The device has no memory for it; then it is unchanged.
pub fn move_to(tensor: &Tensor, device: Device) -> Result<()> {
    ffi::move_to(&mut tensor.shallow_clone(), cuda_index(device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::{Autocast, Format};

    #[test]
    fn bytes_become_a_tensor_in_order_and_as_many_as_it_has() {
        let tensor = tensor_of_bytes(&[&[1, 2], &[], &[3, 4, 5, 6]], &[2, 3], false).unwrap();
        assert_eq!((tensor.kind(), tensor.size()), (Kind::Uint8, vec![2, 3]));
        assert_eq!(Vec::<u8>::try_from(tensor.flatten(0, -1)).unwrap(), [1, 2, 3, 4, 5, 6]);
        for parts in [&[&[1u8, 2][..]][..], &[&[1u8; 7][..]][..], &[]] {
            assert!(tensor_of_bytes(parts, &[2, 3], false).is_err(), "{parts:?}");
        }
        assert_eq!(tensor_of_bytes(&[], &[0, 3], false).unwrap().numel(), 0);
    }

    #[test]
    fn page_locked_memory_without_cuda_is_an_error_that_says_so() {
        match tensor_of_bytes(&[&[1, 2]], &[2], true) {
            Ok(tensor) => assert!(cuda_available() && Vec::<u8>::try_from(tensor).unwrap() == [1, 2]),
            Err(error) => assert!(!cuda_available() && error.to_string().contains("CUDA does not work"), "{error}"),
        }
    }

    #[test]
    fn numbers_of_several_tensors_are_read_together() {
        let tensors = [Tensor::from_slice(&[1.5_f32, 2.0]), Tensor::from(3_i64), Tensor::from_slice(&[0.1_f64])];
        assert_eq!(read(&tensors).unwrap(), [1.5, 2.0, 3.0, 0.1]);
        assert!(read(&[]).unwrap().is_empty());
    }

    /// Both kinds of filters and strides, an even and an odd size, channels that are a multiple of 16 and not, both
    /// orders in memory, and both formats; more images than one thread takes.
    #[test]
    fn a_depthwise_convolution_has_the_numbers_and_gradients_of_libtorchs() {
        let _alone = crate::torch::generator_lock();
        tch::manual_seed(3);
        for (channels, [height, width], filter, stride, padding) in [
            (32, [9, 10], 5, 1, 2),
            (48, [11, 8], 5, 2, 0),
            (16, [12, 7], 3, 2, 1),
            (24, [9, 9], 5, 2, 2),
            (32, [9, 9], 3, 1, 1),
        ] {
            let options = (Kind::Float, tch::Device::Cpu);
            let x = Tensor::randn([6, height, width, channels], options).permute([0, 3, 1, 2]);
            let weight = Tensor::randn([channels, 1, filter, filter], options);
            for (format, kind) in [(Format::F32, Kind::Float), (Format::Bf16, Kind::BFloat16)] {
                for nhwc in [true, false] {
                    let x = x.to_kind(kind);
                    let x = if nhwc { x } else { x.contiguous() };
                    let run = |kind: Option<Kind>, conv: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
                        let cast = |tensor: &Tensor| kind.map_or_else(|| tensor.copy(), |kind| tensor.to_kind(kind));
                        let (x, weight) = (cast(&x).set_requires_grad(true), cast(&weight).set_requires_grad(true));
                        let y = conv(&x, &weight);
                        let gradient = Tensor::arange(y.numel() as i64, options).sin().view_as(&y).to_kind(y.kind());
                        backward(&y, &gradient).unwrap();
                        [y.detach(), x.grad(), weight.grad()].map(|tensor| tensor.to_kind(Kind::Double))
                    };
                    let found = run(None, &|x, weight| {
                        let _autocast = Autocast::enter(tch::Device::Cpu, format).unwrap();
                        depthwise_convolution(x, weight, stride, padding).unwrap()
                    });
                    let expected = run(Some(Kind::Double), &|x, weight| {
                        x.conv2d(weight, None::<Tensor>, [stride; 2], [padding; 2], [1, 1], channels)
                    });
                    let tolerance = if format == Format::F32 { 1e-6 } else { 1e-2 };
                    for (name, (found, expected)) in ["y", "x", "weight"].into_iter().zip(found.iter().zip(&expected)) {
                        let difference = (found - expected).norm().double_value(&[]);
                        let norm = expected.norm().double_value(&[]);
                        let what =
                            format!("{name}, {channels} x {height} x {width}, {filter}, {stride}, {kind:?}, {nhwc}");
                        assert!(difference < tolerance * norm, "{what}: {difference} of {norm}");
                    }
                }
            }
        }
    }

    #[test]
    fn backward_goes_on_from_a_gradient_of_any_shape() {
        let x = Tensor::from_slice(&[1.0, 2.0, 3.0]).set_requires_grad(true);
        backward(&(&x * &x), &Tensor::from_slice(&[1.0, 0.5, -1.0])).unwrap();
        assert_eq!(Vec::<f64>::try_from(x.grad()).unwrap(), [2.0, 2.0, -6.0]);
        assert!(backward(&x.detach(), &x).is_err(), "nothing to go back through");
    }

    #[test]
    fn relu6_works_in_place_with_the_numbers_and_gradients_of_libtorchs() {
        let leaf = || Tensor::from_slice(&[-1.0_f32, 0.0, 1e-9, 2.75, 2.999_999, 3.0, 7.0]).set_requires_grad(true);
        let weights = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let run = |relu6: fn(Tensor) -> Tensor| {
            let x = leaf();
            let doubled = &x * 2.0;
            let data = doubled.data_ptr();
            let y = relu6(doubled);
            (&y * &weights).sum(Kind::Float).backward();
            (Vec::<f32>::try_from(y.detach()).unwrap(), Vec::<f32>::try_from(x.grad()).unwrap(), y.data_ptr() == data)
        };
        let (values, gradients, in_place) = run(|x| relu6(x).unwrap());
        let (expected_values, expected_gradients, _) = run(|x| x.relu6());
        assert_eq!((&values, &gradients, in_place), (&expected_values, &expected_gradients, true));
        assert_eq!(gradients, [0.0, 0.0, 6.0, 8.0, 10.0, 0.0, 0.0], "what doubles to a number between 0 and 6");
        assert!(relu6(leaf()).is_err(), "backward needs the numbers of a leaf");
        let _no_grad = tch::no_grad_guard();
        assert_eq!(Vec::<f32>::try_from(relu6(leaf().detach()).unwrap()).unwrap()[5..], [3.0, 6.0]);
    }

    #[test]
    fn moving_keeps_the_numbers_for_all_who_share_them_and_drops_the_gradient() {
        let x = Tensor::from_slice(&[1.0, 2.0]).set_requires_grad(true);
        let shared = x.shallow_clone();
        x.sum(Kind::Double).backward();
        move_to(&x, Device::Cpu).unwrap();
        assert!(move_to(&x, Device::Cuda(99)).is_err());
        assert!(!shared.grad().defined());
        shared.sum(Kind::Double).backward();
        assert_eq!(Vec::<f64>::try_from(x.grad()).unwrap(), [1.0, 1.0]);
        assert_eq!(Vec::<f64>::try_from(x.detach()).unwrap(), [1.0, 2.0]);
    }
}
