//! libtorch's kernels over lists of tensors: one call updates all weights. The C++ side is `foreach.cpp`.
//!
//! All of them change tensors in place and allocate only before they change the first one, so that a call that fails
//! for lack of memory has changed nothing. This file keeps no state of an optimizer; that is `optim`.
#![expect(unsafe_code, reason = "this file is the border to C++")]

use std::ffi::{c_char, c_void};

use tch::Tensor;

use super::ffi::check;
use super::result::Result;

/// Tensors `begin..end` of lists that belong together share these settings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Span {
    /// The index of the first tensor.
    pub begin: usize,
    /// The index after that of the last tensor.
    pub end: usize,
    /// The learning rate of this update.
    pub learning_rate: f64,
    /// The weight decay of this update.
    pub weight_decay: f64,
}

/// The tensors of an update of Adam or AdamW: one entry per parameter in each list.
#[derive(Debug, Default)]
pub struct AdamLists<'t> {
    /// The weights.
    pub parameters: Vec<&'t Tensor>,
    /// Their gradients.
    pub gradients: Vec<&'t Tensor>,
    /// Running means of the gradients.
    pub exp_avgs: Vec<&'t Tensor>,
    /// Running means of their squares.
    pub exp_avg_sqs: Vec<&'t Tensor>,
}

/// The settings of an update of Adam or AdamW that are the same for all parameters.
#[derive(Debug, Clone, Copy)]
pub struct AdamSettings {
    /// Share of the old mean of gradients that is kept.
    pub beta1: f64,
    /// Share of the old mean of squares that is kept.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Weight decay moves the weights directly (AdamW) instead of through the gradient (Adam).
    pub decoupled: bool,
}

type List = *const *const c_void;

unsafe extern "C" {
    fn dfd_fused_adam(
        parameters: List,
        gradients: List,
        exp_avgs: List,
        exp_avg_sqs: List,
        step: *const c_void,
        spans: *const Span,
        span_count: usize,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        decoupled: bool,
    ) -> *mut c_char;
    fn dfd_fused_sgd(
        parameters: List,
        gradients: List,
        buffers: List,
        spans: *const Span,
        span_count: usize,
        momentum: f64,
    ) -> *mut c_char;
    fn dfd_global_norm(tensors: List, count: usize, norm: *mut *mut c_void) -> *mut c_char;
    fn dfd_scale(tensors: List, count: usize, factor: f64) -> *mut c_char;
    fn dfd_unscale(tensors: List, count: usize, found_inf: *const c_void, inverse_scale: *const c_void) -> *mut c_char;
    fn dfd_zero(tensors: List, count: usize) -> *mut c_char;
    fn dfd_copy(tensors: List, sources: List, count: usize) -> *mut c_char;
    fn dfd_add(tensors: List, summands: List, count: usize) -> *mut c_char;
    fn dfd_lerp(tensors: List, ends: List, count: usize, weight: f64) -> *mut c_char;
}

/// Pointers to tensors, valid as long as the tensors live.
fn pointers(tensors: &[&Tensor]) -> Vec<*const c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast()).collect()
}

fn check_spans(spans: &[Span], lengths: &[usize]) {
    let fits = |span: &Span| lengths.iter().all(|length| span.begin <= span.end && span.end <= *length);
    assert!(spans.iter().all(fits), "a span leaves its list");
}

/// One update of Adam or AdamW by libtorch's fused kernel. `step` holds the number of this update, counted from 1, as
/// float32 on the parameters' device. Tensors of one parameter must have the same strides.
///
/// # Errors
/// libtorch has no such kernel for these tensors, or no memory for the lists; then nothing has changed.
pub fn fused_adam(lists: &AdamLists, step: &Tensor, spans: &[Span], settings: AdamSettings) -> Result<()> {
    let lists = [&lists.parameters, &lists.gradients, &lists.exp_avgs, &lists.exp_avg_sqs].map(|list| pointers(list));
    check_spans(spans, &lists.each_ref().map(Vec::len));
    let [parameters, gradients, exp_avgs, exp_avg_sqs] = &lists;
    let AdamSettings { beta1, beta2, epsilon, decoupled } = settings;
    // SAFETY: every span lies within every list; the tensors live as long as the call, which keeps none of the
    // pointers.
    check(unsafe {
        dfd_fused_adam(
            parameters.as_ptr(),
            gradients.as_ptr(),
            exp_avgs.as_ptr(),
            exp_avg_sqs.as_ptr(),
            step.as_ptr().cast(),
            spans.as_ptr(),
            spans.len(),
            beta1,
            beta2,
            epsilon,
            decoupled,
        )
    })
}

/// One update of SGD with momentum by libtorch's fused kernel. Tensors of one parameter must have the same strides.
///
/// # Errors
/// libtorch has no such kernel for these tensors, or no memory for the lists; then nothing has changed.
pub fn fused_sgd(
    parameters: &[&Tensor],
    gradients: &[&Tensor],
    buffers: &[&Tensor],
    spans: &[Span],
    momentum: f64,
) -> Result<()> {
    check_spans(spans, &[parameters.len(), gradients.len(), buffers.len()]);
    let [parameters, gradients, buffers] = [parameters, gradients, buffers].map(pointers);
    // SAFETY: every span lies within every list; the tensors live as long as the call, which keeps none of the
    // pointers.
    check(unsafe {
        dfd_fused_sgd(parameters.as_ptr(), gradients.as_ptr(), buffers.as_ptr(), spans.as_ptr(), spans.len(), momentum)
    })
}

