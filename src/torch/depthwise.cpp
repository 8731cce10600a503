// Depthwise convolution whose backward is fast on the CPU. oneDNN has no kernel of its own for the gradient of 5x5 filters
// in NHWC order, nor in bfloat16 for the gradient of the input at stride 2, and takes 5 to 25 times as long as it needs
// (docs/decisions/0067). Those two are computed here; everything else is libtorch's.

#include <ATen/autocast_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstring>

#include "guarded.h"

// One compiled function for each kind of x86 CPU; the one that fits is chosen when the program starts.
#if defined(__x86_64__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE inline __attribute__((always_inline))

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Channels that are worked on together: their sums fit into registers.
constexpr int64_t CHANNELS = 16;
// Images whose sums are added up by one thread. It does not depend on the number of threads, so neither do the bits.
constexpr int64_t IMAGES = 4;
// The only filter size whose gradient is computed here.
constexpr int64_t FILTER = 5;

using Bfloat16Bits = uint16_t;

struct Shape {
  int64_t images, height, width, channels, out_height, out_width, filter, stride, padding;
};

INLINE float to_float(float value) { return value; }

INLINE float to_float(Bfloat16Bits value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

// To the nearest, ties to even. The sums are finite or were made of numbers that were not.
INLINE Bfloat16Bits to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return static_cast<Bfloat16Bits>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Filter rows or columns of an output position that lie inside the picture: from `first` to before `last`.
struct Taps {
  int64_t first, last;
};

INLINE Taps taps_inside(int64_t origin, int64_t length, int64_t filter) {
  return {origin < 0 ? -origin : 0, origin + filter > length ? length - origin : filter};
}

// sums[tap][channel] over the images `begin` to `end`, of the channels from `channel` on. Each output row is summed by
// itself first, which rounds less.
template <class T>
INLINE void add_filter_gradient(
    const Shape& s, const T* x_nhwc, const T* gradient_nhwc, int64_t begin, int64_t end, int64_t channel, float* sums) {
  float total[FILTER * FILTER][CHANNELS] = {};
  for (int64_t row = begin * s.out_height; row < end * s.out_height; row++) {
    const int64_t image = row / s.out_height;
    const int64_t top = (row % s.out_height) * s.stride - s.padding;
    const Taps down = taps_inside(top, s.height, FILTER);
    float of_row[FILTER * FILTER][CHANNELS] = {};
    for (int64_t column = 0; column < s.out_width; column++) {
      const int64_t left = column * s.stride - s.padding;
      const Taps right = taps_inside(left, s.width, FILTER);
      const T* gradient = gradient_nhwc + (row * s.out_width + column) * s.channels + channel;
      float g[CHANNELS];
      for (int64_t c = 0; c < CHANNELS; c++) g[c] = to_float(gradient[c]);
      for (int64_t i = down.first; i < down.last; i++) {
        for (int64_t j = right.first; j < right.last; j++) {
          const T* x = x_nhwc + ((image * s.height + top + i) * s.width + left + j) * s.channels + channel;
          float* sum = of_row[i * FILTER + j];
          for (int64_t c = 0; c < CHANNELS; c++) sum[c] += g[c] * to_float(x[c]);
        }
      }
    }
    for (int64_t tap = 0; tap < FILTER * FILTER; tap++) {
      for (int64_t c = 0; c < CHANNELS; c++) total[tap][c] += of_row[tap][c];
    }
  }
  std::memcpy(sums, total, sizeof(total));
}

FOR_EACH_CPU void filter_gradient(
    const Shape& s, const float* x, const float* gradient, int64_t begin, int64_t end, int64_t channel, float* sums) {
  add_filter_gradient(s, x, gradient, begin, end, channel, sums);
}

FOR_EACH_CPU void filter_gradient(
    const Shape& s, const Bfloat16Bits* x, const Bfloat16Bits* gradient, int64_t begin, int64_t end, int64_t channel,
    float* sums) {
  add_filter_gradient(s, x, gradient, begin, end, channel, sums);
}

// The gradient of one row of an input image. `weight` has a row of channels for each tap.
FOR_EACH_CPU void input_gradient_of_row(
    const Shape& s, const Bfloat16Bits* gradient_nhwc, const float* weight, int64_t row, Bfloat16Bits* out_nhwc) {
  const int64_t image = row / s.height, y = row % s.height + s.padding;
  for (int64_t x = s.padding; x < s.width + s.padding; x++) {
    for (int64_t channel = 0; channel < s.channels; channel += CHANNELS) {
      float sum[CHANNELS] = {};
      for (int64_t i = y % s.stride; i < s.filter && i <= y; i += s.stride) {
        const int64_t out_y = (y - i) / s.stride;
        if (out_y >= s.out_height) continue;
        for (int64_t j = x % s.stride; j < s.filter && j <= x; j += s.stride) {
          const int64_t out_x = (x - j) / s.stride;
          if (out_x >= s.out_width) continue;
          const Bfloat16Bits* g =
              gradient_nhwc + ((image * s.out_height + out_y) * s.out_width + out_x) * s.channels + channel;
          const float* w = weight + (i * s.filter + j) * s.channels + channel;
          for (int64_t c = 0; c < CHANNELS; c++) sum[c] += to_float(g[c]) * w[c];
        }
      }
      Bfloat16Bits* out = out_nhwc + (row * s.width + x - s.padding) * s.channels + channel;
      for (int64_t c = 0; c < CHANNELS; c++) out[c] = to_bfloat16(sum[c]);
    }
  }
}

// Calls `body` with each number below `count`, on libtorch's threads.
template <class Body>
void on_all_threads(int64_t count, Body body) {
  const auto range = [](int64_t begin, int64_t end, void* context) {
    for (int64_t at = begin; at < end; at++) (*static_cast<Body*>(context))(at);
  };
  TORCH_CHECK(torch_parallel_for(0, count, 1, range, &body) == 0, "the depthwise convolution could not be run");
}

template <class T>
at::Tensor sums_of_filter(const Shape& s, const at::Tensor& x, const at::Tensor& gradient) {
  const int64_t groups = (s.images + IMAGES - 1) / IMAGES, blocks = s.channels / CHANNELS;
  auto sums = at::empty({groups, blocks, FILTER * FILTER, CHANNELS}, x.options().dtype(at::kFloat));
  const T* x_nhwc = static_cast<const T*>(x.const_data_ptr());
  const T* gradient_nhwc = static_cast<const T*>(gradient.const_data_ptr());
  float* out = sums.mutable_data_ptr<float>();
  on_all_threads(groups * blocks, [&](int64_t at) {
    const int64_t begin = at / blocks * IMAGES, end = std::min(begin + IMAGES, s.images);
    filter_gradient(s, x_nhwc, gradient_nhwc, begin, end, at % blocks * CHANNELS, out + at * FILTER * FILTER * CHANNELS);
  });
  return sums;
}

at::Tensor weight_gradient(const Shape& s, const at::Tensor& x, const at::Tensor& gradient, const at::Tensor& weight) {
  const auto sums = x.scalar_type() == at::kFloat ? sums_of_filter<float>(s, x, gradient)
                                                  : sums_of_filter<Bfloat16Bits>(s, x, gradient);
  return sums.sum(0).transpose(1, 2).reshape(weight.sizes()).to(weight.scalar_type());
}

at::Tensor input_gradient(const Shape& s, const at::Tensor& x, const at::Tensor& gradient, const at::Tensor& weight) {
  const auto taps = weight.to(at::kFloat).reshape({s.channels, s.filter * s.filter}).t().contiguous();
  auto out = at::empty_like(x);
  const auto* gradient_nhwc = static_cast<const Bfloat16Bits*>(gradient.const_data_ptr());
  auto* out_nhwc = static_cast<Bfloat16Bits*>(out.mutable_data_ptr());
  on_all_threads(s.images * s.height, [&](int64_t row) {
    input_gradient_of_row(s, gradient_nhwc, taps.const_data_ptr<float>(), row, out_nhwc);
  });
  return out;
}

struct DepthwiseConvolution : torch::autograd::Function<DepthwiseConvolution> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return at::conv2d(x, weight, {}, stride, padding, 1, x.size(1));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const int64_t stride = context->saved_data["stride"].toInt(), padding = context->saved_data["padding"].toInt();
    const auto type = x.scalar_type();
    const bool is_nhwc = x.device().is_cpu() && x.is_contiguous(at::MemoryFormat::ChannelsLast) &&
                         x.size(1) % CHANNELS == 0 && gradients[0].scalar_type() == type;
    const bool is_bfloat16 = type == at::kBFloat16;
    const bool wants_x = context->needs_input_grad(0), wants_weight = context->needs_input_grad(1);
    const bool own_x = wants_x && is_nhwc && is_bfloat16 && stride > 1;
    const bool own_weight =
        wants_weight && is_nhwc && (is_bfloat16 || type == at::kFloat) && weight.size(2) == FILTER && weight.size(3) == FILTER;
    const auto gradient = own_x || own_weight ? gradients[0].contiguous(at::MemoryFormat::ChannelsLast) : gradients[0];
    const Shape shape{x.size(0), x.size(2), x.size(3), x.size(1), gradient.size(2), gradient.size(3), weight.size(2), stride, padding};
    at::Tensor of_x, of_weight;
    if ((wants_x && !own_x) || (wants_weight && !own_weight)) {
      std::tie(of_x, of_weight, std::ignore) = at::convolution_backward(
          gradient, x, weight, std::nullopt, {stride, stride}, {padding, padding}, {1, 1}, false, {0, 0}, x.size(1),
          {wants_x && !own_x, wants_weight && !own_weight, false});
    }
    if (own_x) of_x = input_gradient(shape, x, gradient, weight);
    if (own_weight) of_weight = weight_gradient(shape, x, gradient, weight);
    return {of_x, of_weight, {}, {}};
  }
};

// What autocast does to the arguments of a convolution, which an autograd function has to do by itself.
at::Tensor as_autocast_does(const at::Tensor& tensor) {
  const auto device = tensor.device().type();
  if (!at::autocast::is_autocast_enabled(device)) return tensor;
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), tensor, device);
}

}  // namespace

extern "C" {

// Replaces the caller's at::Tensor `x` by its convolution with `weight`, `[C, 1, K, K]`.
char* dfd_depthwise_convolution(void* x, const void* weight, int64_t stride, int64_t padding) {
  return guarded([&] {
    auto& tensor = *static_cast<at::Tensor*>(x);
    const auto& filters = *static_cast<const at::Tensor*>(weight);
    tensor = DepthwiseConvolution::apply(as_autocast_does(tensor), as_autocast_does(filters), stride, padding);
  });
}

}
