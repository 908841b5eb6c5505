// Calls through the public surface: the short forms, and shapes that no array has.
#include <gtest/gtest.h>

#include <algorithm>

#include "api/heddle/heddle.h"

namespace heddle {
namespace {

static_assert(scalar_type_of<unsigned long long>() == ScalarType::u64 && scalar_type_of<uint16_t>() == ScalarType::u16);
static_assert(scalar_type_of<long>() == ScalarType::i64 && scalar_type_of<bool>() == ScalarType::boolean);
static_assert(scalar_type_of<int8_t>() == ScalarType::i8 && scalar_type_of<double>() == ScalarType::f64);

TEST(Calls, specs_and_buffers_without_braces) {
  Result<Module> module = Module::parse("op add(a: f32[n], b: f32[n]) -> y: f32[n] { y[i] = a[i] + b[i] }");
  Result<Op> op = module->op("add");
  Result<Kernel> kernel = op->compile(Spec{ScalarType::f32, {-1}}, Spec{ScalarType::f32, {-1}});
  ASSERT_TRUE(kernel.ok()) << render(kernel.errors());
  float a[] = {1, 2, 3}, b[] = {4, 5, 6}, y[3] = {};
  ASSERT_TRUE((*kernel)(Buffer::of(a, {3}), Buffer::of(b, {3}), Buffer::of(y, {3})).ok());
  EXPECT_EQ(y[2], 9);
  y[2] = 0;
  ASSERT_TRUE((*kernel)({Buffer::of(a, {3}), Buffer::of(b, {3}), Buffer::of(y, {3})}).ok());
  EXPECT_EQ(y[2], 9);
}

TEST(Calls, a_negative_extent_is_named) {
  Result<Module> module = Module::parse("op twice(x: f32[n, m]) -> y: f32[n, m] { y[i, j] = 2*x[i, j] }");
  Result<Kernel> kernel = module->op("twice")->compile(Spec{ScalarType::f32, {-1, -1}});
  float x[6] = {}, y[6] = {};
  Result<Done> done = (*kernel)(Buffer::of(x, {2, -3}), Buffer::of(y, {2, -3}));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.errors()[0].message, "axis 1 of the argument `x` has -3 elements");
}

TEST(Calls, what_this_machine_lacks_is_printed_not_called) {
  Result<Module> module = Module::parse("op twice(x: f32[n]) -> y: f32[n] { y[i] = 2*x[i] }");
  const std::vector<std::string> here = targets();
  for (const char* target : {"cpu/x86-64-v2", "cpu/avx2", "cpu/avx512", "cpu/amx"}) {
    CompileOptions options{.arrays = {Spec{ScalarType::f32, {-1}}}, .target = target, .for_emission = true};
    Result<Kernel> kernel = module->op("twice")->compile(options);
    ASSERT_TRUE(kernel.ok()) << render(kernel.errors());
    EXPECT_EQ(kernel->target(), target);
    EXPECT_NE(kernel->assembly()->find("twice"), std::string::npos);
    EXPECT_FALSE(kernel->ahead_of_time()->object.empty());
    float x[] = {1, 2}, y[2] = {};
    Result<Done> done = (*kernel)(Buffer::of(x, {2}), Buffer::of(y, {2}));
    const bool runs = std::find(here.begin(), here.end(), target) != here.end();
    ASSERT_EQ(done.ok(), runs) << target;
    if (runs) EXPECT_EQ(y[1], 4);
    else EXPECT_EQ(done.errors()[0].code, "HD0402");
  }
}

}  // namespace
}  // namespace heddle
