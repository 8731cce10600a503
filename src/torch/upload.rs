//! Copies to a CUDA device that run beside what it computes, on a stream of their own. The C++ side is `upload.cpp`. What
//! is copied when is decided by the caller.
#![expect(unsafe_code, reason = "this file is the border to C++")]

use std::ffi::{c_char, c_int, c_void};

use tch::{Device, Tensor};

use super::ffi::check;
use super::result::Result;

unsafe extern "C" {
    fn dfd_upload_start(host: *const c_void, device_index: c_int, upload: *mut *mut c_void) -> *mut c_char;
    fn dfd_upload_finish(upload: *const c_void, tensor: *mut *mut c_void) -> *mut c_char;
    fn dfd_upload_free(upload: *mut c_void);
}

/// A tensor on its way to a device.
#[derive(Debug)]
pub struct Upload(Way);

#[derive(Debug)]
enum Way {
    /// There is none to the CPU.
    Here(Tensor),
    Copying(RawUpload),
}

/// `Upload` of the shim.
#[derive(Debug)]
struct RawUpload(*mut c_void);

impl Upload {
    /// Begins to copy `host` to a CUDA device. The caller does not wait, if `host` is page-locked.
    ///
    /// # Errors
    /// The device has no memory for the copy, or there is no such device.
    pub fn start(host: &Tensor, device: Device) -> Result<Self> {
        let Device::Cuda(index) = device else { return Ok(Self(Way::Here(host.f_to_device(device)?))) };
        let mut upload = std::ptr::null_mut();
        // SAFETY: the first pointer is to the at::Tensor that tch owns, whose memory libtorch keeps until it is copied;
        // the last is written to before the call returns.
        check(unsafe { dfd_upload_start(host.as_ptr().cast(), index as c_int, &raw mut upload) })?;
        Ok(Self(Way::Copying(RawUpload(upload))))
    }

    /// The tensor on the device. What is computed with it waits for its arrival; the caller does not.
    ///
    /// # Errors
    /// The device failed.
    pub fn finish(self) -> Result<Tensor> {
        let upload = match self.0 {
            Way::Here(tensor) => return Ok(tensor),
            Way::Copying(upload) => upload,
        };
        let mut tensor = std::ptr::null_mut();
        // SAFETY: the upload is one that `start` made; the shim gives a new tensor, which belongs to the caller.
        check(unsafe { dfd_upload_finish(upload.0, &raw mut tensor) })?;
        // SAFETY: the pointer is the new at::Tensor of a call that did not fail.
        Ok(unsafe { Tensor::from_ptr(tensor.cast()) })
    }
}

impl Drop for RawUpload {
    fn drop(&mut self) {
        // SAFETY: it is freed once, by its only owner.
        unsafe { dfd_upload_free(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_such_a_device_it_is_an_error_and_to_the_cpu_there_is_no_way() {
        let host = Tensor::from_slice(&[1_u8, 2]);
        assert!(Upload::start(&host, Device::Cuda(99)).is_err());
        assert_eq!(Upload::start(&host, Device::Cpu).unwrap().finish().unwrap(), host);
    }
}
