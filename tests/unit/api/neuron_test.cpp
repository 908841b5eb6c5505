// A kernel for a NeuronCore through the public surface: its text, and the simulator called as compiled code is.
#include <gtest/gtest.h>

#include <cmath>

#include "api/heddle/heddle.h"

namespace heddle {
namespace {

const char* const text = R"(
op step(inout w: f32[n, m], g: f32[n, m], rate: f32 = 0.5) -> (size: f32[n], place: i64[n]) {
  require m >= 1, "there is one"
  size[i] = sum[j] w[i, j]
  best[i] = argmax[j] g[i, j]
  place[i] = best[i]
  w[i, j] <- w[i, j] - rate * g[i, j]
}
schedule step.tiles on neuron allow reassociate {
  split w.i by 128 into io, ii
  split size.i by 128 into io, ii
  split place.i by 128 into io, ii
  compute_at best, best_best at place.io in sbuf
  bind w.ii, size.ii, place.ii, best.i, best_best.i to partition
  bind w.j, size.j, best_best.j to free
}
op product(a: f32[m, k], b: f32[k, n]) -> c: f32[m, n] {
  acc[i, j] = sum[p] a[i, p] * b[p, j]
  c[i, j] = acc[i, j]
}
schedule product.turned on neuron allow reassociate, contract {
  layout a[i, p] to (p, i)
  compute_at acc at c.i in psum
  bind acc.p to partition
  bind c.j, acc.j to free
}
)";

Result<NeuronText> kernel_of(const char* name, std::vector<Spec> arrays, const char* profile = "full") {
  Result<Module> module = Module::parse(text);
  if (!module) return module.errors();
  Result<Op> op = module->op(name);
  CompileOptions options;
  options.arrays = std::move(arrays);
  options.target = "neuron/trn2";
  return op->neuron(options, {.profile = profile});
}

TEST(Neuron, simulates_as_compiled_code_is_called) {
  const int64_t n = 130, m = 7;
  Result<NeuronText> kernel = kernel_of("step", {Spec{ScalarType::f32, {n, m}}, Spec{ScalarType::f32, {n, m}}});
  ASSERT_TRUE(kernel) << render(kernel.errors());
  std::vector<float> w(n * m), g(n * m), size(n);
  std::vector<int64_t> place(n, -1);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 11), g[i] = static_cast<float>((i * 7) % 13);
  const std::vector<float> before = w;
  // g stands transposed in memory.
  std::vector<float> turned(n * m);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < m; ++j) turned[j * n + i] = g[i * m + j];
  Buffer strided = Buffer::of(turned.data(), {n, m});
  strided.strides = {1, n};
  Result<NeuronReport> report = kernel->simulate(
      {Buffer::of(w.data(), {n, m}), strided, Buffer::of(size.data(), {n}), Buffer::of(place.data(), {n})},
      {Scalar::of(0.25)}, {.timeline = true});
  ASSERT_TRUE(report) << render(report.errors());
  for (int64_t i = 0; i < n; ++i) {
    float sum = 0;
    int64_t best = 0;
    for (int64_t j = 0; j < m; ++j) {
      sum += before[i * m + j];
      if (g[i * m + j] > g[i * m + best]) best = j;
      EXPECT_EQ(w[i * m + j], before[i * m + j] - 0.25f * g[i * m + j]);
    }
    EXPECT_EQ(size[i], sum);
    EXPECT_EQ(place[i], best);
  }
  EXPECT_GT(report->modelled_us, 0);
  EXPECT_GT(report->dma_bytes, n * m * 8);
  EXPECT_NE(report->text.find("modelled"), std::string::npos);
  EXPECT_NE(report->timeline.find("traceEvents"), std::string::npos);
  EXPECT_EQ(report->picture.substr(0, 4), "<svg");
}

TEST(Neuron, packs_operands_and_takes_tables) {
  const int64_t m = 5, k = 70, n = 9;
  std::vector<float> a(m * k), b(k * n), c(m * n);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 5) - 2;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 3) - 1;
  for (const char* profile : {"full", "basic"}) {
    Result<NeuronText> kernel =
        kernel_of("product", {Spec{ScalarType::f32, {m, k}}, Spec{ScalarType::f32, {k, n}}}, profile);
    ASSERT_TRUE(kernel) << render(kernel.errors());
    std::fill(c.begin(), c.end(), -1.0f);
    Result<NeuronReport> report =
        kernel->simulate({Buffer::of(a.data(), {m, k}), Buffer::of(b.data(), {k, n}), Buffer::of(c.data(), {m, n})});
    ASSERT_TRUE(report) << render(report.errors());
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        float sum = 0;
        for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
        EXPECT_EQ(c[i * n + j], sum);
      }
  }
}

TEST(Neuron, refuses_arguments_that_do_not_fit) {
  Result<NeuronText> kernel = kernel_of("product", {Spec{ScalarType::f32, {5, 7}}, Spec{ScalarType::f32, {7, 9}}});
  ASSERT_TRUE(kernel) << render(kernel.errors());
  std::vector<float> a(99), c(99);
  std::vector<double> wrong(99);
  auto call = [&](std::vector<Buffer> arrays) { return kernel->simulate(arrays).errors(); };
  EXPECT_FALSE(call({Buffer::of(a.data(), {5, 7})}).empty());
  EXPECT_FALSE(
      call({Buffer::of(a.data(), {6, 7}), Buffer::of(a.data(), {7, 9}), Buffer::of(c.data(), {6, 9})}).empty());
  EXPECT_FALSE(
      call({Buffer::of(wrong.data(), {5, 7}), Buffer::of(a.data(), {7, 9}), Buffer::of(c.data(), {5, 9})}).empty());
  EXPECT_FALSE(NeuronText{}.simulate({}).ok());
}

}  // namespace
}  // namespace heddle
