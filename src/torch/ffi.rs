//! Declarations of `shim.cpp`, `history.cpp`, `relu6.cpp` and `depthwise.cpp`, and of the few C library calls, each
//! behind a safe function. Only the calls: types for the rest of the program are in the other files of this room. Calls
//! with lists of tensors are in `foreach.rs`, the tracing of functions in `trace.rs`.
#![expect(unsafe_code, reason = "this file is the border to C and C++")]

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::{Device, Kind, TchError, Tensor};

unsafe extern "C" {
    fn dfd_free_message(message: *mut c_char);
    fn dfd_torch_version() -> *const c_char;
    fn dfd_autocast_get(device_type: c_int, enabled: *mut bool, scalar_type: *mut c_int) -> *mut c_char;
    fn dfd_autocast_enter(device_type: c_int, scalar_type: c_int) -> *mut c_char;
    fn dfd_autocast_leave(device_type: c_int, enabled: bool, scalar_type: c_int) -> *mut c_char;
    fn dfd_be_deterministic() -> *mut c_char;
    fn dfd_allow_tf32(allow: bool) -> *mut c_char;
    fn dfd_detect_anomaly(detect: bool) -> *mut c_char;
    fn dfd_backward(tensor: *const c_void, gradient: *const c_void) -> *mut c_char;
    fn dfd_relu6(tensor: *mut c_void) -> *mut c_char;
    fn dfd_depthwise_convolution(x: *mut c_void, weight: *const c_void, stride: i64, padding: i64) -> *mut c_char;
    fn dfd_move_to(tensor: *mut c_void, device_type: c_int, device_index: c_int) -> *mut c_char;
    fn dfd_empty_cache() -> *mut c_char;
    fn dfd_read_allocator(device_index: c_int, stats: *mut RawAllocatorStats) -> *mut c_char;
    fn dfd_reset_peaks(device_index: c_int) -> *mut c_char;
    fn dfd_device_memory(device_index: c_int, free_bytes: *mut u64, total_bytes: *mut u64) -> *mut c_char;
    fn dfd_limit_device_memory(fraction: f64) -> *mut c_char;
    fn dfd_use_expandable_segments() -> *mut c_char;
    fn dfd_has_expandable_segments(has: *mut bool) -> *mut c_char;
    fn dfd_pin(tensor: *mut c_void) -> *mut c_char;
    fn dfd_pinned_bytes(tensor: *mut c_void, shape: *const i64, dimensions: usize) -> *mut c_char;
    fn dfd_record_allocator(max_entries: usize) -> *mut c_char;
    fn dfd_allocator_snapshot(bytes: *mut *mut c_char, length: *mut usize) -> *mut c_char;
}

/// `dfd_allocator_stats` of the shim.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawAllocatorStats {
    pub allocated_bytes: i64,
    pub allocated_peak_bytes: i64,
    pub reserved_bytes: i64,
    pub reserved_peak_bytes: i64,
    pub active_bytes: i64,
    pub active_peak_bytes: i64,
    pub alloc_retries: i64,
    pub ooms: i64,
}

/// Turns a message from the shim into a result and frees it.
pub(super) fn check(message: *mut c_char) -> Result<(), TchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns null or a NUL-terminated message that it frees itself, here and nowhere else.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        dfd_free_message(message);
        text
    };
    Err(TchError::Torch(text))
}

/// Version of the libtorch that the shim was compiled with.
pub(super) fn torch_version() -> String {
    // SAFETY: a string literal, NUL-terminated and never freed.
    unsafe { CStr::from_ptr(dfd_torch_version()) }.to_string_lossy().into_owned()
}

/// Whether autocast is on for a device type in this thread, and its scalar type.
pub(super) fn autocast_state(device_type: c_int) -> Result<(bool, c_int), TchError> {
    let (mut enabled, mut scalar_type) = (false, 0);
    // SAFETY: both pointers are valid for the call and the shim keeps neither.
    check(unsafe { dfd_autocast_get(device_type, &raw mut enabled, &raw mut scalar_type) })?;
    Ok((enabled, scalar_type))
}

/// Turns autocast on in this thread.
pub(super) fn autocast_enter(device_type: c_int, scalar_type: c_int) -> Result<(), TchError> {
    // SAFETY: plain values; the shim catches every exception.
    check(unsafe { dfd_autocast_enter(device_type, scalar_type) })
}

