//! A function of a tensor as a TorchScript file. The C++ side is `trace.cpp`. Knows nothing of the network and writes
//! no file; that is `export`.
#![expect(unsafe_code, reason = "this file is the border to C++")]

use std::ffi::{CString, NulError, c_char, c_void};

use tch::{TchError, Tensor};

use super::ffi::check;
use super::result::Result;

/// A tensor that the function uses, under a dotted name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'t> {
    /// The name, as in a PyTorch state dict.
    pub name: &'t str,
    /// The tensor that the function uses itself, not a copy.
    pub tensor: &'t Tensor,
    /// Whether it becomes a parameter; otherwise it becomes a buffer.
    pub is_parameter: bool,
}

/// `DfdNamed` of the shim.
#[repr(C)]
struct RawNamed {
    name: *const c_char,
    tensor: *const c_void,
    is_parameter: bool,
}

unsafe extern "C" {
    fn dfd_trace(
        named: *const RawNamed,
        count: usize,
        input: *const c_void,
        function: extern "C" fn(*mut c_void, *mut c_void, *mut *const c_void) -> bool,
        sink: extern "C" fn(*mut c_void, *const u8, usize),
        context: *mut c_void,
        note_name: *const c_char,
        note: *const c_char,
    ) -> *mut c_char;
}

/// The state that the two callbacks from C++ share.
struct Context<'f> {
    function: &'f mut dyn FnMut(&Tensor) -> Result<[Tensor; 2]>,
    /// The result of the function; C++ reads the tensors in it.
    given: Option<Result<[Tensor; 2]>>,
    file: Vec<u8>,
}

/// Traces `function` with `input` and returns the file of a TorchScript module that does the same with other inputs.
/// Each of `named` becomes a parameter or buffer; other tensors, and all numbers, are constants in it. `note` is the
/// name and the content of an extra file in it.
///
/// # Errors
/// The function fails, or uses a tensor that requires a gradient and is not named.
pub fn traced(
    named: &[Named],
    input: &Tensor,
    note: (&str, &str),
    function: &mut dyn FnMut(&Tensor) -> Result<[Tensor; 2]>,
) -> Result<Vec<u8>> {
    let names: Vec<_> = named.iter().map(|entry| c_text(entry.name)).collect::<Result<_>>()?;
    let raw = named.iter().zip(&names).map(|(entry, name)| RawNamed {
        name: name.as_ptr(),
        tensor: entry.tensor.as_ptr().cast(),
        is_parameter: entry.is_parameter,
    });
    let raw: Vec<_> = raw.collect();
    let (note_name, note) = (c_text(note.0)?, c_text(note.1)?);
    let mut context = Context { function, given: None, file: Vec::new() };
    // SAFETY: all pointers are valid for the call, the shim keeps none of them, and passes the context only
    // to the two functions below, one after the other.
    let message = unsafe {
        dfd_trace(
            raw.as_ptr(),
            raw.len(),
            input.as_ptr().cast(),
            call,
            take,
            (&raw mut context).cast(),
            note_name.as_ptr(),
            note.as_ptr(),
        )
    };
    let recorded = check(message);
    // If the function itself failed, its error is the better message.
    if let Some(Err(error)) = context.given {
        return Err(error);
    }
    recorded.map(|()| context.file)
}

fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|error: NulError| TchError::Torch(error.to_string()))
}

extern "C" fn call(context: *mut c_void, input: *mut c_void, outputs: *mut *const c_void) -> bool {
    // SAFETY: the context is the one that `traced` gave, and the input is a tensor that this function owns.
    let (context, input) = unsafe { (&mut *context.cast::<Context>(), Tensor::from_ptr(input.cast())) };
    let Ok(given) = context.given.insert((context.function)(&input)) else { return false };
    for (i, tensor) in given.iter().enumerate() {
        // SAFETY: there is room for two pointers, and the tensors live in the context until the shim returns.
        unsafe { *outputs.add(i) = tensor.as_ptr().cast() };
    }
    true
}

extern "C" fn take(context: *mut c_void, bytes: *const u8, count: usize) {
    // SAFETY: the context is the one that `traced` gave, and `count` bytes are valid during this call.
    let (context, bytes) = unsafe { (&mut *context.cast::<Context>(), std::slice::from_raw_parts(bytes, count)) };
    context.file = bytes.to_vec();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{CModule, IValue, Kind};

    #[test]
    fn a_recorded_function_does_the_same_with_other_sizes_and_keeps_its_tensors_by_name() {
        let weight = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        let shift = Tensor::from_slice(&[10.0_f32, 20.0]);
        let named = [
            Named { name: "layer.0.weight", tensor: &weight, is_parameter: true },
            Named { name: "shift", tensor: &shift, is_parameter: false },
        ];
        let mut function = |x: &Tensor| Ok([x.f_mul(&weight)?.f_add_(&shift)?, x.f_neg()?]);
        let input = Tensor::ones([1, 2], (Kind::Float, tch::Device::Cpu));
        let file = traced(&named, &input, ("note.txt", "hello"), &mut function).unwrap();
        let module = CModule::load_data(&mut file.as_slice()).unwrap();
        let names: Vec<_> = module.named_parameters().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["layer.0.weight"]);
        let other = Tensor::from_slice(&[1.0_f32, 1.0, 3.0, 4.0, 5.0, 6.0]).view([3, 2]);
        let IValue::Tuple(outputs) = module.forward_is(&[IValue::Tensor(other.shallow_clone())]).unwrap() else {
            panic!("two outputs are a tuple")
        };
        let IValue::Tensor(first) = &outputs[0] else { panic!("of tensors") };
        let numbers = Vec::<f32>::try_from(first.flatten(0, -1).detach()).unwrap();
        assert_eq!(numbers, [11.0, 22.0, 13.0, 28.0, 15.0, 32.0]);
    }

    #[test]
    fn what_fails_while_it_is_recorded_says_so_and_the_next_recording_works() {
        let x = Tensor::from_slice(&[1.0_f32]);
        let mut failing = |x: &Tensor| Ok([x.f_matmul(&Tensor::from_slice(&[1.0_f32, 2.0]))?, x.shallow_clone()]);
        let error = traced(&[], &x, ("n", ""), &mut failing).unwrap_err().to_string();
        assert!(error.contains("size"), "{error}");
        let learning = Tensor::from_slice(&[2.0_f32]).set_requires_grad(true);
        let mut unnamed = |x: &Tensor| Ok([x.f_mul(&learning)?, x.f_neg()?]);
        assert!(traced(&[], &x, ("n", ""), &mut unnamed).is_err(), "a weight would have become a constant");
        assert!(traced(&[], &x, ("n", ""), &mut |x| Ok([x.f_neg()?, x.f_neg()?])).is_ok());
    }
}
