// ReLU6 that keeps its result for backward, as libtorch's ReLU does. libtorch's own ReLU6 keeps its input, which nothing
// else needs, so that a network of convolutions, batch norms and ReLU6s would keep a third more.

#include <ATen/ops/hardtanh.h>
#include <ATen/ops/hardtanh_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Relu6 : torch::autograd::Function<Relu6> {
  static at::Tensor forward(AutogradContext* context, at::Tensor x) {
    at::hardtanh_(x, 0, 6);
    context->mark_dirty({x});
    context->save_for_backward({x});
    return x;
  }

  // The gradient passes where the input is between 0 and 6, which is where the result is.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto result = context->get_saved_variables()[0];
    return {at::hardtanh_backward(gradients[0], result, 0, 6)};
  }
};

}  // namespace

extern "C" {

// Works in place on an at::Tensor of the caller.
char* dfd_relu6(void* tensor) {
  return guarded([&] {
    auto& x = *static_cast<at::Tensor*>(tensor);
    x = Relu6::apply(x);
  });
}

}
