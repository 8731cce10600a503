// Copies to a device beside what it computes. By libtorch's interface of all devices, so that no CUDA headers are needed.

#include "guarded.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>

namespace {

// A tensor on its way, and what marks its arrival.
struct Upload {
  at::Tensor tensor;
  c10::Event arrival;
};

// The stream of all copies of this thread to a device: one, so that its memory is found again from copy to copy.
c10::Stream stream_of_copies(c10::Device device) {
  thread_local std::map<c10::DeviceIndex, c10::Stream> streams;
  const auto known = streams.find(device.index());
  if (known != streams.end()) return known->second;
  const auto stream = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  return streams.emplace(device.index(), stream).first->second;
}

}  // namespace

extern "C" {

// Begins to copy a page-locked tensor to a device.
char* dfd_upload_start(const void* host, int device_index, void** upload) {
  return guarded([&] {
    const c10::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(device_index));
    const auto stream = stream_of_copies(device);
    const c10::StreamGuard guard(stream);
    auto tensor = static_cast<const at::Tensor*>(host)->to(device, /*non_blocking=*/true);
    c10::Event arrival(device.type());
    arrival.record(stream);
    *upload = new Upload{std::move(tensor), std::move(arrival)};
  });
}

// The tensor, which the present stream uses only after its arrival. The host does not wait.
char* dfd_upload_finish(const void* upload, void** tensor) {
  return guarded([&] {
    const auto* started = static_cast<const Upload*>(upload);
    const auto stream = c10::impl::VirtualGuardImpl(at::kCUDA).getStream(started->tensor.device());
    started->arrival.block(stream);
    // Its memory belongs to the stream of copies, which must not use it again before the present one has done with it.
    started->tensor.record_stream(stream);
    *tensor = new at::Tensor(started->tensor);
  });
}

void dfd_upload_free(void* upload) { delete static_cast<Upload*>(upload); }
}
