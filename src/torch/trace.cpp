// Records what a function does with a tensor as a TorchScript module, with the weights as parameters of it and not as
// constants, which no `to(device)` would move; tch can only do the latter.

#include "guarded.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/tracer.h>

#include <sstream>
#include <string>

namespace {
namespace jit = torch::jit;

jit::Module part(const std::shared_ptr<jit::CompilationUnit>& unit, const char* type) {
  jit::Module module(c10::QualifiedName(type), unit, /*shouldMangle=*/true);
  // `eval()` and `train()` set it in every part; a trace goes by neither.
  module.register_attribute("training", c10::BoolType::get(), false);
  return module;
}

// The part of a module in which a tensor called `name` is at home, made where there is none; `name` loses what led there.
jit::Module home(const jit::Module& root, std::string& name) {
  jit::Module module = root;
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.')) {
    const auto next = name.substr(0, dot);
    if (!module.hasattr(next)) {
      module.register_module(next, part(root._ivalue()->compilation_unit(), "__torch__.dfdetect.Part"));
    }
    module = module.attr(next).toModule();
    name.erase(0, dot + 1);
  }
  return module;
}
}  // namespace

extern "C" {

// As `Named` in trace.rs: a tensor under a dotted name.
struct DfdNamed {
  const char* name;
  const at::Tensor* tensor;
  bool is_parameter;
};

// Two tensors out of one; false where that failed. The input is the callee's; the outputs stay its own.
using DfdFunction = bool (*)(void* context, at::Tensor* input, const at::Tensor** outputs);
using DfdSink = void (*)(void* context, const char* bytes, size_t count);

// Records `function` on `input` and gives the file of the module to `sink`, with a note in it. Operations in place are
// recorded as such that leave their input alone.
char* dfd_trace(const DfdNamed* named, size_t count, const at::Tensor* input, DfdFunction function, DfdSink sink,
                void* context, const char* note_name, const char* note) {
  return guarded([&] {
    auto module = part(std::make_shared<jit::CompilationUnit>(), "__torch__.dfdetect.Detector");
    for (size_t i = 0; i < count; i++) {
      std::string name = named[i].name;
      auto owner = home(module, name);
      if (named[i].is_parameter) {
        owner.register_parameter(name, *named[i].tensor, /*is_buffer=*/false);
      } else {
        owner.register_buffer(name, *named[i].tensor);
      }
    }
    const auto traced = [&](const jit::Stack& stack) -> jit::Stack {
      // It warns of operations in place, which are recorded as others here.
      const jit::tracer::NoWarn quiet;
      const at::Tensor* outputs[2] = {};
      const bool done = function(context, new at::Tensor(stack.at(0).toTensor()), outputs);
      TORCH_CHECK(done, "the function that is recorded failed");
      return {c10::ivalue::Tuple::create({*outputs[0], *outputs[1]})};
    };
    const auto no_names = [](const at::Tensor&) { return std::string(); };
    const auto graph = jit::tracer::trace({*input}, traced, no_names, /*strict=*/true, /*force_outplace=*/true, &module,
                                          {"frames"}).first->graph;
    const c10::QualifiedName method(*module.type()->name(), "forward");
    module.type()->addMethod(module._ivalue()->compilation_unit()->create_function(method, graph));
    std::ostringstream file;
    module.save(file, {{note_name, note}});
    const std::string bytes = file.str();
    sink(context, bytes.data(), bytes.size());
  });
}
}
