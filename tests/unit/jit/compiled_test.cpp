// Compiled code against the interpreter, bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include "backend/host/target.h"
#include "run.h"

namespace heddle::jit::testing {
namespace {

TEST(Compiled, scaled_copy_with_masked_tail) {
  const ir::Program p = program_of(R"(
program scale(in x: f32[rows, cols] in dram, out y: f32[rows, cols] in dram) facts (rows >= 0, cols >= 0) {
  stage y(map r in 0 .. rows, map c in 0 .. cols)
  for y.r in 0 .. rows parallel {
    for y.co in 0 .. ceildiv(cols, 16) {
      for y.cv in 0 .. 16 vector {
        at y(r = r, c = 16*co + cv) where 16*co + cv < cols { y[r, c] = x[r, c] * 2.5 + 1.0 }
      }
    }
  }
}
)");
  Cases cases;
  for (int64_t cols : {0, 1, 15, 16, 17, 100}) cases.dims.push_back({{"rows", 5}, {"cols", cols}});
  expect_same(p, cases);
}

// Of two regions of any length the longer is shared; a loop over none needs no thread either.
TEST(Compiled, little_work_stays_on_its_thread) {
  const ir::Program p = program_of(R"(
program fours(in x: f32[rows, cols] in dram, out y: f32[rows, cols] in dram, out z: f32[cols] in dram) facts (rows >= 0, cols >= 0) {
  stage y(map r in 0 .. rows, map c in 0 .. cols)
  stage z(map c in 0 .. cols)
  for y.r in 0 .. rows parallel {
    for y.c in 0 .. cols { at y(r = r, c = c) { y[r, c] = x[r, c] * 4.0 } }
  }
  for z.c in 0 .. cols parallel {
    at z(c = c) { z[c] = 1.0 }
  }
}
)");
  const Built built(p, host::host_target());
  ASSERT_TRUE(built.ok());
  auto shared = [&](int64_t rows, int64_t cols, int64_t from) {
    const Dims dims{{"rows", rows}, {"cols", cols}};
    std::vector<Array> arrays = arguments(p, dims, 1, false, {});
    const Outcome out = built.run(dims, arrays, {}, 3, from);
    EXPECT_EQ(out.status, 0);
    for (int64_t i = 0; i < rows * cols; ++i) EXPECT_EQ(arrays[1].at(i), arrays[0].at(i) * 4);
    for (int64_t i = 0; i < cols; ++i) EXPECT_EQ(arrays[2].at(i), 1.0);
    return out.shared;
  };
  EXPECT_EQ(shared(5, 37, 0), 2);
  EXPECT_EQ(shared(5, 37, host::worth_sharing), 0);
  EXPECT_EQ(shared(0, 37, host::worth_sharing), 0);
  EXPECT_EQ(shared(500, 370, host::worth_sharing), 1);
  EXPECT_EQ(shared(1, 20000, host::worth_sharing), 2);
}

// An op of a module on f32 (or another type): canonical, and with its stages' innermost loops as masked vectors of 16 lanes.
// `loops`: "y.i, z.i", or whole steps.
void expect_op(const std::string& text, const std::string& op, const std::string& loops, const Cases& cases,
               ir::ScalarType type = ir::ScalarType::f32) {
  SCOPED_TRACE(op + " " + std::string(ir::scalar_type_name(type)));
  const bool steps = loops.find("vectorize") != std::string::npos;
  const std::string vectors = "schedule " + op + ".v on cpu { " +
                              (steps ? loops : "vectorize " + (loops.empty() ? "none" : loops) + " by 16") + " }\n";
  for (const std::string& schedule : {std::string(), std::string("v")}) {
    if (!schedule.empty() && loops.empty()) continue;
    SCOPED_TRACE(schedule);
    expect_same(program_of_op(text + vectors, op, type, schedule, {}), cases);
  }
}

const Cases few = {{{{"n", 0}}, {{"n", 1}}, {{"n", 7}}, {{"n", 16}}, {{"n", 37}}}};

TEST(Compiled, arithmetic_of_each_type) {
  const std::string text = R"(
op f<T: number>(a: T[n], b: T[n]) -> y: T[n] { y[i] = (a[i] + b[i]) * a[i] - b[i] / a[i] }
op g<T: number>(a: T[n], b: T[n]) -> y: T[n] { y[i] = max(a[i], b[i]) - min(abs(a[i]), (-b[i])) }
op h<T: int>(a: T[n], b: T[n]) -> y: T[n] { y[i] = (a[i] % b[i]) + ((a[i] << b[i]) ^ (a[i] >> b[i])) | (a[i] & b[i]) }
op s<T: number>(a: T[n]) -> y: T[n] { y[i] = sum[j in 0 .. n] a[j] * a[i] }
op p<T: number>(a: T[n]) -> y: T[n] { y[i] = max[j in 0 .. n] a[j] + a[i] }
)";
  using S = ir::ScalarType;
  const Cases dims = {{{{"n", 1}}, {{"n", 37}}}, {}, {Data::gentle}, false};
  for (S type : {S::f64, S::f32, S::bf16, S::f16, S::i8, S::i16, S::i32, S::i64, S::u8, S::u16, S::u32, S::u64}) {
    expect_op(text, "f", "y.i", dims, type);
    expect_op(text, "g", "y.i", dims, type);
    expect_op(text, "s", "reorder y.j, y.i; vectorize y.i by 16", dims, type);
    expect_op(text, "p", "reorder y.j, y.i; vectorize y.i by 16", dims, type);
    if (!ir::is_float(type)) expect_op(text, "h", "y.i", dims, type);
  }
}

// Every pair of types, on every kind of number: one op for each source, one output for each target.
TEST(Compiled, conversions) {
  const std::vector<std::string> types = {"f64", "f32", "bf16", "f16", "f8e4m3fn", "f8e4m3", "f8e5m2",
                                          "i8",  "i32", "i64",  "u8",  "u64",      "bool"};
  for (const std::string& from : types) {
    std::string outputs, body, loops;
    int count = 0;
    auto add = [&](const std::string& to, const std::string& value) {
      const std::string name = "y" + std::to_string(count++);
      outputs += (outputs.empty() ? "" : ", ") + name + ": " + to + "[n]";
      loops += (loops.empty() ? "" : ", ") + name + ".i";
      body += "  " + name + "[i] = " + value + "\n";
    };
    for (const std::string& to : types) {
      if (from == to) continue;
      add(to, to + "(a[i])");
      if (from != "bool" && (to[0] == 'i' || to[0] == 'u')) add(to, "saturate(" + to + ", a[i])");
    }
    const std::string text = "op c(a: " + from + "[n]) -> (" + outputs + ") {\n" + body + "}\n";
    expect_op(text, "c", loops, {{{{"n", 300}}}, {}, {Data::gentle, Data::wild}, false});
  }
}

TEST(Compiled, math) {
  std::string outputs, body, loops;
  for (const char* name : {"exp", "log", "tanh", "sigmoid", "sqrt", "rsqrt", "abs", "floor", "ceil", "round_even"}) {
    outputs += (outputs.empty() ? "" : ", ") + std::string("y_") + name + ": T[n]";
    loops += (loops.empty() ? "" : ", ") + std::string("y_") + name + ".i";
    body += std::string("  y_") + name + "[i] = " + name + "(a[i] * a[i] * a[i])\n";
  }
  const std::string text = "op m<T: float>(a: T[n]) -> (" + outputs + ") {\n" + body + "}\n";
  for (auto type : {ir::ScalarType::f32, ir::ScalarType::f64, ir::ScalarType::bf16})
    expect_op(text, "m", loops, {{{{"n", 200}}}, {}, {Data::gentle, Data::wild}, false}, type);
}

// Squares over several loops run past the end of the last one, whose range takes no block of a layout away.
TEST(Compiled, turned_over_several_loops) {
  const std::string text = R"(
op f(x: f32[16, h, 64]) -> y: f32[h, 64, 16] {
  t[q in 0 .. h, j in 0 .. 64, v in 0 .. 16] = x[v, q, j]
  y[q, j, v] = t[q, j, v] + 1
}
op g(x: f32[16, h, w]) -> y: f32[h, w, 16] {
  t[q in 0 .. h, j in 0 .. w, v in 0 .. 16] = x[v, q, j]
  y[q, j, v] = t[q, j, v] + 1
}
)";
  const Cases whole{{{{"h", 0}}, {{"h", 1}}, {{"h", 2}}, {{"h", 5}}}};
  for (const char* to : {"j/64, q, j%64, v", "q, j/64, v, j%64", "q, j, v", "j, q, v"})
    expect_op(text, "f", std::string("layout t[q, j, v] to (") + to + "); vectorize t.v", whole);
  Cases sizes;
  for (int64_t h : {0, 1, 3, 7})
    for (int64_t w : {0, 1, 5, 16, 33}) sizes.dims.push_back({{"h", h}, {"w", w}});
  expect_op(text, "g", "vectorize t.v", sizes);
  expect_op(text, "g", "layout t[q, j, v] to (j/8, q, j%8, v) with 0; vectorize t.v", sizes);
}

