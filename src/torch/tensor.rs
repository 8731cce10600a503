//! Operations on one tensor that tch lacks: backward from a given gradient, and a move to the CPU in place. Operations
//! on lists of tensors are in `foreach.rs`.

use tch::Tensor;

use super::ffi;
use super::result::Result;

/// Backpropagates `gradient`, the gradient of `tensor`, and accumulates the gradients of the leaves of its graph.
///
/// # Errors
/// Out of memory, or `tensor` has no graph.
pub fn backward(tensor: &Tensor, gradient: &Tensor) -> Result<()> {
    ffi::backward(tensor, gradient)
}

/// Moves a tensor to the CPU in place, for all handles that share it; its gradient is dropped.
///
/// # Errors
/// The host has no memory for them.
pub fn move_to_cpu(tensor: &Tensor) -> Result<()> {
    ffi::move_to_cpu(&mut tensor.shallow_clone())
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

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
}
