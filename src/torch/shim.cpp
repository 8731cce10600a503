// What tch does not bind, in plain C: autocast by device and type, and the caching allocator. No CUDA headers are
// needed. No exception crosses the border: each function that can fail returns a message to be freed, or null.

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/AllocatorConfig.h>
#include <ATen/core/Tensor.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <torch/csrc/autograd/anomaly_mode.h>
#include <torch/version.h>

#include "guarded.h"

#include <string>

namespace {

// A later setting replaces an earlier one as a whole, so the earlier ones, and those of the environment, are said
// again.
void add_allocator_setting(const std::string& setting) {
  const std::string before = c10::CachingAllocator::getAllocatorSettings();
  c10::CachingAllocator::setAllocatorSettings(before.empty() ? setting : before + "," + setting);
}

}  // namespace

extern "C" {

void dfd_free_message(char* message) {
  if (message != unknown_failure) free(message);
}

const char* dfd_torch_version() { return TORCH_VERSION; }

// Autocast state of this thread for one device type (0 CPU, 1 CUDA).
char* dfd_autocast_get(int device_type, bool* enabled, int* scalar_type) {
  return guarded([&] {
    const auto type = static_cast<at::DeviceType>(device_type);
    *enabled = at::autocast::is_autocast_enabled(type);
    *scalar_type = static_cast<int>(at::autocast::get_autocast_dtype(type));
  });
}

// Entering and leaving keep count, so that cached low-precision weights live as long as the outermost region.
char* dfd_autocast_enter(int device_type, int scalar_type) {
  return guarded([&] {
    const auto type = static_cast<at::DeviceType>(device_type);
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(scalar_type));
    at::autocast::set_autocast_enabled(type, true);
    at::autocast::increment_nesting();
  });
}

char* dfd_autocast_leave(int device_type, bool enabled, int scalar_type) {
  return guarded([&] {
    const auto type = static_cast<at::DeviceType>(device_type);
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type, enabled);
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(scalar_type));
  });
}

// Kernels that give the same numbers each time, where there are any; libtorch warns where an operation has none.
// Memory-efficient attention has none for backward; without it, attention is made of matrix products.
char* dfd_be_deterministic() {
  return guarded([] {
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setSDPUseMemEfficient(false);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  });
}

// Whether float32 convolutions, recurrent networks and matrix products on CUDA may round their inputs to TF32.
char* dfd_allow_tf32(bool allow) {
  return guarded([&] {
    at::globalContext().setAllowTF32CuDNN(allow);
    at::globalContext().setAllowTF32CuBLAS(allow);
  });
}

// Whether backward fails where a function gives NaN as a gradient, and names the function.
char* dfd_detect_anomaly(bool detect) {
  return guarded([&] { torch::autograd::AnomalyMode::set_enabled(detect, /*check_nan=*/true); });
}

// Backward from a tensor with the gradient that it has; tch only knows scalars. Both are at::Tensor of the caller.
char* dfd_backward(const void* tensor, const void* gradient) {
  return guarded([&] { static_cast<const at::Tensor*>(tensor)->backward(*static_cast<const at::Tensor*>(gradient)); });
}

// Puts a copy of a tensor, in page-locked memory of the host, in its place.
char* dfd_pin(void* tensor) {
  return guarded([&] {
    auto& pinned = *static_cast<at::Tensor*>(tensor);
    pinned = pinned.pin_memory();
  });
}

// Puts a new u8 tensor of this shape, in page-locked memory of the host, in the place of a tensor.
char* dfd_pinned_bytes(void* tensor, const int64_t* shape, size_t dimensions) {
  return guarded([&] {
    const auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(true);
    *static_cast<at::Tensor*>(tensor) = at::empty(at::IntArrayRef(shape, dimensions), options);
  });
}

// Puts a copy of a tensor's numbers on another device (0 CPU, 1 CUDA) in their place, for all who share the tensor. Its
// gradient is dropped.
char* dfd_move_to(void* tensor, int device_type, int device_index) {
  return guarded([&] {
    auto& moved = *static_cast<at::Tensor*>(tensor);
    const at::Device device(static_cast<at::DeviceType>(device_type), static_cast<c10::DeviceIndex>(device_index));
    auto copy = moved.detach().to(device);
    moved.mutable_grad() = at::Tensor();
    moved.set_data(copy);
  });
}

// Gives the accelerator's cached blocks back to its driver; nothing to do without one.
char* dfd_empty_cache() {
  return guarded([] {
    if (at::accelerator::deviceCount() > 0) at::accelerator::emptyCache();
  });
}

// What the caching allocator holds on one device, as `ffi.rs` declares it.
struct dfd_allocator_stats {
  int64_t allocated_bytes, allocated_peak_bytes;
  int64_t reserved_bytes, reserved_peak_bytes;
  int64_t active_bytes, active_peak_bytes;
  int64_t alloc_retries, ooms;
};

char* dfd_read_allocator(int device_index, dfd_allocator_stats* out) {
  return guarded([&] {
    const auto stats = at::accelerator::getDeviceStats(static_cast<c10::DeviceIndex>(device_index));
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *out = {stats.allocated_bytes[all].current, stats.allocated_bytes[all].peak,
            stats.reserved_bytes[all].current,  stats.reserved_bytes[all].peak,
            stats.active_bytes[all].current,    stats.active_bytes[all].peak,
            stats.num_alloc_retries,            stats.num_ooms};
  });
}

// Peaks start again from what is held now.
char* dfd_reset_peaks(int device_index) {
  return guarded([&] { at::accelerator::resetPeakStats(static_cast<c10::DeviceIndex>(device_index)); });
}

// Free and installed memory of the device, by its driver.
char* dfd_device_memory(int device_index, uint64_t* free_bytes, uint64_t* total_bytes) {
  return guarded([&] {
    const auto memory = at::accelerator::getMemoryInfo(static_cast<c10::DeviceIndex>(device_index));
    *free_bytes = memory.first;
    *total_bytes = memory.second;
  });
}

// Caps what this process's allocators take of their devices. They read it when they are made, with the first tensor on
// any device.
char* dfd_limit_device_memory(double fraction) {
  return guarded([&] {
    const std::string key = "per_process_memory_fraction";
    const auto& known = c10::CachingAllocator::AcceleratorAllocatorConfig::getKeys();
    TORCH_CHECK(known.count(key) > 0, key, ": libtorch's CUDA part is not loaded");
    add_allocator_setting(key + ":" + std::to_string(fraction));
  });
}

// Lets allocators extend the segments that they have; read at each request to the driver.
char* dfd_use_expandable_segments() {
  return guarded([] { add_allocator_setting("expandable_segments:True"); });
}

char* dfd_has_expandable_segments(bool* has) {
  return guarded([&] { *has = c10::CachingAllocator::AcceleratorAllocatorConfig::use_expandable_segments(); });
}
}