// Lanes of which some read the same element for all of a row.
TEST(Compiled, a_square_with_rows_of_one_element) {
  expect_op("op g(x: f32[16, 16]) -> y: f32[16, 16] { y[i, j] = x[j, max(i, j)] }\n", "g", "vectorize y.j", {{{}}});
}

// erf looks its pieces up in a register, in parts of it, or in memory: one lane, parts of a register, several.
TEST(Compiled, pieces_of_erf_in_vectors_of_every_width) {
  const std::string text = "op e<T: float>(a: T[n]) -> y: T[n] { y[i] = erf(a[i]) }\n";
  const Cases inputs{{{{"n", 203}}}, {}, {Data::gentle, Data::wild}, false};
  expect_op(text, "e", "", inputs, ir::ScalarType::f32);
  for (const char* width : {"2", "4", "6", "8", "12", "16", "24", "40", "64"})
    for (auto type : {ir::ScalarType::f32, ir::ScalarType::f16})
      expect_op(text, "e", std::string("vectorize y.i by ") + width, inputs, type);
}

TEST(Compiled, conditions_and_tried_reads) {
  const std::string text = R"(
op a(x: f32[n]) -> y: f32[n] { y[i] = (x[i - 1] or 0.5) + (x[i + 2] or x[i]) }
op b(x: f32[n]) -> y: f32[n] { y[i] = if i >= 2 && x[i - 2] > 0.0 then x[i - 2] * 2.0 else if x[i] < 1.0 || i == 3 then exp(x[i]) else 1.0 }
op c(x: f32[n], z: f32[m]) -> y: f32[n + m] { y[i] = if i < n then x[i] else z[i - n] }
op d(x: f32[rows, cols], len: i64[rows]) -> y: f32[rows] {
  s[r] = sum[c where c < len[r]] x[r, c]
  y[r] = if len[r] > 0 then s[r] / f32(len[r]) else 0.0
}
op e(x: f32[n]) -> y: f32[n] { y[i] = sum[j in 0 .. i + 1] x[j] }
op f(x: f32[n]) -> y: bool[n] { y[i] = any[j in 0 .. i] (x[j] > 1.5 && !(x[i] > 0.0)) }
op g(x: f32[n, m]) -> y: f32[m, n] { y[i, j] = x[j, i] + (if i > 4 then x[j, 4] else 0.0) }
op h(x: f32[2*n + 1]) -> y: f32[n] { y[i] = x[2*i] - x[2*n - i] * f32(i % 3 - i / 4) }
)";
  expect_op(text, "a", "y.i", few);
  expect_op(text, "b", "y.i", few);
  expect_op(text, "e", "", few);
  expect_op(text, "f", "", few);
  expect_op(text, "h", "y.i", few);
  expect_op(text, "c", "y.i", {{{{"n", 5}, {"m", 9}}, {{"n", 0}, {"m", 3}}, {{"n", 20}, {"m", 0}}}});
  expect_op(text, "d", "reorder s.c, s.r; vectorize y.r, s.r by 16",
            {{{{"rows", 5}, {"cols", 9}}, {{"rows", 21}, {"cols", 3}}}});
  expect_op(text, "g", "y.j", {{{{"n", 21}, {"m", 3}}, {{"n", 5}, {"m", 7}}}});
  expect_op(text, "g", "reorder y.j, y.i; vectorize y.i by 16", {{{{"n", 21}, {"m", 3}}, {{"n", 5}, {"m", 7}}}});
}

