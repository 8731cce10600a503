// Counts libtorch's operations by name, through the hook of its profiler.

#include "guarded.h"

#include <ATen/record_function.h>

#include <map>
#include <mutex>
#include <string>

namespace {

std::mutex mutex;
std::map<std::string, size_t> counts;
at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;

std::unique_ptr<at::ObserverContext> count(const at::RecordFunction& function) {
  const std::lock_guard<std::mutex> lock(mutex);
  counts[function.name()]++;
  return nullptr;
}

}  // namespace

extern "C" {

// Counts the operations of this thread, and of backward for it, from here on.
char* dfd_count_start() {
  return guarded([] {
    TORCH_CHECK(handle == at::INVALID_CALLBACK_HANDLE, "operations are being counted already");
    counts.clear();
    handle = at::addThreadLocalCallback(at::RecordFunctionCallback(count).scopes({at::RecordScope::FUNCTION}));
  });
}

// Gives each name with its number to `sink`.
char* dfd_count_stop(void (*sink)(void* context, const char* name, size_t count), void* context) {
  return guarded([&] {
    at::removeCallback(handle);
    handle = at::INVALID_CALLBACK_HANDLE;
    for (const auto& [name, number] : counts) sink(context, name.c_str(), number);
  });
}
}