/// Restores an earlier state of autocast in this thread.
pub(super) fn autocast_leave(device_type: c_int, state: (bool, c_int)) -> Result<(), TchError> {
    // SAFETY: plain values; the shim catches every exception.
    check(unsafe { dfd_autocast_leave(device_type, state.0, state.1) })
}

/// Makes libtorch choose deterministic kernels.
pub(super) fn be_deterministic() -> Result<(), TchError> {
    // SAFETY: no arguments; the shim catches every exception.
    check(unsafe { dfd_be_deterministic() })
}

/// Sets an environment variable, unless the user has.
pub(super) fn set_unless_set(name: &str, value: &str) {
    if std::env::var_os(name).is_none() {
        // SAFETY: no other thread reads the environment meanwhile: placement is decided before this program starts any
        // thread.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Sets whether float32 may be rounded to TF32 on CUDA.
pub(super) fn allow_tf32(allow: bool) -> Result<(), TchError> {
    // SAFETY: a plain value; the shim catches every exception.
    check(unsafe { dfd_allow_tf32(allow) })
}

/// Sets whether backward fails at the first NaN.
pub(super) fn detect_anomaly(detect: bool) -> Result<(), TchError> {
    // SAFETY: a plain value; the shim catches every exception.
    check(unsafe { dfd_detect_anomaly(detect) })
}

/// Backward from `tensor`, whose own gradient is `gradient`.
pub(super) fn backward(tensor: &Tensor, gradient: &Tensor) -> Result<(), TchError> {
    // SAFETY: both point to the at::Tensor that tch owns for as long as the references live; the shim changes neither.
    check(unsafe { dfd_backward(tensor.as_ptr().cast(), gradient.as_ptr().cast()) })
}

/// Writes `parts` one after the other into a u8 tensor on the CPU that was just made, up to its end.
pub(super) fn fill_bytes(tensor: &mut Tensor, parts: &[&[u8]]) {
    assert!(tensor.device() == Device::Cpu && tensor.kind() == Kind::Uint8 && tensor.is_contiguous());
    if tensor.numel() == 0 {
        // Its pointer is null, which no slice may have.
        return;
    }
    // SAFETY: a contiguous u8 tensor on the CPU is so many bytes, and it is borrowed exclusively.
    let mut rest = unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), tensor.numel()) };
    for part in parts {
        let (here, after) = rest.split_at_mut(part.len().min(rest.len()));
        here.copy_from_slice(&part[..here.len()]);
        rest = after;
    }
}

/// A copy of a tensor of the host in page-locked memory. tch's own passes a device, of which libtorch warns each time.
pub(super) fn pin(tensor: &Tensor) -> Result<Tensor, TchError> {
    let mut copy = tensor.f_detach()?;
    // SAFETY: the handle is a live `at::Tensor`, in whose place the shim puts another one.
    check(unsafe { dfd_pin(copy.as_mut_ptr().cast()) })?;
    Ok(copy)
}

/// A u8 tensor of this shape in page-locked memory of the host.
pub(super) fn pinned_bytes(shape: &[i64]) -> Result<Tensor, TchError> {
    let mut tensor = Tensor::f_empty([0], (Kind::Uint8, Device::Cpu))?;
    // SAFETY: the handle is a live `at::Tensor`, in whose place the shim puts another one; the shape lives as long as
    // the call, and has so many numbers.
    check(unsafe { dfd_pinned_bytes(tensor.as_mut_ptr().cast(), shape.as_ptr(), shape.len()) })?;
    Ok(tensor)
}

/// Replaces the storage of a tensor by a copy on the CPU, or on the GPU with an index.
pub(super) fn move_to(tensor: &mut Tensor, gpu: Option<c_int>) -> Result<(), TchError> {
    let (device_type, index) = gpu.map_or((0, -1), |index| (1, index));
    // SAFETY: points to the at::Tensor that tch owns; it stays the same tensor, only its storage is replaced.
    check(unsafe { dfd_move_to(tensor.as_mut_ptr().cast(), device_type, index) })
}

/// Applies ReLU6 in place.
pub(super) fn relu6(tensor: &mut Tensor) -> Result<(), TchError> {
    // SAFETY: the handle is a live `at::Tensor`; the shim puts another one in its place, and keeps none.
    check(unsafe { dfd_relu6(tensor.as_mut_ptr().cast()) })
}

