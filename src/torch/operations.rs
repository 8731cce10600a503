//! Counts of libtorch's operations, through the hook of its profiler, for tests and benches: how often a step launches a
//! kernel or waits for the device. The C++ side is `operations.cpp`.
#![expect(unsafe_code, reason = "this file is the border to C++")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};

use super::ffi::check;
use super::result::Result;

unsafe extern "C" {
    fn dfd_count_start() -> *mut c_char;
    fn dfd_count_stop(sink: extern "C" fn(*mut c_void, *const c_char, usize), context: *mut c_void) -> *mut c_char;
}

/// The number of calls of each operation by its name, such as `aten::copy_`.
pub type Counts = BTreeMap<String, usize>;

/// Does `work`, and counts its operations, those of its backward passes among them. An operation on lists of tensors
/// (`_foreach_`, `_fused_`) counts as one, as it does on a GPU. Other threads may not count meanwhile.
///
/// # Errors
/// They are being counted already.
pub fn count_operations<R>(work: impl FnOnce() -> R) -> Result<(R, Counts)> {
    // SAFETY: no arguments; the shim catches every exception.
    check(unsafe { dfd_count_start() })?;
    let result = work();
    let mut counts = Counts::new();
    // SAFETY: the context is what `take` expects, and outlives the call.
    check(unsafe { dfd_count_stop(take, (&raw mut counts).cast()) })?;
    Ok((result, counts))
}

extern "C" fn take(context: *mut c_void, name: *const c_char, count: usize) {
    // SAFETY: the context is the one that `count_operations` gave, and the name ends with a zero.
    let (counts, name) = unsafe { (&mut *context.cast::<Counts>(), CStr::from_ptr(name)) };
    counts.insert(name.to_string_lossy().into_owned(), count);
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;
    use crate::torch::{foreach, generator_lock};

    #[test]
    fn operations_are_counted_by_name() {
        let _alone = generator_lock();
        let x = Tensor::from_slice(&[1.0, 2.0]);
        let (sum, counts) = count_operations(|| (&x + &x + &x).dot(&x).double_value(&[])).unwrap();
        assert_eq!((sum, counts["aten::dot"], counts["aten::_local_scalar_dense"]), (15.0, 1, 1));
        assert!(counts["aten::add"] >= 2, "{counts:?}");
        let list = [x.copy(), x];
        let (_, counts) = count_operations(|| foreach::zero(&list.each_ref()).unwrap()).unwrap();
        assert_eq!(counts, Counts::from([("aten::_foreach_zero_".to_owned(), 1)]), "a list is one");
        let (_, counts) = count_operations(|| ()).unwrap();
        assert!(!counts.contains_key("aten::dot"), "{counts:?}");
    }
}