TEST(Compiled, scalars_and_composite_dims) {
  const std::string text = R"(
op a(x: f32[n, (g, c)], w: f32[g, c], eps: f32, k: i32) -> y: f32[n, (c, g)] { y[i, (a, b)] = x[i, (b, a)] * eps + w[b, a] * f32(k) }
)";
  expect_op(text, "a", "reorder y.b, y.a; vectorize y.a by 16",
            {{{{"n", 3}, {"g", 2}, {"c", 5}}}, {{0.25, 0}, {0, -3}}});
}

TEST(Compiled, user_reducers) {
  const std::string text = R"(
reducer welford(n: f32, mean: f32, m2: f32) commutes {
  identity { n = 0; mean = 0; m2 = 0 }
  combine(a, b) {
    n    = a.n + b.n
    dl   = b.mean - a.mean
    f    = if n == 0 then 0 else b.n / n
    mean = a.mean + dl*f
    m2   = a.m2 + b.m2 + dl*dl*a.n*f
  }
}
reducer online(m: f32, l: f32, o: f32[d]) commutes {
  identity { m = -inf; l = 0; o[e] = 0 }
  combine(a, b) {
    m    = max(a.m, b.m)
    wa   = if a.m == -inf then 0 else exp(a.m - m)
    wb   = if b.m == -inf then 0 else exp(b.m - m)
    l    = a.l*wa + b.l*wb
    o[e] = a.o[e]*wa + b.o[e]*wb
  }
}
op layernorm(x: f32[rows, cols]) -> y: f32[rows, cols] {
  st[r] = welford[c] (n = 1, mean = x[r, c], m2 = 0)
  inv[r] = rsqrt(st[r].m2 / f32(cols) + 0.001)
  y[r, c] = (x[r, c] - st[r].mean) * inv[r]
}
op attention(q: f32[n, d], k: f32[t, d], v: f32[t, d], scale: f32) -> y: f32[n, d] {
  z[i, j] = sum[e] q[i, e] * k[j, e]
  st[i] = online[j where j <= i + t - n] (m = z[i, j]*scale, l = 1, o[e] = v[j, e])
  y[i, e] = if st[i].l > 0 then st[i].o[e] / st[i].l else 0
}
)";
  expect_op(text, "layernorm", "y.c", {{{{"rows", 4}, {"cols", 19}}, {{"rows", 2}, {"cols", 0}}}});
  expect_op(text, "attention", "y.e", {{{{"n", 5}, {"t", 7}, {"d", 8}}, {{"n", 3}, {"t", 3}, {"d", 1}}}, {{0.5, 0}}});
}

