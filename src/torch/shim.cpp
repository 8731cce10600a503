// What tch does not bind, in plain C: autocast by device and type, and the caching allocator.
// No exception crosses the border: each function that can fail returns a message to be freed, or null.

#include <ATen/DeviceAccelerator.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <torch/version.h>

#include "guarded.h"

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

// Backward from a tensor with the gradient that it has; tch only knows scalars. Both are at::Tensor of the caller.
char* dfd_backward(const void* tensor, const void* gradient) {
  return guarded([&] { static_cast<const at::Tensor*>(tensor)->backward(*static_cast<const at::Tensor*>(gradient)); });
}

// Puts the CPU's copy of a tensor's numbers in their place, for all who share the tensor. Its gradient is dropped.
char* dfd_move_to_cpu(void* tensor) {
  return guarded([&] {
    auto& moved = *static_cast<at::Tensor*>(tensor);
    moved.mutable_grad() = at::Tensor();
    moved.set_data(moved.detach().to(at::kCPU));
  });
}

// Gives the accelerator's cached blocks back to its driver; nothing to do without one.
char* dfd_empty_cache() {
  return guarded([] {
    if (at::accelerator::deviceCount() > 0) at::accelerator::emptyCache();
  });
}

// Most bytes that tensors took on the device since the start.
char* dfd_peak_allocated_bytes(int device_index, int64_t* bytes) {
  return guarded([&] {
    const auto stats = at::accelerator::getDeviceStats(static_cast<c10::DeviceIndex>(device_index));
    *bytes = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  });
}
}