/// Replaces `x` by its depthwise convolution with `weight`.
pub(super) fn depthwise_convolution(
    x: &mut Tensor,
    weight: &Tensor,
    stride: i64,
    padding: i64,
) -> Result<(), TchError> {
    // SAFETY: both handles are live `at::Tensor`s; the shim puts another one in the place of `x`, and keeps none.
    check(unsafe { dfd_depthwise_convolution(x.as_mut_ptr().cast(), weight.as_ptr().cast(), stride, padding) })
}

/// Empties the accelerator's allocator cache.
pub(super) fn empty_cache() -> Result<(), TchError> {
    // SAFETY: no arguments; the shim catches every exception.
    check(unsafe { dfd_empty_cache() })
}

/// Statistics of the caching allocator of an accelerator.
pub(super) fn read_allocator(device_index: c_int) -> Result<RawAllocatorStats, TchError> {
    let mut stats = RawAllocatorStats::default();
    // SAFETY: the struct has the shim's layout, the pointer is valid for the call and the shim does not keep it.
    check(unsafe { dfd_read_allocator(device_index, &raw mut stats) })?;
    Ok(stats)
}

/// Resets the allocator's peaks to the present values.
pub(super) fn reset_peaks(device_index: c_int) -> Result<(), TchError> {
    // SAFETY: a plain value; the shim catches every exception.
    check(unsafe { dfd_reset_peaks(device_index) })
}

/// Free and installed bytes of an accelerator.
pub(super) fn device_memory(device_index: c_int) -> Result<(u64, u64), TchError> {
    let (mut free_bytes, mut total_bytes) = (0, 0);
    // SAFETY: both pointers are valid for the call and the shim keeps neither.
    check(unsafe { dfd_device_memory(device_index, &raw mut free_bytes, &raw mut total_bytes) })?;
    Ok((free_bytes, total_bytes))
}

/// Caps the share of a device's memory that this process may take.
pub(super) fn limit_device_memory(fraction: f64) -> Result<(), TchError> {
    // SAFETY: a plain value; the shim catches every exception.
    check(unsafe { dfd_limit_device_memory(fraction) })
}

/// Lets the allocators extend their segments.
pub(super) fn use_expandable_segments() -> Result<(), TchError> {
    // SAFETY: no arguments; the shim catches every exception.
    check(unsafe { dfd_use_expandable_segments() })
}

/// Whether the allocators extend their segments.
pub(super) fn has_expandable_segments() -> bool {
    let mut has = false;
    // SAFETY: the pointer is valid for the call and the shim does not keep it.
    check(unsafe { dfd_has_expandable_segments(&raw mut has) }).is_ok() && has
}

/// Records the last `max_entries` events of CUDA's allocators from here on.
pub(super) fn record_allocator(max_entries: usize) -> Result<(), TchError> {
    // SAFETY: a plain value; the shim catches every exception.
    check(unsafe { dfd_record_allocator(max_entries) })
}

/// What was recorded of CUDA's allocators, as a pickle.
pub(super) fn allocator_snapshot() -> Result<Vec<u8>, TchError> {
    let (mut bytes, mut length) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are valid for the call and the shim keeps neither.
    check(unsafe { dfd_allocator_snapshot(&raw mut bytes, &raw mut length) })?;
    // SAFETY: without a message, the shim has left so many bytes from malloc, which nobody else frees.
    unsafe {
        let pickle = std::slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec();
        libc::free(bytes.cast());
        Ok(pickle)
    }
}

/// Releases free pages of the C heap to the system.
pub(super) fn trim_heap() {
    // SAFETY: malloc_trim has no preconditions.
    unsafe { libc::malloc_trim(0) };
}

/// Loads a shared library for the life of the process. Returns whether it was found.
pub(super) fn load_library(name: &CStr) -> bool {
    // SAFETY: the name is NUL-terminated; the handle is never closed, on purpose. Constructors of
    // libtorch_cuda register kernels and access nothing of this program.
    unsafe { !libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null() }
}

