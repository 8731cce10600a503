//! Operations on one tensor that tch lacks: backward from a given gradient, ReLU6 that keeps less for backward, and a
//! move to the CPU in place. Operations on lists of tensors are in `foreach.rs`.

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

/// ReLU6 in place. For backward it keeps its result, which the next layer keeps anyway, where libtorch's own keeps its
/// input.
///
/// # Errors
/// `x` is a leaf of the graph.
pub fn relu6(mut x: Tensor) -> Result<Tensor> {
    ffi::relu6(&mut x)?;
    Ok(x)
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
        move_to_cpu(&x).unwrap();
        assert!(!shared.grad().defined());
        shared.sum(Kind::Double).backward();
        assert_eq!(Vec::<f64>::try_from(x.grad()).unwrap(), [1.0, 1.0]);
        assert_eq!(Vec::<f64>::try_from(x.detach()).unwrap(), [1.0, 2.0]);
    }
}
