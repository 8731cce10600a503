//! Classification of errors: the messages that mean that memory ran out.
//!
//! libtorch reports every error as text, so the text decides. An error that breaks the device is never retried, even
//! where its message also names memory. This file retries nothing; that is `oom_guard.rs`.

use bytesize::ByteSize;

/// Messages after which the same work in smaller pieces can succeed.
const OUT_OF_MEMORY: &[&str] = &[
    "CUDA out of memory",
    "CUDA error: out of memory",
    // Of the driver's own interface, as libtorch uses it for expandable segments.
    "CUDA driver error: out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "HIP out of memory",
    "MPS backend out of memory",
    "NVML_SUCCESS == r INTERNAL ASSERT",
    // oneDNN, when there is no memory for its scratch space or its generated code; libtorch reports wrong shapes and
    // types before it calls oneDNN.
    "could not create a primitive",
    "could not create a memory",
    "could not execute a primitive",
];

/// Messages of libraries that run out of memory, which they also use for other errors.
const MAYBE_OUT_OF_MEMORY: &[&str] = &[
    "CUDNN_STATUS_NOT_SUPPORTED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "Unable to find a valid cuDNN algorithm",
    "unable to find an engine to execute this computation",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
];

/// Messages after which the device's context is broken.
const DEVICE_BROKEN: &[&str] = &[
    "an illegal memory access",
    "an illegal instruction was encountered",
    "device-side assert triggered",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "CUDA error: unknown error",
];

/// What a failure means for the work that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Memory ran out: less work at a time may succeed.
    OutOfMemory,
    /// Memory may have run out: less work at a time may succeed if memory is in fact short.
    MaybeOutOfMemory,
    /// The device is unusable for this process from here on.
    DeviceBroken,
    /// Another error, which the same work would meet again.
    Other,
}

/// Classifies an error by its message.
#[must_use]
pub fn classify(message: &str) -> Failure {
    let names = |list: &[&str]| list.iter().any(|part| message.contains(part));
    if names(DEVICE_BROKEN) {
        Failure::DeviceBroken
    } else if names(OUT_OF_MEMORY) {
        Failure::OutOfMemory
    } else if names(MAYBE_OUT_OF_MEMORY) {
        Failure::MaybeOutOfMemory
    } else {
        Failure::Other
    }
}

/// The bytes of the failed request to the allocator, if the message has them.
#[must_use]
pub fn requested_bytes(message: &str) -> Option<u64> {
    if let Some((_, rest)) = message.split_once("you tried to allocate ") {
        return rest.split_whitespace().next()?.parse().ok();
    }
    // CUDA's allocator: "Tried to allocate 2.00 GiB."
    let (_, rest) = message.split_once("Tried to allocate ")?;
    let mut words = rest.split_whitespace();
    parse_size(words.next()?, words.next()?.trim_end_matches('.'))
}

/// The bytes in tensors when a request to CUDA's allocator failed, if the message has them.
#[must_use]
pub fn allocated_bytes(message: &str) -> Option<u64> {
    // "Of the allocated memory 8.69 GiB is allocated by PyTorch, and ..."
    let (before, _) = message.split_once(" is allocated by PyTorch")?;
    let mut words = before.rsplit(' ');
    let unit = words.next()?;
    parse_size(words.next()?, unit)
}

fn parse_size(number: &str, unit: &str) -> Option<u64> {
    // libtorch writes small sizes as "512 bytes".
    let unit = if unit == "bytes" { "B" } else { unit };
    format!("{number} {unit}").parse().ok().map(|size: ByteSize| size.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocator_failures_are_out_of_memory() {
        for message in [
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 11.6 GiB",
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
             allocate 4096 bytes. Error code 12 (Cannot allocate memory)",
            "[enforce fail at alloc_cpu.cpp:75] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 \
             bytes.",
            "std::bad_alloc",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
            "CUDA driver error: out of memory",
            "HIP out of memory. Tried to allocate 1 GiB",
            "MPS backend out of memory (MPS allocated: 1 GB)",
            "NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp:830",
            "could not create a primitive",
        ] {
            assert_eq!(classify(message), Failure::OutOfMemory, "{message}");
        }
    }

    #[test]
    fn what_libraries_also_say_for_other_reasons_is_unsure() {
        for message in [
            "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
            "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
            "Unable to find a valid cuDNN algorithm to run convolution",
            "GET was unable to find an engine to execute this computation",
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
            "CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasSgemm`",
        ] {
            assert_eq!(classify(message), Failure::MaybeOutOfMemory, "{message}");
        }
    }

    #[test]
    fn bugs_and_broken_devices_are_not() {
        for message in [
            "CUDA error: an illegal memory access was encountered",
            "CUDA error: device-side assert triggered",
            "CUDA error: unspecified launch failure",
            "CUDA error: misaligned address",
            "CUDA error: an illegal instruction was encountered",
            "CUDA error: uncorrectable ECC error encountered",
            "CUDA error: the launch timed out and was terminated",
            "CUDA error: unknown error",
            "CUDA error: invalid program counter",
            "CUDA error: an illegal memory access was encountered; earlier: CUDA out of memory",
        ] {
            assert_eq!(classify(message), Failure::DeviceBroken, "{message}");
        }
        let bug = "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)";
        assert_eq!(classify(bug), Failure::Other);
    }

    #[test]
    fn the_size_asked_for_is_read_from_both_allocators() {
        let cpu = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 77070336 bytes. Error code 12";
        assert_eq!(requested_bytes(cpu), Some(77_070_336));
        let cuda = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 11.6 GiB";
        assert_eq!(requested_bytes(cuda), Some(5 << 29));
        assert_eq!(requested_bytes("CUDA out of memory. Tried to allocate 20.00 MiB. GPU"), Some(20 << 20));
        assert_eq!(requested_bytes("CUDA out of memory. Tried to allocate 512 bytes. GPU"), Some(512));
        assert_eq!(requested_bytes("std::bad_alloc"), None);
    }

    #[test]
    fn what_was_in_tensors_is_read_from_the_message_of_cuda() {
        let cuda = "GPU 0 has a total capacity of 11.63 GiB of which 20.00 MiB is free. Of the allocated memory \
                    2.50 GiB is allocated by PyTorch, with 1.00 MiB allocated in private pools (e.g., CUDA Graphs), \
                    and 3.00 MiB is reserved by PyTorch but unallocated.";
        assert_eq!(allocated_bytes(cuda), Some(5 << 29));
        assert_eq!(allocated_bytes("Of the allocated memory 0 bytes is allocated by PyTorch, and"), Some(0));
        assert_eq!(allocated_bytes("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), None);
    }
}
