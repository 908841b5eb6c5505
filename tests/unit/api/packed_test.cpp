// Packed operands through the public surface: made once, passed to many calls, refused where they do not fit.
#include <gtest/gtest.h>

#include "api/heddle/heddle.h"

namespace heddle {
namespace {

const char* const text = R"(
op matmul(a: f32[m, k], b: f32[k, n]) -> c: f32[m, n] {
  acc[i, j] = sum[p] a[i, p] * b[p, j]
  c[i, j] = acc[i, j]
}
schedule matmul.panels on cpu { layout b[p, j] to (j/4, p, j%4) with 0 }
schedule matmul.turned on cpu { layout b[p, j] to (j, p) }
)";

Kernel kernel_of(const char* schedule) {
  Result<Module> module = Module::parse(text);
  Result<Op> op = module->op("matmul");
  CompileOptions options;
  options.arrays = {Spec{ScalarType::f32, {-1, -1}}, Spec{ScalarType::f32, {-1, -1}}};
  options.schedule = schedule;
  return *op->compile(options);
}

TEST(Packed, serves_many_calls) {
  const Kernel kernel = kernel_of("panels");
  const int64_t k = 5, n = 6;
  std::vector<float> b(k * n);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 7);
  Result<Packed> packed = kernel.pack("b", Buffer::of(b.data(), {k, n}));
  ASSERT_TRUE(packed) << render(packed.errors());
  EXPECT_EQ(packed->layout(), "f32 (i1/4, i0, i1%4) with f32(0.0)");
  EXPECT_EQ(packed->bytes(), 4 * 2 * 5 * 4);
  for (int64_t m : {0, 1, 3}) {
    std::vector<float> a(m * k, 0.5f), c(m * n, -1), d(m * n, -2);
    Result<Done> done = kernel({Buffer::of(a.data(), {m, k}), packed->buffer(), Buffer::of(c.data(), {m, n})});
    ASSERT_TRUE(done) << render(done.errors());
    ASSERT_TRUE(kernel({Buffer::of(a.data(), {m, k}), Buffer::of(b.data(), {k, n}), Buffer::of(d.data(), {m, n})}));
    EXPECT_EQ(c, d);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        float sum = 0;
        for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
        EXPECT_EQ(c[i * n + j], sum);
      }
  }
}

TEST(Packed, is_refused_where_it_does_not_fit) {
  const Kernel panels = kernel_of("panels"), turned = kernel_of("turned");
  std::vector<float> a(15), b(30), c(18);
  Result<Packed> packed = panels.pack("b", Buffer::of(b.data(), {5, 6}));
  ASSERT_TRUE(packed);
  auto call = [&](const Kernel& k, Buffer x) {
    return k({Buffer::of(a.data(), {3, 5}), std::move(x), Buffer::of(c.data(), {3, 6})});
  };
  EXPECT_EQ(call(turned, packed->buffer()).errors().front().code, "HD0515");
  EXPECT_EQ(panels.pack("a", Buffer::of(a.data(), {3, 5})).errors().front().code, "HD0515");
  EXPECT_EQ(panels.pack("b", Buffer::of(b.data(), {30})).errors().front().code, "HD0501");
  EXPECT_EQ(panels.pack("b", packed->buffer()).errors().front().code, "HD0515");
  Result<Packed> other = panels.pack("b", Buffer::of(b.data(), {6, 5}));
  ASSERT_TRUE(other);
  EXPECT_EQ(call(panels, other->buffer()).errors().front().code, "HD0503");
}

}  // namespace
}  // namespace heddle