// States of several fields, a lane for each column or each partial result.
TEST(Compiled, user_reducers_in_lanes) {
  const std::string text = R"(
op first(x: f32[n, m]) -> y: i64[n] {
  require m >= 1, "a row holds something"
  y[i] = argmax[j] x[i, j]
}
op columns(x: f32[m, n]) -> y: i64[n] {
  require m >= 1, "a column holds something"
  y[i] = argmin[j] x[j, i]
}
)";
  const Cases cases = {
      {{{"n", 3}, {"m", 100}}, {{"n", 33}, {"m", 5}}, {{"n", 16}, {"m", 16}}}, {}, {Data::gentle, Data::wild}};
  expect_op(text, "first", "rfactor y_best.j by 16 as part; vectorize part.jv", cases);
  expect_op(text, "columns", "reorder y_best.j, y_best.i; vectorize y_best.i by 16", cases);
}

// Schedules of the standard library. Where they leave the order of additions free, compiled code may differ from the interpreter by
// rounding: a relative error of 1e-5 of the largest value.
void expect_near(const ir::Program& p, const ir::Target& target, const std::vector<Dims>& dims,
                 const std::vector<ir::ScalarValue>& scalars = {}) {
  const Built built(p, target);
  ASSERT_TRUE(built.ok());
  for (const Dims& d : dims) {
    std::vector<Array> expected = arguments(p, d, 1), seen = expected;
    ir::Arguments args;
    for (Array& a : expected) args.arrays.push_back({a.type, a.extents, a.strides, a.bytes.data()});
    args.scalars = scalars;
    Result<ir::InterpretResult> ran = ir::interpret(p, args);
    ASSERT_TRUE(ran.ok()) << render(ran.errors());
    ASSERT_EQ(built.run(d, seen, scalars).status, 0);
    double largest = 0, error = 0;
    for (size_t k = 0; k < expected.size(); ++k)
      for (int64_t i = 0; i < expected[k].count(); ++i) {
        largest = std::max(largest, std::fabs(expected[k].at(i)));
        const double apart = std::fabs(expected[k].at(i) - seen[k].at(i));
        error = std::isnan(apart) ? HUGE_VAL : std::max(error, apart);
      }
    EXPECT_LE(error, 1e-5 * largest) << target.name << " " << p.name;
  }
}

