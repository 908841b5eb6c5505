// Compiled printed programs between fences, and calls that they refuse.
#include <gtest/gtest.h>

#include "api/heddle/heddle.h"
#include "tests/fuzz/common/fenced.h"

namespace heddle {
namespace {

Result<Kernel> compiled(const std::string& text, const std::string& target = "cpu") {
  Result<Module> module = Module::parse(text);
  if (!module) return module.errors();
  Result<Program> program = module->program(module->programs().front());
  if (!program) return program.errors();
  return program->compile(target);
}

Buffer buffer(const fuzz::FencedArray& a) { return {a.data(), a.type(), a.extents(), a.strides()}; }

std::string code(const Result<Done>& r) { return r ? "" : r.errors().front().code; }

// Lanes that are off by a constant and by a size, in loops wider than a register: nothing behind the arrays is touched.
TEST(Safety, masked_lanes_keep_to_the_arrays) {
  for (const std::string& target : targets())
    for (ScalarType type : {ScalarType::f32, ScalarType::f64, ScalarType::i32, ScalarType::i8})
      for (int width : {8, 16, 32})
        for (int block : {3, 8, 9}) {
          const std::string t(ir::scalar_type_name(type)), w = std::to_string(width), b = std::to_string(block);
          Result<Kernel> k =
              compiled("program p(in x: " + t + "[n], in z: " + t + "[n], out y: " + t +
                           "[n]) {\n  stage y(map i in 0 .. n)\n" + "  for y.io in 0 .. ceildiv(n, " + b +
                           ") {\n    for y.v in 0 .. " + w + " vector {\n      at y(i = " + b + "*io + v) where " + b +
                           "*io + v < n && v < " + b + " { y[i] = x[i] * z[i] }\n    }\n  }\n}",
                       target);
          ASSERT_TRUE(k.ok()) << render(k.errors());
          for (int64_t n : {0, 1, 5, 17}) {
            fuzz::FencedArray x(type, {n}, true), z(type, {n}, true), y(type, {n}, true);
            EXPECT_EQ(code((*k)({buffer(x), buffer(z), buffer(y)})), "") << target << t << w << b;
          }
        }
}

// One lane is on, and what it holds was computed in wider lanes: no more than its own bytes are written.
TEST(Safety, one_lane_of_narrow_elements) {
  for (const std::string& target : targets())
    for (ScalarType type : {ScalarType::f16, ScalarType::bf16, ScalarType::f8e4m3, ScalarType::i8, ScalarType::i32})
      for (int n : {1, 2, 3, 9}) {
        const std::string t(ir::scalar_type_name(type)), size = std::to_string(n);
        Result<Kernel> k = compiled(
            "program p(in x: " + t + "[" + size + "], out y: " + t + "[" + size + "]) {\n  stage y(map i in 0 .. " +
                size + ")\n  for y.io in 0 .. " + std::to_string((n + 7) / 8) +
                " {\n    for y.v in 0 .. 8 vector {\n      at y(i = 8*io + v) where 8*io + v < " + size +
                " { y[i] = x[i] / x[i] }\n    }\n  }\n}",
            target);
        ASSERT_TRUE(k.ok()) << render(k.errors());
        fuzz::FencedArray x(type, {n}, true), y(type, {n}, true);
        EXPECT_EQ(code((*k)({buffer(x), buffer(y)})), "") << target << t;
      }
}

// The index that all lanes share comes from data, behind a condition that is off for all of them in the last row.
TEST(Safety, an_index_is_read_under_the_mask_of_its_lanes) {
  for (const std::string& target : targets()) {
    Result<Kernel> k = compiled(
        "program p(in x: i8[m, n, k], in id: i64[m], out y: i8[m, k]) {\n  stage y(map i in 0 .. m, map c in 0 .. k)\n"
        "  for y@check1.i in 0 .. m {\n    check 0 <= index(id[i]) && index(id[i]) < n, \"inside\" at i\n  }\n"
        "  for y.i in 0 .. m {\n    for y.co in 0 .. ceildiv(k, 4) {\n      for y.cv in 0 .. 4 vector {\n"
        "        at y(i = i, c = 4*co + cv) where 4*co + cv < k { y[i, c] = if i + 1 < m && (0 <= c && c < k) then "
        "x[i + 1, index(id[i + 1]), c] else 4 }\n      }\n    }\n  }\n}",
        target);
    ASSERT_TRUE(k.ok()) << render(k.errors());
    fuzz::FencedArray x(ScalarType::i8, {3, 2, 5}, true), id(ScalarType::i64, {3}, true),
        y(ScalarType::i8, {3, 5}, true);
    std::fill_n(reinterpret_cast<int8_t*>(x.data()), 30, int8_t{7});
    std::fill_n(reinterpret_cast<int64_t*>(id.data()), 3, int64_t{1});
    ASSERT_EQ(code((*k)({buffer(x), buffer(id), buffer(y)})), "") << target;
    for (int i = 0; i < 15; ++i) EXPECT_EQ(reinterpret_cast<int8_t*>(y.data())[i], i < 10 ? 7 : 4) << target << i;
  }
}

constexpr const char* copy_where =
    "program copy(in x: f32[n], in z: f32[m], out y: f32[n]) facts (m >= n) {\n  stage y(map i in 0 .. n)\n"
    "  for y.i in 0 .. n {\n    at y(i = i) { y[i] = z[i] }\n  }\n}";

TEST(Safety, a_call_enforces_the_facts_of_the_header) {
  Result<Kernel> k = compiled(copy_where);
  ASSERT_TRUE(k.ok()) << render(k.errors());
  float x[4] = {}, z[4] = {1, 2, 3, 4}, y[4] = {};
  EXPECT_EQ(code((*k)({Buffer::of(x, {4}), Buffer::of(z, {4}), Buffer::of(y, {4})})), "");
  EXPECT_EQ(y[3], 4);
  EXPECT_EQ(code((*k)({Buffer::of(x, {4}), Buffer::of(z, {3}), Buffer::of(y, {4})})), "HD0504");
}

TEST(Safety, sizes_past_64_bits_are_refused_at_the_call) {
  Result<Kernel> k = compiled(
      "program p(in x: f32[n, m], out y: f32[m]) {\n  stage t(map i in 0 .. m)\n"
      "  alloc t: f32[i in 0 .. n, j in 0 .. n, k in 0 .. n] in dram\n  for t.i in 0 .. n {\n"
      "    at t(i = i) where i < m { t[i, i, i] = 0.0 }\n  }\n}");
  ASSERT_TRUE(k.ok()) << render(k.errors());
  float y[1] = {};
  EXPECT_EQ(code((*k)({Buffer::of(y, {4, 0}), Buffer::of(y, {0})})), "");
  EXPECT_EQ(code((*k)({Buffer::of(y, {int64_t{1} << 22, 0}), Buffer::of(y, {0})})), "HD0511");
  EXPECT_EQ(code((*k)({Buffer::of(y, {int64_t{1} << 50, 0}), Buffer::of(y, {0})})), "HD0503");
}

TEST(Safety, loop_bounds_past_64_bits_are_refused_at_the_call) {
  Result<Kernel> k = compiled(
      "program p(in x: f32[n, m], out y: f32[m]) {\n  stage y(map i in 0 .. m)\n"
      "  for y.i in 0 .. n*n*n {\n    at y(i = i) where i < m && i < 1 { y[i] = 0.0 }\n  }\n}");
  ASSERT_TRUE(k.ok()) << render(k.errors());
  float y[1] = {};
  EXPECT_EQ(code((*k)({Buffer::of(y, {3, 0}), Buffer::of(y, {0})})), "");
  EXPECT_EQ(code((*k)({Buffer::of(y, {int64_t{1} << 30, 0}), Buffer::of(y, {0})})), "HD0503");
}

}  // namespace
}  // namespace heddle
