// What the check of ops accepts and refuses, with the place of each refusal.
#include <gtest/gtest.h>

#include "frontend/module.h"
#include "frontend/program_text.h"
#include "ir/print.h"
#include "ir/verify.h"

namespace heddle::frontend {
namespace {

Result<Module> read(const std::string& text) { return read_module(Source::make("<test>", text)); }

struct Refusal {
  const char* name;
  const char* text;
  const char* code;
  int line, column;
  const char* message;  // part of it
  const char* help;     // part of it
};

class Refused : public testing::TestWithParam<Refusal> {};

TEST_P(Refused, at_its_place) {
  const Refusal& want = GetParam();
  Result<Module> module = read(want.text);
  ASSERT_FALSE(module.ok());
  const Diagnostic& d = module.errors().front();
  EXPECT_EQ(d.code, want.code) << render(module.errors());
  ASSERT_TRUE(d.place.known());
  auto at = d.place.source->at(d.place.begin);
  EXPECT_EQ(at.line, want.line) << render(module.errors());
  EXPECT_EQ(at.column, want.column) << render(module.errors());
  EXPECT_NE(d.message.find(want.message), std::string::npos) << render(module.errors());
  EXPECT_NE(d.help.find(want.help), std::string::npos) << render(module.errors());
  EXPECT_EQ(module.errors().size(), 1u) << render(module.errors());
}

const Refusal refusals[] = {
    // names
    {"unknown_name", "op f(weight: f32[n]) -> y: f32[n] {\n  y[i] = weigth[i]\n}", "HD0101", 2, 10,
     "there is no `weigth`", "did you mean `weight`"},
    {"unknown_dim_of_a_result", "op f(x: f32[n]) -> y: f32[k] { y[i] = 0 }", "HD0101", 1, 27, "there is no `k`",
     "a `let`"},
    {"unknown_function", "op f(x: f32[n]) -> y: f32[n] { y[i] = sqr(x[i]) }", "HD0101", 1, 39, "no function `sqr`",
     "did you mean `sqrt`"},
    {"unknown_index", "op f(x: f32[n]) -> y: f32[n] { y[i] = x[j] }", "HD0101", 1, 41, "there is no `j`", "left side"},
    {"unknown_reducer", "op f(x: f32[n]) -> y: f32[n] {\n  y[i] = sun[p] x[p]\n}", "HD0101", 2, 10, "`sun`",
     "sum prod"},
    {"defined_twice", "op f(x: f32[n], x: f32[n]) -> y: f32[n] { y[i] = x[i] }", "HD0102", 1, 17,
     "`x` is defined twice", "one namespace"},
    {"dim_named_like_a_tensor", "op f(n: f32[n]) -> y: f32[4] { y[i] = 0 }", "HD0119", 1, 13, "`n` is a tensor", ""},
    {"op_defined_twice", "op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }\nop f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }",
     "HD0102", 2, 4, "`f` is defined twice", ""},
    {"unknown_type", "op f(x: fp32[n]) -> y: f32[n] { y[i] = 0 }", "HD0103", 1, 9, "no type `fp32`",
     "did you mean `f32`"},
    {"unknown_class", "op f<T: flat>(x: T[n]) -> y: T[n] { y[i] = x[i] }", "HD0103", 1, 9, "class of types `flat`",
     "float"},
    {"index_like_a_tensor", "op f(x: f32[n]) -> y: f32[n] { y[x] = x[x] }", "HD0115", 1, 34, "named like a tensor",
     "another name"},
    {"index_like_a_dim", "op f(x: f32[n]) -> y: f32[n] { y[n] = x[n] }", "HD0115", 1, 34, "named like a dim", ""},
    {"index_like_a_later_stage", "op f(x: f32[n]) -> y: f32[n] { t[y] = x[y]\n y[i] = t[i] }", "HD0115", 1, 34,
     "named like a tensor", ""},
    {"index_bound_twice", "op f(x: f32[n, m]) -> y: f32[n] { y[i] = sum[i] x[i, i] }", "HD0115", 1, 46, "another index",
     ""},
    {"schedule_of_no_op", "op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] }\nschedule g.rows on cpu { parallel y.i }",
     "HD0126", 2, 10, "no op `g`", ""},

    // dims
    {"dim_without_definition", "op f(x: f32[a + b]) -> y: f32[a] { y[i] = 0 }", "HD0104", 1, 13,
     "nothing defines the dim `a`", "bare dim"},
    {"let_of_itself", "op f(x: f32[n]) -> y: f32[a] {\n  let a = b + n\n  let b = a\n  y[i] = 0\n}", "HD0104", 2, 7,
     "dim `a`", ""},

    // ranges
    {"shapes_differ_in_a_sum",
     "op matmul(a: f32[m, k], b: f32[q, n]) -> c: f32[m, n] {\n  c[i, j] = sum[p] a[i, p] * b[p, j]\n}", "HD0105", 2,
     32, "`p` runs over `0 .. q` here, and over `0 .. k` before", "require k == q"},
    {"shapes_differ_from_the_result", "op add(a: f32[m], b: f32[n]) -> c: f32[m] {\n  c[i] = a[i] + b[i]\n}", "HD0105",
     2, 19, "`i` runs over `0 .. m`, and this dim of `b` over `0 .. n`", "require m <= n"},
    {"unbound_reduce_index", "op f(x: f32[n]) -> y: f32[n] { y[i] = sum[p] x[i] }", "HD0106", 1, 43, "`p`",
     "p in 0 .. n"},
    {"unbound_under_or", "op f(x: f32[n]) -> y: f32[n] { t[i] = x[i] or 0\n y[i] = t[i] }", "HD0106", 1, 34, "`i`",
     "write the range"},
    {"unbound_in_an_arm", "op f(x: f32[n], c: bool) -> y: f32[n] { t[i] = if c then x[i] else 0\n y[i] = t[i] }",
     "HD0106", 1, 43, "`i`", ""},
    {"left_range_of_a_result", "op f(x: f32[n]) -> y: f32[n] { y[i in 0 .. n - 1] = x[i] }", "HD0110", 1, 34,
     "is not covered", "leave the range out"},

    // reads
    {"read_outside_above", "op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[i + 1]\n}", "HD0107", 2, 12,
     "cannot show that `i + 1 < n` in `x[i + 1]`", "x[i + 1] or 0"},
    {"read_outside_below", "op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[i - 1]\n}", "HD0107", 2, 12,
     "cannot show that `i - 1 >= 0`", "or 0"},
    {"read_outside_names_the_require", "op f(x: f32[n], k: f32[m]) -> y: f32[n] {\n  y[i] = k[i + 2]\n}", "HD0107", 2,
     12, "`i + 2 < m`", "require n + 2 <= m"},
    {"read_at_the_end", "op f(x: f32[n]) -> y: f32[n] { y[i] = x[n] }", "HD0107", 1, 41, "`n < n`", ""},
    {"read_of_a_possibly_empty_dim", "op f(x: f32[n]) -> y: f32[m] { let m = n + 1\n y[i] = x[0] }", "HD0107", 2, 11,
     "`0 < n`", "require 1 <= n"},
    {"read_in_the_other_arm", "op f(x: f32[n]) -> y: f32[n] { y[i] = if i > 0 then 0 else x[i - 1] }", "HD0107", 1, 62,
     "`i - 1 >= 0`", ""},
    {"dependent_range_too_long", "op f(x: f32[n]) -> y: f32[n] { y[i] = sum[j in 0 .. i + 2] x[j] }", "HD0105", 1, 62,
     "`j` runs over `0 .. i + 2`", ""},

    // definitions
    {"written_twice", "op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[i]\n  y[i] = x[i]\n}", "HD0108", 3, 3,
     "`y` is written twice", "one equation"},
    {"stage_written_twice", "op f(x: f32[n]) -> y: f32[n] {\n  t[i] = x[i]\n  t[i] = x[i]\n  y[i] = t[i]\n}", "HD0108",
     3, 3, "`t` is written twice", ""},
    {"result_undefined", "op f(x: f32[n]) -> (y: f32[n], z: f32[n]) { y[i] = x[i] }", "HD0109", 1, 32,
     "`z` has no equation", "z[..] = .."},
    {"input_written", "op f(x: f32[n]) -> y: f32[n] { x[i] = 0\n y[i] = x[i] }", "HD0122", 1, 32, "`x` is an input",
     "inout"},
    {"reducer_without_field",
     "reducer r(a: f32, b: f32) commutes {\n  identity { a = 0 }\n  combine(x, y) { a = x.a + y.a; b = x.b + y.b }\n}",
     "HD0129", 1, 9, "`identity` of `r` does not define `b`", ""},
    {"reducer_with_unknown_side",
     "reducer r(a: f32) commutes {\n  identity { a = 0 }\n  combine(x, y) { a = x.a + z.a }\n}", "HD0101", 3, 29,
     "there is no `z.a` here (the states are `x` and `y`)", ""},
    {"dim_written", "op f(x: f32[n]) -> y: f32[n] { n[i] = x[i]\n y[i] = x[i] }", "HD0102", 1, 32, "not a tensor", ""},
    {"wrong_left_rank", "op f(x: f32[n]) -> y: f32[n] { y[i, j] = x[i] }", "HD0117", 1, 32,
     "does not match the shape of `y`", ""},
    {"composite_without_tuple", "op f(x: f32[n, (2, k)]) -> y: f32[n, k] { y[i, j] = x[i, j] }", "HD0117", 1, 58,
     "made of 2 parts", "(r, q)"},
    {"wrong_read_rank", "op f(x: f32[n, m]) -> y: f32[n] { y[i] = x[i] }", "HD0117", 1, 42, "takes 2 subscripts, not 1",
     ""},
    {"constant_left_subscript", "op f(x: f32[n]) -> y: f32[n] { y[0] = x[0] }", "HD0122", 1, 34, "no bare index", ""},
    {"reads_a_later_stage", "op f(x: f32[n]) -> y: f32[n] {\n  y[i] = t[i]\n  t[i] = x[i]\n}", "HD0116", 2, 10,
     "read before it is defined", "move its equation up"},
    {"reads_itself", "op f(x: f32[n]) -> y: f32[n] {\n  y[i] = y[i]\n}", "HD0116", 2, 10, "`y` reads itself", "scan"},

    // types
    {"silent_to_result", "op f(x: bf16[n]) -> y: f32[n] {\n  y[i] = x[i]\n}", "HD0111", 2, 10,
     "`y` is `f32`, and `x[i]` is `bf16`", "f32(x[i])"},
    {"silent_generic", "op f<T: float>(x: T[n]) -> y: T[n] {\n  y[i] = widen(x[i])\n}", "HD0111", 2, 10,
     "(with `T = f16`)", "T(widen(x[i]))"},
    {"silent_operands", "op f(x: f32[n], z: i32[n]) -> y: f32[n] {\n  y[i] = x[i] * z[i]\n}", "HD0111", 2, 15,
     "`f32` and `i32` meet in `*`", "f32(z[i])"},
    {"silent_widening", "op f(x: f32[n], z: bf16[n]) -> y: f32[n] {\n  y[i] = x[i] * z[i]\n}", "HD0111", 2, 15,
     "`f32` and `bf16`", "widen(z[i])"},
    {"silent_index", "op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[i] * n\n}", "HD0111", 2, 15, "`f32` and an index",
     "f32(n)"},
    {"index_as_data", "op f(x: f32[n]) -> y: i64[n] {\n  y[i] = i\n}", "HD0111", 2, 10, "`y` is `i64`", "i64(i)"},
    {"stage_of_indices", "op f(x: f32[n]) -> y: f32[n] {\n  t[i in 0 .. n] = i\n  y[i] = x[i]\n}", "HD0111", 2, 20,
     "is an index", "i64(i)"},
    {"float_subscript", "op f(x: f32[n], k: f32[n]) -> y: f32[n] {\n  y[i] = x[k[i]]\n}", "HD0119", 2, 12,
     "an integer is needed", "i64(k[i])"},
    {"literal_too_large", "op f(x: i8[n]) -> y: i8[n] { y[i] = x[i] + 300 }", "HD0112", 1, 44,
     "`300` does not fit in `i8` exactly", ""},
    {"negative_unsigned", "op f(x: u8[n]) -> y: u8[n] { y[i] = x[i] + -1 }", "HD0112", 1, 44,
     "`-1` does not fit in `u8` exactly", ""},
    {"fraction_as_integer", "op f(x: i32[n]) -> y: i32[n] { y[i] = x[i] * 0.5 }", "HD0112", 1, 46,
     "`0.5` does not fit in `i32` exactly", ""},
    {"integer_past_the_float", "op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] + 16777217 }", "HD0112", 1, 46,
     "does not fit in `f32`", ""},
    {"overflowing_literal", "op f(x: f16[n]) -> y: f16[n] { y[i] = x[i] + 1e6 }", "HD0112", 1, 46,
     "does not fit in `f16`", ""},
    {"literal_without_type", "op f(x: f32[n]) -> y: f32[n] { t[i in 0 .. n] = 1\n y[i] = t[i] }", "HD0113", 1, 49,
     "the type of `1`", "f32(1)"},
    {"condition_from_a_number", "op f(x: f32[n]) -> y: f32[n] { y[i] = if x[i] then 1 else 0 }", "HD0119", 1, 42,
     "a condition is needed", "x[i] != 0"},
    {"sum_of_conditions", "op f(x: f32[n]) -> y: bool[n] { y[i] = sum[p] x[p] > 0 }", "HD0119", 1, 47,
     "`sum` takes numbers", ""},
    {"any_of_numbers", "op f(x: f32[n]) -> y: f32[n] { y[i] = any[p] x[p] }", "HD0119", 1, 46, "`any` takes conditions",
     ""},
    {"float_function_of_integers", "op f(x: i32[n]) -> y: i32[n] { y[i] = exp(x[i]) }", "HD0119", 1, 39,
     "`exp` takes a float", "exp(f32(x[i]))"},
    {"arguments", "op f(x: f32[n]) -> y: f32[n] { y[i] = max(x[i]) }", "HD0118", 1, 39, "takes 2 arguments, not 1", ""},
    {"bits_of_floats", "op f(x: f32[n]) -> y: f32[n] { y[i] = x[i] & x[i] }", "HD0119", 1, 39,
     "`&` does not take `f32`", ""},
    {"otherwise_of_another_type", "op f(x: f32[n]) -> y: f32[n] { y[i] = x[i - 1] or n }", "HD0111", 1, 51,
     "is an index", ""},

    // forms that the language has and this version refuses
    {"call_inside", "op g(x: f32[n]) -> y: f32[n] { y[i] = x[i] }\nop f(x: f32[n]) -> y: f32[n] { y[i] = 1 + g(x) }",
     "HD0114", 2, 43, "only at the root", "split it in two lines"},
    {"const_of_float", "op f(x: f32[n], const c: f32) -> y: f32[n] { y[i] = x[i] }", "HD0123", 1, 26,
     "no `int` or `bool`", ""},
    {"scalar_of_int", "op f(x: f32[n], c: int) -> y: f32[n] { y[i] = x[i] }", "HD0103", 1, 20, "no type `int`",
     "const c: int"},
    {"tensor_without_shape", "op f(x: f32[n]) -> y: f32 { y[i] = x[i] }", "HD0123", 1, 23, "has no shape", "f32[]"},
};

INSTANTIATE_TEST_SUITE_P(Check, Refused, testing::ValuesIn(refusals),
                         [](const auto& row) { return std::string(row.param.name); });

// ---------------------------------------------------------------------------------------------------------------------

// The canonical program of the only op, which obeys the invariants and reads back to itself.
std::string canonical_text(const std::string& text, const Instance& instance) {
  Result<Module> module = read(text);
  if (!module.ok()) return render(module.errors());
  Result<ir::Op> op = instantiate(*module, module->ops.back()->name(), instance);
  if (!op.ok()) return render(op.errors());
  ir::Program program = ir::canonical(*op);
  Diagnostics broken = ir::verify(program);
  if (!broken.empty()) return render(broken);
  std::string printed = ir::print(program);
  Result<ir::Program> back = read_program(Source::make("<printed>", printed));
  if (!back.ok()) return printed + render(back.errors());
  if (!ir::equal_up_to_names(program, *back)) return printed + "reads back as another program:\n" + ir::print(*back);
  return printed;
}

void expect_has(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << "no `" << part << "` in\n" << text;
}

TEST(Check, matmul_of_bf16) {
  std::string p = canonical_text(
      "op matmul<T: number>(a: T[m, k], b: T[k, n]) -> c: T[m, n] {\n"
      "  acc[i, j] = sum[p] widen(a[i, p]) * widen(b[p, j])\n  c[i, j] = T(acc[i, j])\n}",
      {{{"T", ir::ScalarType::bf16}}, {}, {}});
  expect_has(
      p, {"in a: bf16[m, k] in dram", "alloc acc: f32[i in 0 .. m, j in 0 .. n] in dram", "reduce p in 0 .. k) by sum",
          "acc[i, j] sum= f32(a[i, p]) * f32(b[p, j])", "c[i, j] = bf16(acc[i, j])"});
}

const char* conv =
    "op conv2d<T: float>(x: T[n, (g, cg), h, w], k: T[(g, fg), cg, kh, kw],\n"
    "                    const g: int = 1, const s: int = 1, const p: int = 0, const dil: int = 1) -> y: T[n, (g, fg), "
    "oh, ow] {\n"
    "  require s >= 1 && dil >= 1 && p >= 0, \"stride and dilation are positive, padding is not negative\"\n"
    "  let oh = (h + 2*p - dil*(kh - 1) - 1)/s + 1\n"
    "  let ow = (w + 2*p - dil*(kw - 1) - 1)/s + 1\n"
    "  acc[b in 0..n, r, o, i in 0..oh, j in 0..ow] = sum[q, u, v] (\n"
    "    widen(x[b, (r, q), i*s + u*dil - p, j*s + v*dil - p] or 0) * widen(k[(r, o), q, u, v]))\n"
    "  y[b, (r, o), i, j] = T(acc[b, r, o, i, j])\n}";

TEST(Check, convolution_with_composite_dims_and_consts) {
  std::string p = canonical_text(conv, {{{"T", ir::ScalarType::f32}}, {{"g", 4}, {"s", 2}, {"p", 1}}, {}});
  expect_has(p, {"in x: f32[n, (4, cg), h, w]", "x[b, (r, q), i*2 + u - 1, j*2 + v - 1] or 0.0", "k[(r, o), q, u, v]",
                 "out y: f32[n, (4, fg), oh, ow]", "let oh = ", "require oh >= 0"});
}

TEST(Check, a_requirement_on_consts_is_decided) {
  std::string p = canonical_text(conv, {{{"T", ir::ScalarType::f32}}, {{"s", 0}}, {}});
  expect_has(p, {"HD0120", "does not hold: stride and dilation are positive"});
}

const char* softmax =
    "/// Rows that sum to one.\nop softmax<T: float>(x: T[...r, cols]) -> y: T[...r, cols] {\n"
    "  peak[...r]  = max[c] x[...r, c]\n  e[...r, c]  = exp(widen(x[...r, c]) - widen(peak[...r]))\n"
    "  total[...r] = sum[c] e[...r, c]\n  y[...r, c]  = T(e[...r, c] / total[...r])\n}";

TEST(Check, packs_of_any_rank) {
  Instance rank1{{{"T", ir::ScalarType::f32}}, {}, {{"r", 1}}};
  expect_has(canonical_text(softmax, rank1),
             {"in x: f32[r_0, cols]", "for y.r in 0 .. r_0", "y[r, c] = e[r, c] / total[r]"});
  Instance rank3{{{"T", ir::ScalarType::f32}}, {}, {{"r", 3}}};
  expect_has(canonical_text(softmax, rank3),
             {"in x: f32[r_0, r_1, r_2, cols]", "for y.r in 0 .. r_2", "total[r0, r1, r]"});
  Instance rank0{{{"T", ir::ScalarType::f32}}, {}, {{"r", 0}}};
  expect_has(canonical_text(softmax, rank0), {"in x: f32[cols]", "reduce peak by max", "y[c] = e[c] / total"});
}

TEST(Check, documentation_and_signature) {
  Result<Module> m = read(softmax);
  ASSERT_TRUE(m.ok());
  EXPECT_EQ(m->ops[0]->doc(), "Rows that sum to one.");
  const OpSignature& s = m->ops[0]->signature;
  ASSERT_EQ(s.params.size(), 1u);
  EXPECT_EQ(s.params[0].dims, (std::vector<std::string>{"...r", "cols"}));
  EXPECT_EQ(s.params[0].fixed_rank, 1);
  EXPECT_EQ(s.generics[0].cls, "float");
  EXPECT_FALSE(s.params[0].type.has_value());
}

TEST(Check, scalars_and_defaults) {
  std::string p = canonical_text(
      "op f(x: f32[n], eps: f32 = 1e-5, k: i32, pos: i64 = 0) -> y: f32[n] {\n  require pos >= 0 && pos < n, "
      "\"inside\"\n"
      "  y[i] = x[pos] + eps + f32(k) * f32(i)\n}",
      {});
  expect_has(p, {"k: i32, pos: i64 = 0", "require index(pos) >= 0 && index(pos) < n, \"inside\"",
                 "x[index(pos)] + eps + f32(k) * f32(i)"});
}

TEST(Check, affine_and_derived_dims) {
  std::string p = canonical_text(
      "op f(off: i64[2*rows + 1], x: f32[(4, nu)]) -> y: f32[rows, nu] { y[r, c] = f32(off[2*r]) * x[(3, c)] }", {});
  expect_has(p, {"in off: i64[2*rows + 1]", "off[2*r]", "x[(3, c)]"});
  Result<Module> m =
      read("op f(off: i64[2*rows + 1], x: f32[(4, nu)]) -> y: f32[rows, nu] { y[r, c] = f32(off[2*r]) * x[(3, c)] }");
  ASSERT_TRUE(m.ok());
  Result<ir::Op> op = instantiate(*m, "f", {});
  ASSERT_TRUE(op.ok());
  ASSERT_EQ(op->frame.dims.size(), 2u);
  EXPECT_EQ(ir::print(op->frame, op->frame.dims[0].offset), "1");
  EXPECT_EQ(ir::print(op->frame, op->frame.dims[0].divisor), "2");
  EXPECT_EQ(ir::print(op->frame, op->frame.dims[1].divisor), "4");
}

TEST(Check, requirements_are_facts) {
  expect_has(canonical_text("op f(a: f32[m, k], b: f32[q, n]) -> c: f32[m, n] {\n  require k == q, \"inner dims\"\n"
                            "  c[i, j] = sum[p] a[i, p] * b[p, j]\n}",
                            {}),
             {"require k == q, \"inner dims\"", "reduce p in 0 .. k"});
  expect_has(
      canonical_text(
          "op f(x: f32[n], off: i64) -> y: f32[m] {\n  let m = n - 2\n  y[i] = x[i] + x[i + 1] + x[i + 2]\n}", {}),
      {"x[i + 2]", "let m = n - 2", "require m >= 0"});
}

TEST(Check, conditions_guard_reads) {
  canonical_text("op f(x: f32[n]) -> y: f32[n] { y[i] = if i > 0 && x[i - 1] > 0 then x[i - 1] else x[i] }", {});
  expect_has(canonical_text("op concat<T: any>(a: T[m, d], b: T[n, d]) -> y: T[m + n, d] { y[i, e] = if i < m then "
                            "a[i, e] else b[i - m, e] }",
                            {{{"T", ir::ScalarType::boolean}}, {}, {}}),
             {"if i < m then a[i, e] else b[i - m, e]"});
  expect_has(
      canonical_text(
          "op f(x: f32[n, n]) -> y: f32[n, n] { y[i, j] = if i == 0 || j > i then x[i, j] else x[i - 1, j] }", {}),
      {"x[i - 1, j]"});
}

TEST(Check, dependent_ranges_and_where) {
  expect_has(canonical_text(
                 "op cumsum(x: f32[rows, cols]) -> y: f32[rows, cols] { y[r, i] = sum[j in 0 .. i + 1] x[r, j] }", {}),
             {"reduce j in 0 .. i + 1", "for y.j in 0 .. i + 1"});
  expect_has(canonical_text("op f(x: f32[n]) -> y: f32[n] { y[i] = sum[j where j <= i && j > 0] x[j] * x[j - 1] }", {}),
             {"where j <= i && j > 0"});
}

TEST(Check, checks_on_data_come_before_the_first_write) {
  std::string p =
      canonical_text("op embed<T: any>(table: T[vocab, d], id: i64[n]) -> y: T[n, d] { y[i, e] = table[id[i], e] }",
                     {{{"T", ir::ScalarType::f32}}, {}, {}});
  expect_has(p, {"check 0 <= index(id[i]) && index(id[i]) < vocab, \"`id[i]` is inside `table`\" at i"});
  EXPECT_LT(p.find("check 0"), p.find("for y.i"));
  std::string q = canonical_text(
      "op f(x: f32[n], id: i32[n]) -> y: f32[n] { y[i] = if id[i] >= 0 && id[i] < n then x[id[i]] else 0 }", {});
  EXPECT_NE(q.find("x[index(id[i])]"), std::string::npos) << q;
}

const char* welford =
    "reducer welford(n: f32, mean: f32, m2: f32) commutes {\n  identity { n = 0; mean = 0; m2 = 0 }\n  combine(a, b) "
    "{\n    n = a.n + b.n\n"
    "    dl = b.mean - a.mean\n    f = if n == 0 then 0 else b.n / n\n    mean = a.mean + dl*f\n    m2 = a.m2 + b.m2 + "
    "dl*dl*a.n*f\n  }\n}\n";

TEST(Check, states_of_user_reducers) {
  std::string p = canonical_text(
      std::string(welford) +
          "op layernorm<T: float>(x: T[...r, cols], gain: T[cols], bias: T[cols], eps: f32 = 1e-5) -> y: T[...r, cols] "
          "{\n"
          "  st[...r] = welford[c] (n = 1, mean = widen(x[...r, c]), m2 = 0)\n  inv[...r] = rsqrt(st[...r].m2 / "
          "f32(cols) + eps)\n"
          "  y[...r, c] = T((widen(x[...r, c]) - st[...r].mean) * inv[...r] * widen(gain[c]) + widen(bias[c]))\n}",
      {{{"T", ir::ScalarType::bf16}}, {}, {{"r", 2}}});
  expect_has(
      p, {"reducer welford(n: f32, mean: f32, m2: f32) commutes", "reduce st[r0, r] by welford",
          "st[r0, r] welford= (n = 1.0, mean = f32(x[r0, r, c]), m2 = 0.0)", "rsqrt(st[r0, r].m2 / f32(cols) + eps)"});
}

TEST(Check, fields_with_axes) {
  const std::string online =
      "reducer online(m: f32, o: f32[d]) commutes {\n  identity { m = -inf; o[e] = 0 }\n  combine(a, b) {\n    m = "
      "max(a.m, b.m)\n"
      "    o[e] = a.o[e]*exp(a.m - m) + b.o[e]*exp(b.m - m)\n  }\n}\n";
  std::string p = canonical_text(online +
                                     "op f(x: f32[n, t], v: f32[t, k], u: f32[t]) -> y: f32[n, k] {\n"
                                     "  st[i] = online[j where j <= i] (m = x[i, j], o[e] = v[j, e])\n  sc[i in 0 .. "
                                     "n] = online[j] (m = u[j], o[e in 0 .. 1] = u[j])\n"
                                     "  y[i, e] = st[i].o[e] / sc[i].o[0]\n}",
                                 {});
  expect_has(
      p, {"o: f32[k]", "reducer online2(m: f32, o: f32[1])", "o[e in 0 .. k] = v[j, e]", "sc[i].o[0]", "where j <= i"});
  Result<Module> bad = read(online + "op f(x: f32[n]) -> y: f32[n] {\n  st = online[j] (m = x[j])\n  y[i] = st.m\n}");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.errors()[0].code, "HD0129");
  EXPECT_NE(bad.errors()[0].message.find("`o`"), std::string::npos);
  Result<Module> field = read(
      online + "op f(x: f32[n]) -> y: f32[n] {\n  st = online[j] (m = x[j], o[e in 0 .. 2] = x[j])\n  y[i] = st.mm\n}");
  ASSERT_FALSE(field.ok());
  EXPECT_EQ(field.errors()[0].code, "HD0101");
  EXPECT_EQ(field.errors().size(), 1u);
}

TEST(Check, literals_take_the_other_side) {
  std::string p = canonical_text(
      "op f(x: f32[n], k: i8[n]) -> (y: f32[n], z: i8[n], b: bool[n]) {\n  y[i] = if x[i] > 0.5 then 2*x[i] else -1\n"
      "  z[i] = min(k[i], 127) + -128\n  b[i] = !(k[i] == 3) && true\n}",
      {});
  expect_has(p, {"if x[i] > 0.5 then 2.0 * x[i] else -1.0", "min(k[i], i8(127)) + -128", "b[i] = !(k[i] == 3)"});
}

TEST(Check, generics_are_checked_for_each_type) {
  // `+` is defined on each number, `exp` only on floats.
  EXPECT_TRUE(read("op f<T: number>(x: T[n]) -> y: T[n] { y[i] = x[i] + 1 }").ok());
  Result<Module> m = read("op f<T: number>(x: T[n]) -> y: T[n] { y[i] = exp(x[i]) }");
  ASSERT_FALSE(m.ok());
  EXPECT_NE(m.errors()[0].message.find("`T = i8`"), std::string::npos);
  // Beside f32 scalars `widen(x)` leaves out f64: refused when it is chosen.
  Result<Module> w = read("op f<T: float>(x: T[n], s: f32) -> y: T[n] { y[i] = T(widen(x[i]) * s) }");
  ASSERT_TRUE(w.ok());
  EXPECT_TRUE(instantiate(*w, "f", {{{"T", ir::ScalarType::bf16}}, {}, {}}).ok());
  EXPECT_FALSE(instantiate(*w, "f", {{{"T", ir::ScalarType::f64}}, {}, {}}).ok());
}

TEST(Check, symbolic_consts_wait_for_their_value) {
  const char* text =
      "op f(x: f32[n], const s: int) -> y: f32[m] {\n  require s >= 1, \"stride\"\n  let m = n / 2\n  y[i] = x[i * "
      "s]\n}";
  Result<Module> m = read(text);
  ASSERT_TRUE(m.ok()) << render(m.errors());
  EXPECT_TRUE(instantiate(*m, "f", {{}, {{"s", 2}}, {}}).ok());
  Result<ir::Op> outside = instantiate(*m, "f", {{}, {{"s", 3}}, {}});
  ASSERT_FALSE(outside.ok());
  EXPECT_EQ(outside.errors()[0].code, "HD0107");
  Result<ir::Op> missing = instantiate(*m, "f", {});
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.errors()[0].code, "HD0124");
}