/// L2 norm of all tensors, at least one, as if they were one: a number on their device.
///
/// # Errors
/// No memory for one number per tensor, or no tensor.
pub fn global_norm(tensors: &[&Tensor]) -> Result<Tensor> {
    let (list, mut norm) = (pointers(tensors), std::ptr::null_mut());
    // SAFETY: the list has as many tensors as its count, which live as long as the call; the shim gives a new tensor.
    check(unsafe { dfd_global_norm(list.as_ptr(), list.len(), &raw mut norm) })?;
    // SAFETY: the pointer is the new at::Tensor of a call that did not fail.
    Ok(unsafe { Tensor::from_ptr(norm.cast()) })
}

/// Multiplies all tensors by `factor`.
///
/// # Errors
/// No memory for the list.
pub fn scale(tensors: &[&Tensor], factor: f64) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    let list = pointers(tensors);
    // SAFETY: the list has as many tensors as its count, which live as long as the call.
    check(unsafe { dfd_scale(list.as_ptr(), list.len(), factor) })
}

/// Multiplies all tensors by `inverse_scale` and sets `found_inf` to 1 if a number was not finite; both are float32
/// of one element.
///
/// # Errors
/// No memory for the list.
pub fn unscale(tensors: &[&Tensor], found_inf: &Tensor, inverse_scale: &Tensor) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    let list = pointers(tensors);
    // SAFETY: the list has as many tensors as its count, which live as long as the call, as do the two others.
    check(unsafe { dfd_unscale(list.as_ptr(), list.len(), found_inf.as_ptr().cast(), inverse_scale.as_ptr().cast()) })
}

/// Sets all numbers to 0.
///
/// # Errors
/// No memory for the list.
pub fn zero(tensors: &[&Tensor]) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    let list = pointers(tensors);
    // SAFETY: the list has as many tensors as its count, which live as long as the call.
    check(unsafe { dfd_zero(list.as_ptr(), list.len()) })
}

/// Copies each of `sources` into its counterpart in `tensors`.
///
/// # Errors
/// Shapes that do not fit, or no memory for the lists.
pub fn copy(tensors: &[&Tensor], sources: &[&Tensor]) -> Result<()> {
    in_pairs(tensors, sources, dfd_copy)
}

/// Adds each of `summands` to its counterpart in `tensors`.
///
/// # Errors
/// Shapes that do not fit, or no memory for the lists.
pub fn add(tensors: &[&Tensor], summands: &[&Tensor]) -> Result<()> {
    in_pairs(tensors, summands, dfd_add)
}

type PairCall = unsafe extern "C" fn(List, List, usize) -> *mut c_char;

fn in_pairs(tensors: &[&Tensor], others: &[&Tensor], call: PairCall) -> Result<()> {
    assert_eq!(tensors.len(), others.len(), "one counterpart a tensor");
    if tensors.is_empty() {
        return Ok(());
    }
    let [tensors, others] = [tensors, others].map(pointers);
    // SAFETY: both lists have as many tensors as their count, which live as long as the call.
    check(unsafe { call(tensors.as_ptr(), others.as_ptr(), tensors.len()) })
}

/// Moves each of `tensors` by `weight` of the way to its counterpart in `ends`.
///
/// # Errors
/// No memory for the lists.
pub fn lerp(tensors: &[&Tensor], ends: &[&Tensor], weight: f64) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    assert_eq!(tensors.len(), ends.len(), "one end a tensor");
    let [tensors, ends] = [tensors, ends].map(pointers);
    // SAFETY: both lists have as many tensors as their count, which live as long as the call.
    check(unsafe { dfd_lerp(tensors.as_ptr(), ends.as_ptr(), tensors.len(), weight) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_zeroed_copied_and_added_tensor_by_tensor() {
        let list = |numbers: [f32; 3]| [Tensor::from_slice(&numbers[..2]), Tensor::from_slice(&numbers[2..])];
        let numbers = |tensors: &[Tensor; 2]| {
            tensors.iter().flat_map(|tensor| Vec::<f32>::try_from(tensor).unwrap()).collect::<Vec<_>>()
        };
        let (sums, others) = (list([1.0, 2.0, 3.0]), list([10.0, 20.0, 30.0]));
        let (to, from) = (sums.each_ref(), others.each_ref());
        add(&to, &from).unwrap();
        assert_eq!(numbers(&sums), [11.0, 22.0, 33.0]);
        copy(&to, &from).unwrap();
        assert_eq!(numbers(&sums), [10.0, 20.0, 30.0]);
        zero(&to).unwrap();
        assert_eq!((numbers(&sums), numbers(&others)), (vec![0.0; 3], vec![10.0, 20.0, 30.0]));
        assert!(copy(&to, &[from[1], from[0]]).is_err(), "two numbers into one");
        assert!(zero(&[]).is_ok() && add(&[], &[]).is_ok());
    }
}
