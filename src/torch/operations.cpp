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

// An operation on lists of tensors. On a GPU it is one launch, or a few; the CPU goes through the lists, and what it calls
// for each tensor is not counted.
bool is_of_lists(const std::string& name) {
  return name.find("_foreach_") != std::string::npos || name.find("_fused_") != std::string::npos;
}

struct OfList : at::ObserverContext {};
thread_local size_t lists_entered = 0;

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& function) {
  const std::string name = function.name();
  if (lists_entered == 0) {
    const std::lock_guard<std::mutex> lock(mutex);
    counts[name]++;
  }
  if (!is_of_lists(name)) return nullptr;
  lists_entered++;
  return std::make_unique<OfList>();
}

void leave(const at::RecordFunction&, at::ObserverContext* of_list) {
  if (of_list) lists_entered--;
}

}  // namespace

extern "C" {

// Counts the operations of this thread, and of backward for it, from here on.
char* dfd_count_start() {
  return guarded([] {
    TORCH_CHECK(handle == at::INVALID_CALLBACK_HANDLE, "operations are being counted already");
    counts.clear();
    handle = at::addThreadLocalCallback(at::RecordFunctionCallback(enter, leave).scopes({at::RecordScope::FUNCTION}));
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
