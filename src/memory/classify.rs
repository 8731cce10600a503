//! Which error messages mean that memory ran out.
//!
//! libtorch reports everything as text, so the text decides. What breaks the device for good is never retried, even
//! where the message also speaks of memory.

/// Messages after which the same work in smaller pieces can succeed.
const OUT_OF_MEMORY: &[&str] = &[
    "CUDA out of memory",
    "CUDA error: out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HIP out of memory",
    "MPS backend out of memory",
    "NVML_SUCCESS == r INTERNAL ASSERT",
    // oneDNN, when its scratch memory or generated code finds no room; what is wrong with shapes or types is said
    // before it is asked.
    "could not create a primitive",
    "could not create a memory",
    "could not execute a primitive",
];

/// Messages after which the device's context is broken.
const FATAL: &[&str] =
    &["an illegal memory access", "device-side assert triggered", "unspecified launch failure", "misaligned address"];

/// Whether `message` says that memory ran out, so that less work may succeed.
#[must_use]
pub fn is_out_of_memory(message: &str) -> bool {
    let names = |list: &[&str]| list.iter().any(|part| message.contains(part));
    names(OUT_OF_MEMORY) && !names(FATAL)
}

#[cfg(test)]
mod tests {
    use super::is_out_of_memory;

    #[test]
    fn allocator_failures_are_out_of_memory() {
        for message in [
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 11.6 GiB",
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
             allocate 4096 bytes. Error code 12 (Cannot allocate memory)",
            "std::bad_alloc",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "could not create a primitive",
        ] {
            assert!(is_out_of_memory(message), "{message}");
        }
    }

    #[test]
    fn bugs_and_broken_devices_are_not() {
        for message in [
            "CUDA error: an illegal memory access was encountered",
            "CUDA error: device-side assert triggered",
            "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",
            "CUDA error: an illegal memory access was encountered; earlier: CUDA out of memory",
        ] {
            assert!(!is_out_of_memory(message), "{message}");
        }
    }
}