std::string text_of(const std::string& file) {
  std::ifstream in(std::string(HEDDLE_SOURCE_DIR) + "/" + file);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// A part of a sum that has no terms holds the identity: the loop around its region runs also where no leaf below does.
TEST(Compiled, parts_without_terms) {
  const ir::Program p = program_of(R"(
program f(in x: i64[m, k] in dram, out y: i64[m] in dram) facts (m >= 0, k >= 0) {
  stage y(map i in 0 .. m, reduce v in 0 .. 8) by prod
  stage part(map i in 0 .. m, reduce o in 0 .. ceildiv(k, 8), map v in 0 .. 8) by prod
  alloc part: i64[i in 0 .. m, v in 0 .. 8] in dram
  for y.i in 0 .. m {
    reduce y[i] by prod {
      for part.v in 0 .. 8 {
        reduce part[i, v] by prod {
          for part.o in 0 .. ceildiv(k, 8) {
            at part(i = i, o = o, v = v) where 8*o + v < k { part[i, v] prod= x[i, 8*o + v] }
          }
        }
      }
      for y.v in 0 .. 8 {
        at y(i = i, v = v) { y[i] prod= part[i, v] }
      }
    }
  }
}
)");
  Cases cases;
  for (int64_t k : {0, 1, 7, 8, 9}) cases.dims.push_back({{"m", 3}, {"k", k}});
  expect_same(p, cases);
}

// So does one around a sum that data leaves without terms.
TEST(Compiled, sums_that_data_leaves_out) {
  const ir::Program p = program_of(R"(
program f(in x: i32[m, k] in dram, in some: bool[m] in dram, out y: i32[m] in dram) facts (m >= 0, k >= 0) {
  stage y(map i in 0 .. m, reduce j in 0 .. k) by prod where some[i]
  for y.i in 0 .. m {
    for y.o in 0 .. 1 {
      reduce y[i] by prod {
        for y.j in 0 .. k {
          at y(i = i, j = j) where some[i] { y[i] prod= x[i, j] }
        }
      }
    }
  }
}
)");
  Cases cases;
  for (int64_t k : {0, 1, 5}) cases.dims.push_back({{"m", 7}, {"k", k}});
  expect_same(p, cases);
}

// So does one whose part is a cell for each term.
TEST(Compiled, parts_of_single_terms) {
  const ir::Program p = program_of(R"(
program f(in x: i32[m, k] in dram, out y: i32[m] in dram) facts (m >= 0, k >= 0) {
  stage y(map i in 0 .. m, reduce v in 0 .. 4*ceildiv(k, 4)) by prod
  stage part(map i in 0 .. m, map v in 0 .. 4*ceildiv(k, 4)) by prod
  alloc part: i32[i in 0 .. m, v in 0 .. 4*ceildiv(k, 4)] in dram
  for y.i in 0 .. m {
    reduce y[i] by prod {
      for y@head.v in 0 .. 4*ceildiv(k, 4) {
        reduce part[i, v] by prod {
          at part(i = i, v = v) where v < k { part[i, v] prod= x[i, v] }
        }
      }
      for y.v in 0 .. 4*ceildiv(k, 4) {
        at y(i = i, v = v) { y[i] prod= part[i, v] }
      }
    }
  }
}
)");
  Cases cases;
  for (int64_t k : {0, 1, 3, 4, 5}) cases.dims.push_back({{"m", 3}, {"k", k}});
  expect_same(p, cases);
}

TEST(Compiled, schedules_of_the_standard_library) {
  for (const char* name : {"cpu/x86-64-v2", "cpu/avx2", "cpu/avx512"}) {
    Result<ir::Target> target = host::target_named(name);
    if (!target) continue;
    const std::vector<Dims> rows = {
        {{"r_0", 3}, {"cols", 200}}, {{"r_0", 2}, {"cols", 64}}, {{"r_0", 5}, {"cols", 1}}, {{"r_0", 0}, {"cols", 9}}};
    expect_near(program_of_op(text_of("stdlib/nn/softmax.hd"), "softmax", ir::ScalarType::f32, "rows", *target),
                *target, rows);
    expect_near(program_of_op(text_of("stdlib/nn/layernorm.hd"), "layernorm", ir::ScalarType::f32, "rows", *target),
                *target, rows, {{1e-3, 0}});
    expect_near(program_of_op(text_of("stdlib/linalg/matmul.hd"), "matmul", ir::ScalarType::f32, "blocked", *target),
                *target,
                {{{"m", 13}, {"n", 70}, {"k", 19}},
                 {{"m", 12}, {"n", 64}, {"k", 16}},
                 {{"m", 1}, {"n", 1}, {"k", 0}},
                 {{"m", 0}, {"n", 5}, {"k", 3}}});
  }
}

// The three proofs: instructions without machine code run as what they mean; tiles, layouts, PSUM, user reducers with axes.
TEST(Compiled, the_proofs) {
  const Result<ir::Target> target = host::target_named("cpu");
  auto proof = [](const std::string& name) {
    const std::string text = text_of("tests/golden/cases/proofs/" + name + ".hd");
    return program_of(text.substr(0, text.find("\n----")));
  };
  expect_near(proof("amx_matmul"), *target, {{{"m", 20}, {"n", 35}, {"k", 70}}, {{"m", 16}, {"n", 16}, {"k", 64}}});
  expect_near(proof("neuron_matmul"), *target, {{{"m", 130}, {"n", 33}, {"k", 140}}});
  expect_near(proof("blocked_attention"), *target, {{{"n", 9}, {"t", 70}, {"d", 8}}}, {{0.5, 0}});
}

// Reads of data: inside it gives the same bits, outside the check's number and coordinates.
TEST(Compiled, checks_on_data) {
  const ir::Program p =
      program_of_op("op embed(table: f32[vocab, d], id: i64[n]) -> y: f32[n, d] { y[i, e] = table[id[i], e] }", "embed",
                    ir::ScalarType::f32, "", {});
  const Dims dims = {{"vocab", 9}, {"d", 5}, {"n", 6}};
  std::vector<Array> arrays = arguments(p, dims, 1);
  const Result<ir::Target> target = host::target_named("cpu");
  auto set = [&](int i, int64_t value) { std::memcpy(arrays[1].bytes.data() + 8 * i, &value, 8); };
  for (int i = 0; i < 6; ++i) set(i, 8 - i);
  const Built built(p, *target);
  EXPECT_EQ(built.run(dims, arrays).status, 0);
  for (int i = 0; i < 6; ++i)
    for (int e = 0; e < 5; ++e) EXPECT_EQ(arrays[2].at(5 * i + e), arrays[0].at(5 * (8 - i) + e));
  for (int64_t bad : {int64_t{9}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
    set(4, bad);
    const Outcome out = built.run(dims, arrays);
    EXPECT_EQ(out.status, host::status_check_failed);
    EXPECT_EQ(out.report.check, 0);
    EXPECT_EQ(out.report.count, 1);
    EXPECT_EQ(out.report.coordinates[0], 4);
  }
}

}  // namespace
}  // namespace heddle::jit::testing
