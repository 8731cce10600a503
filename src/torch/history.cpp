// The history of CUDA's caching allocator, for https://pytorch.org/memory_viz. libtorch's functions for it are part of
// libtorch_cuda, which is loaded while the program runs, and is not there on every machine: they are looked up by name.

#include <c10/core/AllocatorConfig.h>
#include <dlfcn.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <torch/csrc/cuda/memory_snapshot.h>

#include "guarded.h"

namespace {

using Record = void(std::optional<std::string>, std::optional<std::string>, const std::string&, size_t, bool, bool,
                    bool, const std::vector<std::string>&);
using Snapshot = std::string();

// The mangled names below are those of exactly these functions.
static_assert(std::is_same_v<decltype(static_cast<Record*>(torch::cuda::_record_memory_history)), Record*>);
static_assert(std::is_same_v<decltype(torch::cuda::_memory_snapshot_pickled), Snapshot>);
constexpr const char* record_name =
    "_ZN5torch4cuda22_record_memory_historyESt8optionalINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEES8_RKS7_"
    "mbbbRKSt6vectorIS7_SaIS7_EE";
constexpr const char* snapshot_name = "_ZN5torch4cuda24_memory_snapshot_pickledB5cxx11Ev";

template <class Function>
Function* find(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) throw std::runtime_error("this libtorch has no CUDA part that records its allocator's history");
  return reinterpret_cast<Function*>(found);
}

}  // namespace

extern "C" {

// Records the last `max_entries` events of the allocators of all CUDA devices from here on, with the functions of
// libtorch that asked for memory.
char* dfd_record_allocator(size_t max_entries) {
  return guarded([&] { find<Record>(record_name)("all", "alloc", "all", max_entries, false, false, false, {}); });
}

// What was recorded, and the blocks that there are, as a pickle; the caller frees it.
char* dfd_allocator_snapshot(char** bytes, size_t* length) {
  return guarded([&] {
    const std::string pickle = find<Snapshot>(snapshot_name)();
    *bytes = static_cast<char*>(malloc(pickle.size()));
    if (*bytes == nullptr) throw std::bad_alloc();
    memcpy(*bytes, pickle.data(), pickle.size());
    *length = pickle.size();
  });
}
}