TEST(Check, several_errors_in_one_run) {
  Result<Module> m = read(
      "op f(x: f32[n]) -> y: f32[n] {\n  a[i] = x[i + 1]\n  b[i] = q[i]\n  y[i] = a[i] + b[i]\n}\nop g(x: f32[n]) -> "
      "y: f32[n] { y[i] = x[j] }");
  ASSERT_FALSE(m.ok());
  ASSERT_EQ(m.errors().size(), 3u) << render(m.errors());
  EXPECT_EQ(m.errors()[1].place.source->at(m.errors()[1].place.begin).line, 3);
  EXPECT_EQ(m.errors()[2].place.source->at(m.errors()[2].place.begin).line, 6);
}

TEST(Check, a_module_extends_another) {
  Result<Module> m = read(softmax);
  ASSERT_TRUE(m.ok());
  Result<Module> more =
      read_module(Source::make("<more>",
                               "schedule softmax.rows on cpu allow reassociate {\n  tune block = 4 in [1, 2, 4, 8]\n"
                               "  split y.r by block into ro, ri\n  vectorize y.c, e.c by lanes(f32)\n}"),
                  &*m);
  ASSERT_TRUE(more.ok()) << render(more.errors());
  EXPECT_EQ(m->schedules.size(), 0u);
  const ir::ScheduleText* s = more->schedule("softmax", "rows");
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->target, "cpu");
  ASSERT_EQ(s->lines.size(), 3u);
  EXPECT_EQ(s->lines[0].choices.size(), 4u);
  EXPECT_EQ(s->lines[1].step.name, "split");
  EXPECT_EQ(s->lines[1].step.operands[0].text, "y.r");
  EXPECT_EQ(s->lines[1].step.with.at("into").size(), 2u);
  EXPECT_EQ(s->lines[2].step.with.at("by")[0].kind, ir::Term::Kind::call);
  EXPECT_FALSE(read_module(Source::make("<more>", softmax), &*m).ok());
}

TEST(Check, unknown_op_and_instance) {
  Result<Module> m = read(softmax);
  ASSERT_TRUE(m.ok());
  Result<ir::Op> op = instantiate(*m, "sofmax", {});
  ASSERT_FALSE(op.ok());
  EXPECT_EQ(op.errors()[0].code, "HD0126");
  EXPECT_NE(op.errors()[0].help.find("softmax"), std::string::npos);
  EXPECT_FALSE(instantiate(*m, "softmax", {}).ok());
  EXPECT_FALSE(instantiate(*m, "softmax", {{{"T", ir::ScalarType::i32}}, {}, {{"r", 1}}}).ok());
  EXPECT_FALSE(instantiate(*m, "softmax", {{{"T", ir::ScalarType::f32}}, {}, {{"r", 100}}}).ok());
}

}  // namespace
}  // namespace heddle::frontend