/// Domain, bus and device of a CUDA device on the PCI bus; `None` without CUDA.
pub(super) fn pci_place(device_index: c_int) -> Option<String> {
    type GetBusId = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    let mut text = [0; 32];
    // SAFETY: the name is NUL-terminated. The symbol is that of CUDA's runtime, which `libtorch_cuda` loads for all;
    // CUDA's documentation defines its signature, and that it writes at most so many bytes with a NUL at the end.
    let status = unsafe {
        let symbol = libc::dlsym(libc::RTLD_DEFAULT, c"cudaDeviceGetPCIBusId".as_ptr());
        let get = std::mem::transmute::<*mut libc::c_void, Option<GetBusId>>(symbol)?;
        get(text.as_mut_ptr(), text.len() as c_int, device_index)
    };
    if status != 0 {
        return None;
    }
    let bytes: Vec<u8> = text.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    String::from_utf8(bytes).ok()
}

/// Major and minor compute capability of a CUDA device; `None` without CUDA.
pub(super) fn compute_capability(device_index: c_int) -> Option<[c_int; 2]> {
    // Numbers of cudaDevAttrComputeCapabilityMajor and Minor.
    let attribute = |number| device_attribute(c"cudaDeviceGetAttribute", number, device_index);
    Some([attribute(75)?, attribute(76)?])
}

/// Whether the driver maps memory of this device by pages; `false` without CUDA.
pub(super) fn has_virtual_memory(device_index: c_int) -> bool {
    // CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED.
    device_attribute(c"cuDeviceGetAttribute", 102, device_index) == Some(1)
}

/// A number that CUDA's runtime or the driver tells of a device.
fn device_attribute(function: &CStr, attribute: c_int, device_index: c_int) -> Option<c_int> {
    type GetAttribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
    let mut value = 0;
    // SAFETY: the name is NUL-terminated. Both functions have this signature by CUDA's documentation, and write one
    // int.
    let status = unsafe {
        let symbol = libc::dlsym(libc::RTLD_DEFAULT, function.as_ptr());
        let get = std::mem::transmute::<*mut libc::c_void, Option<GetAttribute>>(symbol)?;
        get(&raw mut value, attribute, device_index)
    };
    (status == 0).then_some(value)
}

/// The number of devices by CUDA's runtime; `None` without it, or where its driver does not suit it.
pub(super) fn cuda_device_count() -> Option<c_int> {
    number_of_cuda(c"cudaGetDeviceCount")
}

/// The version of CUDA's runtime, 13000 for 13.0; `None` where it is not loaded.
pub(super) fn cuda_runtime_version() -> Option<c_int> {
    number_of_cuda(c"cudaRuntimeGetVersion")
}

fn number_of_cuda(function: &CStr) -> Option<c_int> {
    type Get = unsafe extern "C" fn(*mut c_int) -> c_int;
    let mut value = 0;
    // SAFETY: the name is NUL-terminated. Both functions have this signature by CUDA's documentation, and write one
    // int.
    let status = unsafe {
        let symbol = libc::dlsym(libc::RTLD_DEFAULT, function.as_ptr());
        std::mem::transmute::<*mut libc::c_void, Option<Get>>(symbol)?(&raw mut value)
    };
    (status == 0).then_some(value)
}

/// The number of threads of parallel regions that this thread starts. The first call also triggers libtorch's lazy
/// initialisation of that number.
pub(super) fn threads_of_this_thread() -> Option<c_int> {
    // Without this call, libtorch would set its own number at the thread's first operation.
    let threads = tch::get_num_threads();
    openmp_set_threads().and(Some(threads))
}

/// Sets the number of threads of parallel regions that this thread starts.
pub(super) fn set_threads_of_this_thread(threads: c_int) {
    if let Some(set) = openmp_set_threads() {
        // SAFETY: OpenMP takes any positive number, and it holds for the calling thread only.
        unsafe { set(threads) };
    }
}

/// OpenMP's `omp_set_num_threads`, which applies to the calling thread only. libtorch's own `set_num_threads` would
/// also apply to threads that start later.
fn openmp_set_threads() -> Option<unsafe extern "C" fn(c_int)> {
    // SAFETY: the name is NUL-terminated. The symbol is that of the OpenMP library that libtorch loads; the OpenMP
    // standard defines its signature.
    unsafe {
        let symbol = libc::dlsym(libc::RTLD_DEFAULT, c"omp_set_num_threads".as_ptr());
        std::mem::transmute::<*mut libc::c_void, Option<unsafe extern "C" fn(c_int)>>(symbol)
    }
}
