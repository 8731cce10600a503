// libtorch's kernels over lists of tensors, which tch does not bind: optimizer updates, loss scaling, norms, averages.
// All of them change tensors in place. Lists are built before the first tensor is touched, so that a failure for want of
// memory leaves everything as it was.

#include "guarded.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include <vector>

namespace {
using List = std::vector<at::Tensor>;
using Tensors = at::Tensor* const*;

List list(Tensors tensors, size_t begin, size_t end) {
  List result;
  result.reserve(end - begin);
  for (size_t i = begin; i < end; i++) result.push_back(*tensors[i]);
  return result;
}
}  // namespace

extern "C" {

// Tensors begin..end of the lists share these settings; as `Span` in foreach.rs.
struct DfdSpan {
  size_t begin;
  size_t end;
  double learning_rate;
  double weight_decay;
};

char* dfd_fused_adam(Tensors parameters, Tensors gradients, Tensors exp_avgs, Tensors exp_avg_sqs,
                     const at::Tensor* step, const DfdSpan* spans, size_t span_count, double beta1, double beta2,
                     double epsilon, bool decoupled) {
  return guarded([&] {
    struct Lists {
      List parameters, gradients, exp_avgs, exp_avg_sqs, steps;
    };
    std::vector<Lists> lists;
    lists.reserve(span_count);
    for (size_t i = 0; i < span_count; i++) {
      const auto& span = spans[i];
      lists.push_back({list(parameters, span.begin, span.end), list(gradients, span.begin, span.end),
                       list(exp_avgs, span.begin, span.end), list(exp_avg_sqs, span.begin, span.end),
                       List(span.end - span.begin, *step)});
    }
    for (size_t i = 0; i < span_count; i++) {
      auto& l = lists[i];
      const auto& span = spans[i];
      if (decoupled) {
        at::_fused_adamw_(l.parameters, l.gradients, l.exp_avgs, l.exp_avg_sqs, {}, l.steps, span.learning_rate, beta1,
                          beta2, span.weight_decay, epsilon, false, false);
      } else {
        at::_fused_adam_(l.parameters, l.gradients, l.exp_avgs, l.exp_avg_sqs, {}, l.steps, span.learning_rate, beta1,
                         beta2, span.weight_decay, epsilon, false, false);
      }
    }
  });
}

// Buffers that start at zero make the first step like the others.
char* dfd_fused_sgd(Tensors parameters, Tensors gradients, Tensors buffers, const DfdSpan* spans, size_t span_count,
                    double momentum) {
  return guarded([&] {
    struct Lists {
      List parameters, gradients, buffers;
    };
    std::vector<Lists> lists;
    lists.reserve(span_count);
    for (size_t i = 0; i < span_count; i++) {
      const auto& span = spans[i];
      lists.push_back({list(parameters, span.begin, span.end), list(gradients, span.begin, span.end),
                       list(buffers, span.begin, span.end)});
    }
    for (size_t i = 0; i < span_count; i++) {
      const auto& span = spans[i];
      at::_fused_sgd_(lists[i].parameters, lists[i].gradients, lists[i].buffers, span.weight_decay, momentum,
                      span.learning_rate, 0.0, false, false, false);
    }
  });
}

// L2 norm of all tensors as if they were one.
char* dfd_global_norm(Tensors tensors, size_t count, void** norm) {
  return guarded([&] {
    const auto norms = at::_foreach_norm(list(tensors, 0, count), 2);
    *norm = new at::Tensor(at::linalg_vector_norm(at::stack(norms)));
  });
}

char* dfd_scale(Tensors tensors, size_t count, double factor) {
  return guarded([&] { at::_foreach_mul_(list(tensors, 0, count), at::Scalar(factor)); });
}

// Multiplies by `inverse_scale`, and sets `found_inf` to 1 where something was not finite.
char* dfd_unscale(Tensors tensors, size_t count, at::Tensor* found_inf, const at::Tensor* inverse_scale) {
  return guarded([&] {
    at::_amp_foreach_non_finite_check_and_unscale_(list(tensors, 0, count), *found_inf, *inverse_scale);
  });
}

// Sets all numbers to 0.
char* dfd_zero(Tensors tensors, size_t count) {
  return guarded([&] { at::_foreach_zero_(list(tensors, 0, count)); });
}

// Copies each of `sources` into its counterpart in `tensors`.
char* dfd_copy(Tensors tensors, Tensors sources, size_t count) {
  return guarded([&] { at::_foreach_copy_(list(tensors, 0, count), list(sources, 0, count)); });
}

// Adds each of `summands` to its counterpart in `tensors`.
char* dfd_add(Tensors tensors, Tensors summands, size_t count) {
  return guarded([&] { at::_foreach_add_(list(tensors, 0, count), list(summands, 0, count)); });
}

// Moves each of `tensors` by `weight` of the way to its counterpart in `ends`.
char* dfd_lerp(Tensors tensors, Tensors ends, size_t count, double weight) {
  return guarded([&] { at::_foreach_lerp_(list(tensors, 0, count), list(ends, 0, count), at::Scalar(weight)); });
}
}
