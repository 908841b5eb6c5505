// The reference interpreter on programs built by hand: results, and the claims of a program that do not hold. One file,
// as most tests vary a few shared programs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/support/program_builder.h"

namespace heddle::test {
namespace {

constexpr ScalarType f32 = ScalarType::f32;
constexpr float inf = std::numeric_limits<float>::infinity();

Array<float> random_array(std::vector<int64_t> extents, uint32_t seed) {
  Array<float> a(std::move(extents));
  std::mt19937 random(seed);
  for (float& x : a.data) x = std::uniform_real_distribution<float>(-2, 2)(random);
  return a;
}

Expr call(const char* function, Expr x) { return math_call(function, {std::move(x)}); }

// peak[r] = max[c] x; e = exp(x - peak); total[r] = sum[c] e; y = e / total, one nest after the other.
Program softmax(LoopKind rows_kind = LoopKind::serial) {
  ProgramBuilder b("softmax");
  const Expr rows = b.dim("rows"), cols = b.dim("cols");
  const BufferId x = b.in("x", f32, {rows, cols});
  const BufferId y = b.out("y", f32, {rows, cols});
  const BufferId peak = b.temporary("peak", f32, {{n(0), rows}});
  const BufferId e = b.temporary("e", f32, {{n(0), rows}, {n(0), cols}});
  const BufferId total = b.temporary("total", f32, {{n(0), rows}});

  auto reduction = [&](BufferId out, const char* name, const char* reducer, BufferId of) {
    const Expr r = b.axis("r", name), c = b.axis("c", name), lr = b.loop("r", name), lc = b.loop("c", name);
    const StageId stage = b.stage(name, {map_axis(r, n(0), rows), reduce_axis(c, n(0), cols)});
    const StmtRef point = leaf(stage, {lr, lc}, {combine(out, {r}, b.read(of, {r, c}))}, {}, reducer);
    return loop_over(lr, n(0), rows,
                     {region({window(out, {{lr, lr + 1}})}, reducer, {loop_over(lc, n(0), cols, {point})})}, rows_kind);
  };
  auto elementwise = [&](BufferId out, const char* name, auto value) {
    const Expr r = b.axis("r", name), c = b.axis("c", name), lr = b.loop("r", name), lc = b.loop("c", name);
    const StageId stage = b.stage(name, {map_axis(r, n(0), rows), map_axis(c, n(0), cols)});
    const StmtRef point = leaf(stage, {lr, lc}, {define(out, {r, c}, value(r, c))});
    return loop_over(lr, n(0), rows, {loop_over(lc, n(0), cols, {point})}, rows_kind);
  };
  const StmtRef peak_nest = reduction(peak, "peak", "max", x);
  const StmtRef e_nest =
      elementwise(e, "e", [&](Expr r, Expr c) { return call("exp", b.read(x, {r, c}) - b.read(peak, {r})); });
  const StmtRef total_nest = reduction(total, "total", "sum", e);
  const StmtRef y_nest =
      elementwise(y, "y", [&](Expr r, Expr c) { return binary(BinaryOp::div, b.read(e, {r, c}), b.read(total, {r})); });
  b.program.body = {alloc({peak}), peak_nest, alloc({e}), e_nest, alloc({total}), total_nest, y_nest};
  return b.program;
}

std::vector<double> softmax_of(const Array<float>& x) {
  std::vector<double> y;
  const int64_t cols = x.extents[1];
  for (int64_t r = 0; r < x.extents[0]; ++r) {
    double peak = -inf, total = 0;
    for (int64_t c = 0; c < cols; ++c) peak = std::max<double>(peak, x.data[static_cast<size_t>(r * cols + c)]);
    for (int64_t c = 0; c < cols; ++c) total += std::exp(x.data[static_cast<size_t>(r * cols + c)] - peak);
    for (int64_t c = 0; c < cols; ++c) y.push_back(std::exp(x.data[static_cast<size_t>(r * cols + c)] - peak) / total);
  }
  return y;
}

TEST(Interpret, SoftmaxIsRightInAnyOrderOfRows) {
  Array<float> x = random_array({5, 9}, 1), y({5, 9}), z({5, 9});
  auto result = interpret(softmax(), arguments(x, y));
  ASSERT_TRUE(result.ok()) << message_of(result);
  const std::vector<double> expected = softmax_of(x);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(y.data[i], expected[i], 1e-6);
  for (uint64_t seed = 1; seed < 5; ++seed) {
    InterpretOptions options;
    options.seed = seed;
    ASSERT_TRUE(interpret(softmax(LoopKind::parallel), arguments(x, z), options).ok());
    EXPECT_EQ(y.data, z.data);
  }
}

TEST(Interpret, BoundsHoldAndAreTight) {
  Array<float> x = random_array({4, 33}, 2), y({4, 33}), z({4, 33});
  ASSERT_TRUE(interpret(softmax(), arguments(x, y)).ok());
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(softmax(), arguments(x, z), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  ASSERT_EQ(result->bounded.size(), 1u);
  const BoundedArray& b = result->bounded[0];
  const std::vector<double> expected = softmax_of(x);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(std::fabs(y.data[i] - b.value[i]), b.bound[i]);
    EXPECT_NEAR(b.value[i], expected[i], 1e-12);
    EXPECT_LT(b.bound[i], 1e-5 * expected[i] + 1e-12);
  }
}

TEST(Interpret, EmptyExtents) {
  Array<float> x({0, 4}), y({0, 4}), u({3, 0}), v({3, 0});
  EXPECT_TRUE(interpret(softmax(LoopKind::parallel), arguments(x, y)).ok());
  EXPECT_TRUE(interpret(softmax(), arguments(u, v)).ok());
}

// y[r] = R[c] x[r, c]
template <class T>
Program reduction(const char* reducer) {
  ProgramBuilder b("reduction");
  const Expr rows = b.dim("rows"), cols = b.dim("cols");
  const BufferId x = b.in("x", scalar_type_of<T>(), {rows, cols}), y = b.out("y", scalar_type_of<T>(), {rows});
  const Expr r = b.axis("r"), c = b.axis("c"), lr = b.loop("r"), lc = b.loop("c");
  const StageId stage = b.stage("y", {map_axis(r, n(0), rows), reduce_axis(c, n(0), cols)});
  const StmtRef point = leaf(stage, {lr, lc}, {combine(y, {r}, b.read(x, {r, c}))}, {}, reducer);
  b.program.body = {
      loop_over(lr, n(0), rows, {region({window(y, {{lr, lr + 1}})}, reducer, {loop_over(lc, n(0), cols, {point})})})};
  return b.program;
}

TEST(Interpret, EmptyReductionsHoldTheIdentity) {
  Array<float> x({2, 0}), y({2});
  ASSERT_TRUE(interpret(reduction<float>("sum"), arguments(x, y)).ok());
  EXPECT_EQ(y.data, (std::vector<float>{0, 0}));
  ASSERT_TRUE(interpret(reduction<float>("max"), arguments(x, y)).ok());
  EXPECT_EQ(y.data, (std::vector<float>{-inf, -inf}));
  ASSERT_TRUE(interpret(reduction<float>("prod"), arguments(x, y)).ok());
  EXPECT_EQ(y.data, (std::vector<float>{1, 1}));
  Array<int8_t> p({1, 0}), q({1});
  ASSERT_TRUE(interpret(reduction<int8_t>("min"), arguments(p, q)).ok());
  EXPECT_EQ(q.data[0], 127);
}

TEST(Interpret, MaxCarriesNanAndInfinity) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Array<float> x({4, 3}, {1, nan, 2, nan, 5, inf, -inf, -inf, -inf, 3, inf, -1}), y({4});
  for (InterpretMode mode : {InterpretMode::typed, InterpretMode::bounded}) {
    InterpretOptions options;
    options.mode = mode;
    auto result = interpret(reduction<float>("max"), arguments(x, y), options);
    ASSERT_TRUE(result.ok()) << message_of(result);
    EXPECT_TRUE(std::isnan(y.data[0]));
    EXPECT_TRUE(std::isnan(y.data[1]));
    EXPECT_EQ(y.data[2], -inf);
    EXPECT_EQ(y.data[3], inf);
    if (mode == InterpretMode::bounded)
      for (double bound : result->bounded[0].bound) EXPECT_EQ(bound, 0);
  }
}

TEST(Interpret, IntegersWrapAndDivideDown) {
  Array<int8_t> x({1, 3}, {100, 100, 1}), y({1});
  ASSERT_TRUE(interpret(reduction<int8_t>("sum"), arguments(x, y)).ok());
  EXPECT_EQ(y.data[0], -55);

  ProgramBuilder b("divide");
  const Expr size = b.dim("n");
  const BufferId p = b.in("p", ScalarType::i32, {size}), q = b.in("q", ScalarType::i32, {size});
  const BufferId d = b.out("d", ScalarType::i32, {size}), m = b.out("m", ScalarType::i32, {size});
  const Expr i = b.axis("i", "d"), li = b.loop("i", "d");
  const StageId stage = b.stage("d", {map_axis(i, n(0), size)});
  b.program.body = {loop_over(li, n(0), size,
                              {leaf(stage, {li},
                                    {define(d, {i}, binary(BinaryOp::div, b.read(p, {i}), b.read(q, {i}))),
                                     define(m, {i}, binary(BinaryOp::mod, b.read(p, {i}), b.read(q, {i})))})})};
  Array<int32_t> pa({5}, {7, -7, 7, 5, INT32_MIN}), qa({5}, {2, 2, -2, 0, -1}), da({5}), ma({5});
  auto result = interpret(b.program, arguments(pa, qa, da, ma));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(da.data, (std::vector<int32_t>{3, -4, -4, 0, INT32_MIN}));
  EXPECT_EQ(ma.data, (std::vector<int32_t>{1, 1, -1, 0, 0}));
}

// c[i, j] = sum[p] a[i, p] * b[p, j]; i split by 4, guarded and parallel; j split by 8, its inner loop a vector loop.
Program split_matmul(bool guard) {
  ProgramBuilder b("matmul");
  const Expr m = b.dim("m"), k = b.dim("k"), cols = b.dim("n");
  const BufferId x = b.in("a", f32, {m, k}), w = b.in("b", f32, {k, cols}), c = b.out("c", f32, {m, cols});
  const Expr i = b.axis("i", "c"), j = b.axis("j", "c"), p = b.axis("p", "c");
  const Expr io = b.loop("io", "c"), ii = b.loop("ii", "c"), jo = b.loop("jo", "c"), jv = b.loop("jv", "c"),
             lp = b.loop("p", "c");
  const StageId stage = b.stage("c", {map_axis(i, n(0), m), map_axis(j, n(0), cols), reduce_axis(p, n(0), k)});
  const Expr row = io * 4 + ii, col = jo * 8 + jv;
  const StmtRef point = leaf(stage, {row, col, lp}, {combine(c, {i, j}, b.read(x, {i, p}) * b.read(w, {p, j}))},
                             guard ? both(less(row, m), less(col, cols)) : Expr(), "sum");
  const StmtRef lanes = loop_over(jv, n(0), n(8), {point}, LoopKind::vector);
  const StmtRef reduce =
      region({window(c, {{row, row + 1}, {jo * 8, jo * 8 + 8}})}, "sum", {loop_over(lp, n(0), k, {lanes})});
  const StmtRef inner = loop_over(ii, n(0), n(4), {loop_over(jo, n(0), ceildiv(cols, n(8)), {reduce})});
  b.program.body = {loop_over(io, n(0), ceildiv(m, n(4)), {inner}, LoopKind::parallel)};
  return b.program;
}

TEST(Interpret, SplitMatmulWithGuards) {
  Array<float> a = random_array({7, 5}, 3), w = random_array({5, 11}, 4), c({7, 11});
  auto result = interpret(split_matmul(true), arguments(a, w, c));
  ASSERT_TRUE(result.ok()) << message_of(result);
  for (size_t i = 0; i < 7; ++i) {
    for (size_t j = 0; j < 11; ++j) {
      float sum = 0;
      for (size_t p = 0; p < 5; ++p) {
        const float product = a.data[i * 5 + p] * w.data[p * 11 + j];
        sum += product;
      }
      EXPECT_EQ(c.data[i * 11 + j], sum);  // same order of additions: every bit
    }
  }
}

TEST(Interpret, MissingGuardReadsOutside) {
  Array<float> a({7, 5}), w({5, 11}), c({7, 11});
  auto result = interpret(split_matmul(false), arguments(a, w, c));
  EXPECT_EQ(code_of(result), "HD0260") << message_of(result);
  EXPECT_NE(message_of(result).find("outside its box"), std::string::npos);
}

// ---------------------------------------------------------------------------------------------------------------------
// User reducers

Reducer online(ProgramBuilder& b, const Expr& d) {
  Reducer r;
  r.name = "online";
  r.fields = {{"m", f32, {}}, {"l", f32, {}}, {"o", f32, {d}}};
  const Expr e = b.local("e"), wa = b.local("wa", f32), wb = b.local("wb", f32);
  auto field = [&](int side, int f, std::vector<Expr> subs = {}) {
    return make_expr(f32, StateField{side, f, std::move(subs)});
  };
  auto real = [](double v) { return real_constant(f32, v); };
  auto weight = [&](int side) {
    return select(binary(BinaryOp::eq, field(side, 0), real(-HUGE_VAL)), real(0),
                  call("exp", field(side, 0) - field(2, 0)));
  };
  r.identity = {{0, {}, {}, real(-HUGE_VAL)}, {1, {}, {}, real(0)}, {2, {}, {id(e)}, real(0)}};
  r.combine = {{0, {}, {}, binary(BinaryOp::max, field(0, 0), field(1, 0))},
               {-1, id(wa), {}, weight(0)},
               {-1, id(wb), {}, weight(1)},
               {1, {}, {}, field(0, 1) * wa + field(1, 1) * wb},
               {2, {}, {id(e)}, field(0, 2, {e}) * wa + field(1, 2, {e}) * wb}};
  return r;
}

// y[i, e] = the softmax of z[i, .] applied to v[., e], by one pass over j.
Program online_softmax(LoopKind kind = LoopKind::serial) {
  ProgramBuilder b("attend");
  const Expr rows = b.dim("rows"), t = b.dim("t"), d = b.dim("d");
  const BufferId z = b.in("z", f32, {rows, t}), v = b.in("v", f32, {t, d}), y = b.out("y", f32, {rows, d});
  b.program.reducers.push_back(online(b, d));
  const std::pair<Expr, Expr> all{n(0), rows}, whole{n(0), d};
  const BufferId m = b.temporary("st", f32, {all}, "m"), l = b.temporary("st", f32, {all}, "l"),
                 o = b.temporary("st", f32, {all, whole}, "o", 1);
  const Expr i = b.axis("i", "st"), j = b.axis("j", "st"), e = b.local("e"), li = b.loop("i", "st"),
             lj = b.loop("j", "st");
  const StageId state = b.stage("st", {map_axis(i, n(0), rows), reduce_axis(j, n(0), t)});
  Assign field_o = combine(o, {i, e}, b.read(v, {j, e}));
  field_o.over = {map_axis(e, n(0), d)};
  const StmtRef point =
      leaf(state, {li, lj}, {combine(m, {i}, b.read(z, {i, j})), combine(l, {i}, real_constant(f32, 1)), field_o}, {},
           "online");
  const std::pair<Expr, Expr> at{li, li + 1};
  const StmtRef reduce = region({window(m, {at}), window(l, {at}), window(o, {at, whole})}, "online",
                                {loop_over(lj, n(0), t, {point}, kind)});
  const Expr yi = b.axis("i"), ye = b.axis("e"), lyi = b.loop("i"), lye = b.loop("e");
  const StageId out = b.stage("y", {map_axis(yi, n(0), rows), map_axis(ye, n(0), d)});
  const Expr value = binary(BinaryOp::div, b.read(o, {yi, ye}), b.read(l, {yi}));
  b.program.body = {
      alloc({m, l, o}), loop_over(li, n(0), rows, {reduce}),
      loop_over(lyi, n(0), rows, {loop_over(lye, n(0), d, {leaf(out, {lyi, lye}, {define(y, {yi, ye}, value)})})})};
  return b.program;
}

TEST(Interpret, UserReducerOnlineSoftmax) {
  Array<float> z = random_array({3, 8}, 5), v = random_array({8, 4}, 6), y({3, 4}), u({3, 4});
  auto result = interpret(online_softmax(), arguments(z, v, y));
  ASSERT_TRUE(result.ok()) << message_of(result);
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto bounded = interpret(online_softmax(), arguments(z, v, u), options);
  ASSERT_TRUE(bounded.ok()) << message_of(bounded);
  const std::vector<double> weights = softmax_of(z);
  for (size_t i = 0; i < 3; ++i) {
    for (size_t e = 0; e < 4; ++e) {
      double sum = 0;
      for (size_t j = 0; j < 8; ++j) sum += weights[i * 8 + j] * v.data[j * 4 + e];
      EXPECT_NEAR(y.data[i * 4 + e], sum, 1e-5);
      const BoundedArray& b = bounded->bounded[0];
      EXPECT_NEAR(b.value[i * 4 + e], sum, 1e-12);
      EXPECT_LE(std::fabs(y.data[i * 4 + e] - b.value[i * 4 + e]), b.bound[i * 4 + e]);
      EXPECT_LT(b.bound[i * 4 + e], 1e-3);
    }
  }
}

TEST(Interpret, ParallelReductionRaces) {
  Array<float> z({2, 3}), v({3, 2}), y({2, 2});
  EXPECT_EQ(code_of(interpret(online_softmax(LoopKind::parallel), arguments(z, v, y))), "HD0263");
  EXPECT_EQ(code_of(interpret(online_softmax(LoopKind::vector), arguments(z, v, y))), "HD0264");
}

// ---------------------------------------------------------------------------------------------------------------------
// Instructions

// c[i, j] sum= a[i, p] * b[p, j] on tiles of at most 4 x 4 x 4, called over blocks with ragged ends.
Program tiled(int64_t windows_of_b = 4) {
  ProgramBuilder b("tiled");
  const Expr m = b.dim("m"), k = b.dim("k"), cols = b.dim("n");
  const BufferId a = b.in("a", f32, {m, k}), w = b.in("b", f32, {k, cols}), c = b.out("c", f32, {m, cols});
  const Expr tm = b.local("tm"), tn = b.local("tn"), tk = b.local("tk"), i = b.local("i"), j = b.local("j"),
             p = b.local("p");
  Instr dot;
  dot.name = "dot4";
  dot.operands = {{"c", true, f32, {id(tm), id(tn)}, {4, 4}, Memory::registers, {}},
                  {"a", false, f32, {id(tm), id(tk)}, {0, 4}, Memory::registers, {}},
                  {"b", false, f32, {id(tk), id(tn)}, {0, 0}, Memory::registers, {}}};
  dot.lines = {{0,
                {i, j},
                "sum",
                {map_axis(i, n(0), tm), map_axis(j, n(0), tn), reduce_axis(p, n(0), tk)},
                load(f32, BufferId{1}, {i, p}) * load(f32, BufferId{2}, {p, j})}};
  b.program.instrs.push_back(dot);
  const Expr io = b.loop("io", "c"), jo = b.loop("jo", "c"), ko = b.loop("ko", "c");
  auto block = [](const Expr& l, const Expr& size, int64_t width = 4) {
    return std::pair<Expr, Expr>{l * 4, min(l * 4 + width, size)};
  };
  const StmtRef call =
      make_stmt(Call{"dot4",
                     {window(c, {block(io, m), block(jo, cols)}), window(a, {block(io, m), block(ko, k)}),
                      window(w, {block(ko, k), block(jo, cols, windows_of_b)})}});
  const StmtRef reduce =
      region({window(c, {block(io, m), block(jo, cols)})}, "sum", {loop_over(ko, n(0), ceildiv(k, n(4)), {call})});
  b.program.body = {
      loop_over(io, n(0), ceildiv(m, n(4)), {loop_over(jo, n(0), ceildiv(cols, n(4)), {reduce})}, LoopKind::parallel)};
  return b.program;
}

TEST(Interpret, InstructionOnRaggedWindows) {
  Array<float> a = random_array({6, 9}, 7), w = random_array({9, 5}, 8), c({6, 5});
  auto result = interpret(tiled(), arguments(a, w, c));
  ASSERT_TRUE(result.ok()) << message_of(result);
  for (size_t i = 0; i < 6; ++i) {
    for (size_t j = 0; j < 5; ++j) {
      double sum = 0;
      for (size_t p = 0; p < 9; ++p) sum += static_cast<double>(a.data[i * 9 + p]) * w.data[p * 5 + j];
      EXPECT_NEAR(c.data[i * 5 + j], sum, 1e-5);
    }
  }
}

TEST(Interpret, InstructionWindowsMustAgree) {
  Array<float> a({6, 9}), w({9, 5}), c({6, 5});
  auto result = interpret(tiled(2), arguments(a, w, c));
  EXPECT_EQ(code_of(result), "HD0268");
  EXPECT_NE(message_of(result).find("tn = 2, another operand has 4"), std::string::npos) << message_of(result);
}

TEST(Interpret, InstructionAccumulatesOnlyIntoWrittenCells) {
  Program p = tiled();
  Array<float> a({4, 4}), w({4, 4}), c({4, 4});
  // Without the region nothing gives the accumulator its identity.
  const For& io = std::get<For>(p.body[0]->form);
  const For& jo = std::get<For>(io.body[0]->form);
  const Reduce& reduce = std::get<Reduce>(jo.body[0]->form);
  For inner = jo, outer = io;
  inner.body = reduce.body;
  outer.body = {make_stmt(inner)};
  p.body = {make_stmt(outer)};
  EXPECT_EQ(code_of(interpret(p, arguments(a, w, c))), "HD0261");
}

// ---------------------------------------------------------------------------------------------------------------------
// Claims that do not hold

// for i in 0 .. n KIND { y[to] = value }, over an input x and an output y of n cells each.
template <class To, class Value>
Program one_loop(LoopKind kind, To to, Value value, Role role = Role::out, AssignKind assign = AssignKind::define,
                 bool recomputed = false) {
  ProgramBuilder b("one");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", f32, {size});
  const BufferId y = role == Role::out ? b.out("y", f32, {size}) : b.inout("y", f32, {size});
  const Expr i = b.axis("i"), li = b.loop("i");
  const StageId stage = b.stage("y", {map_axis(i, n(0), size)});
  Assign a = define(y, {to(i)}, value(b, x, y, i));
  a.kind = assign;
  const Expr hi = kind == LoopKind::vector ? n(4) : size;
  b.program.body = {loop_over(li, n(0), hi, {leaf(stage, {li}, {a}, {}, {}, recomputed)}, kind)};
  return b.program;
}
const auto same_place = [](Expr i) { return i; };
const auto reads_x = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) { return b.read(x, {i}); };
const auto reads_left = [](ProgramBuilder& b, BufferId, BufferId y, Expr i) {
  return b.read(y, {i - 1}, b.read(y, {i}));
};

TEST(Interpret, ParallelReadOfAnotherIterationsCellRaces) {
  Array<float> x({4}, {1, 2, 3, 4}), y({4}, {1, 2, 3, 4});
  EXPECT_EQ(code_of(interpret(one_loop(LoopKind::serial, same_place, reads_left, Role::inout, AssignKind::update),
                              arguments(x, y))),
            "");
  EXPECT_EQ(y.data, (std::vector<float>{1, 1, 1, 1}));
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    InterpretOptions options;
    options.seed = seed;
    auto result = interpret(one_loop(LoopKind::parallel, same_place, reads_left, Role::inout, AssignKind::update),
                            arguments(x, y), options);
    EXPECT_EQ(code_of(result), "HD0263") << "seed " << seed;
  }
}

TEST(Interpret, ParallelWritesOfOneCellRace) {
  Array<float> x({4}), y({4});
  const auto half = [](Expr i) { return binary(BinaryOp::div, i, n(2)); };
  auto result =
      interpret(one_loop(LoopKind::parallel, half, reads_x, Role::inout, AssignKind::update), arguments(x, y));
  EXPECT_EQ(code_of(result), "HD0263");
}

TEST(Interpret, LockStepShowsTheHazardOfAVectorLoop) {
  Array<float> x({4}), y({4}, {1, 2, 3, 4});
  auto result =
      interpret(one_loop(LoopKind::vector, same_place, reads_left, Role::inout, AssignKind::update), arguments(x, y));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(y.data, (std::vector<float>{1, 1, 2, 3}));  // all lanes read before any writes
}

TEST(Interpret, LanesMayNotWriteOneCell) {
  Array<float> x({4}), y({4});
  const auto half = [](Expr i) { return binary(BinaryOp::div, i, n(2)); };
  EXPECT_EQ(
      code_of(interpret(one_loop(LoopKind::vector, half, reads_x, Role::inout, AssignKind::update), arguments(x, y))),
      "HD0264");
}

TEST(Interpret, FreshMemoryIsPoison) {
  Array<float> x({4}), y({4});
  const auto reads_y = [](ProgramBuilder& b, BufferId, BufferId y, Expr i) { return b.read(y, {n(3) - i}); };
  auto result = interpret(one_loop(LoopKind::serial, same_place, reads_y), arguments(x, y));
  EXPECT_EQ(code_of(result), "HD0261");
  EXPECT_NE(message_of(result).find("stage `y` at (i = 0): `y[3]` is read"), std::string::npos) << message_of(result);
}

TEST(Interpret, EveryOutputCellIsWritten) {
  Array<float> x({4}), y({4});
  const auto zero = [](Expr) { return n(0); };
  auto result =
      interpret(one_loop(LoopKind::serial, zero, reads_x, Role::out, AssignKind::define, true), arguments(x, y));
  EXPECT_EQ(code_of(result), "HD0267");
  EXPECT_NE(message_of(result).find("`y[1]`"), std::string::npos) << message_of(result);
}

TEST(Interpret, OneDefinitionUnlessRecomputed) {
  Array<float> x({4}), y({4});
  const auto clamped = [](Expr i) { return min(i, n(2)); };
  EXPECT_EQ(code_of(interpret(one_loop(LoopKind::serial, clamped, reads_x), arguments(x, y))), "HD0262");
  EXPECT_EQ(code_of(interpret(one_loop(LoopKind::serial, clamped, reads_x, Role::out, AssignKind::define, true),
                              arguments(x, y))),
            "HD0267");
}

TEST(Interpret, WriteOutside) {
  Array<float> x({4}), y({4});
  const auto past = [](Expr i) { return i + 1; };
  EXPECT_EQ(code_of(interpret(one_loop(LoopKind::serial, past, reads_x), arguments(x, y))), "HD0260");
}

TEST(Interpret, OpenReductionIsNotReadable) {
  Program p = reduction<float>("sum");
  ProgramBuilder b("reads_open");
  b.program = p;
  const BufferId y{1};
  const For& rows = std::get<For>(p.body[0]->form);
  Reduce reduce = std::get<Reduce>(rows.body[0]->form);
  const For& cols = std::get<For>(reduce.body[0]->form);
  Leaf point = std::get<Leaf>(cols.body[0]->form);
  point.assigns[0].value = b.read(y, {point.assigns[0].subs[0]});
  For inner = cols, outer = rows;
  inner.body = {make_stmt(point)};
  reduce.body = {make_stmt(inner)};
  outer.body = {make_stmt(reduce)};
  b.program.body = {make_stmt(outer)};
  Array<float> x({1, 2}), out({1});
  EXPECT_EQ(code_of(interpret(b.program, arguments(x, out))), "HD0265");
}

TEST(Interpret, StopsAtTheLeafLimit) {
  Array<float> x({4, 4}), y({4, 4});
  InterpretOptions options;
  options.max_leaves = 10;
  EXPECT_EQ(code_of(interpret(softmax(), arguments(x, y), options)), "HD0270");
}

// y[i] = 2 * x[i] by way of t[0]: scratch memory of one cell, allocated inside or outside the parallel loop.
Program scratch(bool inside) {
  ProgramBuilder b("scratch");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", f32, {size}), y = b.out("y", f32, {size}), t = b.temporary("t", f32, {{n(0), n(1)}});
  const Expr i = b.loop("i"), ti = b.axis("i", "t"), yi = b.axis("i");
  const StageId stage_t = b.stage("t", {map_axis(ti, n(0), size)}), stage_y = b.stage("y", {map_axis(yi, n(0), size)});
  Body body = {leaf(stage_t, {i}, {define(t, {n(0)}, b.read(x, {ti}))}, {}, {}, true),
               leaf(stage_y, {i}, {define(y, {yi}, b.read(t, {n(0)}) + b.read(t, {n(0)}))})};
  if (inside) body.insert(body.begin(), alloc({t}));
  b.program.body = {loop_over(i, n(0), size, body, LoopKind::parallel)};
  if (!inside) b.program.body.insert(b.program.body.begin(), alloc({t}));
  return b.program;
}

TEST(Interpret, ScratchOfOneIterationIsItsOwn) {
  Array<float> x({3}, {1, 2, 3}), y({3});
  auto result = interpret(scratch(true), arguments(x, y));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(y.data, (std::vector<float>{2, 4, 6}));
  EXPECT_EQ(code_of(interpret(scratch(false), arguments(x, y))), "HD0263");
}

TEST(Interpret, NestedAndFollowingParallelLoopsAreOrdered) {
  ProgramBuilder b("transpose_twice");
  const Expr rows = b.dim("rows"), cols = b.dim("cols");
  const BufferId x = b.in("x", f32, {rows, cols}), y = b.out("y", f32, {rows, cols}),
                 t = b.temporary("t", f32, {{n(0), cols}, {n(0), rows}});
  const Expr i = b.loop("i", "t"), j = b.loop("j", "t"), k = b.loop("i"), l = b.loop("j");
  const Expr ti = b.axis("i", "t"), tj = b.axis("j", "t"), yi = b.axis("i"), yj = b.axis("j");
  const StageId stage_t = b.stage("t", {map_axis(ti, n(0), cols), map_axis(tj, n(0), rows)});
  const StageId stage_y = b.stage("y", {map_axis(yi, n(0), rows), map_axis(yj, n(0), cols)});
  const StmtRef fill = leaf(stage_t, {i, j}, {define(t, {ti, tj}, b.read(x, {tj, ti}))});
  const StmtRef use = leaf(stage_y, {k, l}, {define(y, {yi, yj}, b.read(t, {yj, yi}))});
  b.program.body = {
      alloc({t}), loop_over(i, n(0), cols, {loop_over(j, n(0), rows, {fill}, LoopKind::parallel)}, LoopKind::parallel),
      loop_over(k, n(0), rows, {loop_over(l, n(0), cols, {use}, LoopKind::parallel)}, LoopKind::parallel)};
  Array<float> xa = random_array({5, 7}, 9), ya({5, 7});
  auto result = interpret(b.program, arguments(xa, ya));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(ya.data, xa.data);
}

TEST(Interpret, LongParallelLoopsReachEveryIteration) {
  Array<float> x({70'001}, {}), y({70'001});
  for (size_t i = 0; i < x.data.size(); ++i) x.data[i] = static_cast<float>(i);
  auto result = interpret(one_loop(LoopKind::parallel, same_place, reads_x), arguments(x, y));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(y.data, x.data);
}

TEST(Interpret, DeepExpressions) {
  const auto chain = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    Expr sum = b.read(x, {i});
    for (int k = 0; k < 1200; ++k) sum = sum + real_constant(f32, 1);
    return sum;
  };
  Array<float> x({1}, {0}), y({1});
  for (InterpretMode mode : {InterpretMode::typed, InterpretMode::bounded}) {
    InterpretOptions options;
    options.mode = mode;
    auto result = interpret(one_loop(LoopKind::serial, same_place, chain), arguments(x, y), options);
    ASSERT_TRUE(result.ok()) << message_of(result);
    EXPECT_EQ(y.data[0], 1200);
    if (mode == InterpretMode::bounded) EXPECT_EQ(result->bounded[0].bound[0], 0);  // every step is exact
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Memory

// y[i] = t[i] of a temporary that each lane of a vector loop has for itself: its box depends on the lane.
TEST(Interpret, EachLaneHasItsOwnAllocs) {
  ProgramBuilder b("lanes");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", f32, {size}), y = b.out("y", f32, {size});
  const Expr v = b.loop("v"), j = b.loop("j"), ti = b.axis("i", "t"), yi = b.axis("i");
  const BufferId t = b.temporary("t", f32, {{v, v + 1}});
  const StageId stage_t = b.stage("t", {map_axis(ti, n(0), size)}), stage_y = b.stage("y", {map_axis(yi, n(0), size)});
  // t = sum of v + 1 copies of x: the inner loop has another extent for each lane.
  const StmtRef sum =
      region({window(t, {{v, v + 1}})}, "sum",
             {loop_over(j, n(0), v + 1, {leaf(stage_t, {v}, {combine(t, {ti}, b.read(x, {ti}))}, {}, "sum")})});
  b.program.body = {loop_over(v, n(0), n(4), {alloc({t}), sum, leaf(stage_y, {v}, {define(y, {yi}, b.read(t, {yi}))})},
                              LoopKind::vector)};
  Array<float> xa({4}, {1, 10, 100, 1000}), ya({4});
  auto result = interpret(b.program, arguments(xa, ya));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(ya.data, (std::vector<float>{1, 20, 300, 4000}));
}

// y[i] = x[i - reach] through a storage of three places: t[i] lives at i % 3.
Program folded(int64_t reach) {
  ProgramBuilder b("folded");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", f32, {size}), y = b.out("y", f32, {size});
  const BufferId t = b.temporary("t", f32, {{n(0), size}});
  const Expr u = b.local("u"), i = b.loop("i"), ti = b.axis("i", "t"), yi = b.axis("i");
  b.program.buffers[t.value].layout = Layout{{id(u)}, {binary(BinaryOp::mod, u, n(3))}};
  const StageId stage_t = b.stage("t", {map_axis(ti, n(0), size)}), stage_y = b.stage("y", {map_axis(yi, n(0), size)});
  b.program.body = {
      alloc({t}),
      loop_over(i, n(0), size,
                {leaf(stage_t, {i}, {define(t, {ti}, b.read(x, {ti}))}),
                 leaf(stage_y, {i}, {define(y, {yi}, b.read(t, {max(yi - reach, n(0))}))}, less(n(reach - 1), i)),
                 leaf(stage_y, {i}, {define(y, {yi}, b.read(x, {yi}))}, less(i, n(reach)))})};
  return b.program;
}

TEST(Interpret, FoldedStorageKeepsTheLastCellsOnly) {
  Array<float> x({6}, {1, 2, 3, 4, 5, 6}), y({6});
  auto result = interpret(folded(2), arguments(x, y));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(y.data, (std::vector<float>{1, 2, 1, 2, 3, 4}));
  EXPECT_EQ(code_of(interpret(folded(3), arguments(x, y))), "HD0261");
}

TEST(Interpret, StridedArraysAndCompositeAxes) {
  ProgramBuilder b("composite");
  const Expr g = b.dim("g"), c = b.dim("c");
  const BufferId k = b.in("k", f32, {g}), x = b.in("x", f32, {g, c}), y = b.out("y", f32, {g, c});
  b.program.buffers[x.value].groups = {2};
  b.program.dims = {{id(g), k, 0, {}, {}, {}}, {id(c), x, 0, {}, g, {}}};
  const Expr q = b.axis("q"), i = b.axis("i"), lq = b.loop("q"), li = b.loop("i");
  const StageId stage = b.stage("y", {map_axis(q, n(0), g), map_axis(i, n(0), c)});
  b.program.body = {loop_over(
      lq, n(0), g,
      {loop_over(li, n(0), c, {leaf(stage, {lq, li}, {define(y, {q, i}, b.read(x, {q, i}) * b.read(k, {q}))})})})};
  Array<float> ka({2}, {1, 10}), xa({12}, {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}), ya({2, 3});
  Arguments args = arguments(ka, xa, ya);
  args.arrays[1].extents = {6};
  args.arrays[1].strides = {2};
  args.arrays[2].strides = {1, 2};  // y transposed
  auto result = interpret(b.program, args);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(ya.data, (std::vector<float>{1, 40, 2, 50, 3, 60}));
  args.arrays[1].extents = {5};
  auto refused = interpret(b.program, args);
  EXPECT_EQ(code_of(refused), "HD0253");
  EXPECT_NE(message_of(refused).find("gives no whole `c`"), std::string::npos) << message_of(refused);
}

TEST(Interpret, Bf16RoundsEveryOperation) {
  ProgramBuilder b("bf16");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", ScalarType::bf16, {size}), y = b.out("y", ScalarType::bf16, {size});
  const Expr i = b.axis("i"), li = b.loop("i");
  const Expr one = real_constant(ScalarType::bf16, 1), tiny = real_constant(ScalarType::bf16, 0x1p-9);
  b.program.body = {loop_over(
      li, n(0), size,
      {leaf(b.stage("y", {map_axis(i, n(0), size)}), {li}, {define(y, {i}, (b.read(x, {i}) * one + tiny) + tiny)})})};
  Array<uint16_t> xa({1}, {static_cast<uint16_t>(encode_float(ScalarType::bf16, 1))}), ya({1});
  ASSERT_TRUE(interpret(b.program, arguments(xa, ya)).ok());
  EXPECT_EQ(decode_float(ScalarType::bf16, ya.data[0]), 1);  // each addition alone rounds to 1
}

// ---------------------------------------------------------------------------------------------------------------------
// Data that decides

// dt[id[i], e] = sum[i] dy[i, e], with a check on each id.
Program scatter() {
  ProgramBuilder b("embed_grad");
  const Expr size = b.dim("n"), d = b.dim("d");
  const BufferId ids = b.in("id", ScalarType::i64, {size}), dy = b.in("dy", f32, {size, d}),
                 dt = b.out("dt", f32, {n(3), d});
  const Expr i = b.axis("i", "dt"), e = b.axis("e", "dt"), li = b.loop("i", "dt"), le = b.loop("e", "dt"),
             ci = b.loop("i", "check");
  const StageId stage = b.stage("dt", {{id(i), AxisClass::scatter, n(0), size}, map_axis(e, n(0), d)});
  const Expr row = convert(ScalarType::index, b.read(ids, {i})),
             checked = convert(ScalarType::index, b.read(ids, {ci}));
  const StmtRef point = leaf(stage, {li, le}, {combine(dt, {row, e}, b.read(dy, {i, e}))}, {}, "sum");
  b.program.body = {
      loop_over(
          ci, n(0), size,
          {make_stmt(Check{both(less_equal(n(0), checked), less(checked, n(3))), "id is inside the table", {ci}})}),
      region({window(dt, {{n(0), n(3)}, {n(0), d}})}, "sum",
             {loop_over(li, n(0), size, {loop_over(le, n(0), d, {point})})})};
  return b.program;
}

TEST(Interpret, ScatterAndChecks) {
  Array<int64_t> ids({3}, {2, 0, 2});
  Array<float> dy({3, 2}, {1, 2, 3, 4, 5, 6}), dt({3, 2});
  auto result = interpret(scatter(), arguments(ids, dy, dt));
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(dt.data, (std::vector<float>{3, 4, 0, 0, 6, 8}));
  ids.data[1] = 3;
  auto refused = interpret(scatter(), arguments(ids, dy, dt));
  EXPECT_EQ(code_of(refused), "HD0269");
  EXPECT_NE(message_of(refused).find("id is inside the table, at (1)"), std::string::npos) << message_of(refused);
}

TEST(Interpret, BoundedModeFollowsBothArmsOfAnUndecidedIf) {
  // x - (x + tiny) is about 0, with a bound around it: the comparison with 0 is open, and both arms count.
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr zero = real_constant(f32, 0), tenth = real_constant(f32, static_cast<float>(0.1));
    const Expr a = (b.read(x, {i}) + tenth) - tenth;
    return select(binary(BinaryOp::lt, b.read(x, {i}), a), real_constant(f32, 5), zero);
  };
  Array<float> x({1}, {static_cast<float>(0.7)}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(result->bounded[0].bound[0], 5);
}

TEST(Interpret, TheOtherArmMayBeNaN) {
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr tenth = real_constant(f32, static_cast<float>(0.1)), a = (b.read(x, {i}) + tenth) - tenth;
    return select(binary(BinaryOp::lt, b.read(x, {i}), a), real_constant(f32, 5), real_constant(f32, NAN));
  };
  Array<float> x({1}, {static_cast<float>(0.7)}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(result->bounded[0].bound[0], HUGE_VAL);
}

TEST(Interpret, TheOtherArmMayNotBeReachable) {
  // The arm that is not taken reads outside: nothing can be claimed, and nothing fails.
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr tenth = real_constant(f32, static_cast<float>(0.1)), a = (b.read(x, {i}) + tenth) - tenth;
    return select(binary(BinaryOp::lt, b.read(x, {i}), a), b.read(x, {i + 1}),
                  b.read(x, {i}));  // in f64 both are equal
  };
  Array<float> x({1}, {static_cast<float>(0.7)}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(y.data[0], x.data[0]);
  EXPECT_TRUE(std::isinf(result->bounded[0].bound[0]));
}

TEST(Interpret, ZeroTimesWhatMayBeInfinite) {
  // f16(i32(3 * (x / 3))) is infinite or just below: 0 times that is 0 or NaN.
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr three = real_constant(f32, 3), third = binary(BinaryOp::div, b.read(x, {i}), three);
    const Expr whole = convert(ScalarType::i32, convert(ScalarType::f16, binary(BinaryOp::mul, third, three)));
    return convert(f32, binary(BinaryOp::mul, convert(ScalarType::f16, whole), real_constant(ScalarType::f16, 0)));
  };
  Array<float> x({1}, {65519.9f}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(result->bounded[0].bound[0], HUGE_VAL);
}

TEST(Interpret, FunctionsOfWhatMayBeInfinite) {
  // 2 * 32768 is past the greatest f16, but so near that another rounding may stay below: the sine may be NaN, and tanh of it less 1 too.
  for (const char* function : {"sin", "cos", "tanh", "erf", "sigmoid"}) {
    const auto value = [&](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
      const Expr half = convert(ScalarType::f16, b.read(x, {i}));
      const Expr large = binary(BinaryOp::mul, half, real_constant(ScalarType::f16, 2));
      return convert(f32, call(function, binary(BinaryOp::sub, large, large)));
    };
    Array<float> x({1}, {32768}), y({1});
    InterpretOptions options;
    options.mode = InterpretMode::bounded;
    auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
    ASSERT_TRUE(result.ok()) << message_of(result);
    EXPECT_EQ(result->bounded[0].bound[0], HUGE_VAL) << function;
  }
}

TEST(Interpret, DenormalsMayBeZeroWhereTheHeaderLetsThem) {
  // 1e-40 * inf is infinite, or NaN where the denormal is flushed; 1e-40 + 1e-40 is 2e-40 or 0.
  for (bool product : {true, false})
    for (bool flush : {true, false}) {
      const auto value = [&](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
        const Expr tiny = b.read(x, {i});
        return product ? binary(BinaryOp::mul, tiny, real_constant(f32, HUGE_VAL)) : tiny + tiny;
      };
      Array<float> x({1}, {1e-40f}), y({1});
      Program program = one_loop(LoopKind::serial, same_place, value);
      program.allow.flush_denormals = flush;
      InterpretOptions options;
      options.mode = InterpretMode::bounded;
      auto result = interpret(program, arguments(x, y), options);
      ASSERT_TRUE(result.ok()) << message_of(result);
      const double bound = result->bounded[0].bound[0];
      if (!flush) EXPECT_EQ(bound, 0);
      else if (product) EXPECT_EQ(bound, HUGE_VAL);
      else EXPECT_TRUE(bound >= 2e-40 && bound < 1e-36) << bound;
    }
}

TEST(Interpret, TypesWithoutInfinityHaveNaN) {
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const ScalarType f8 = ScalarType::f8e4m3fn;
    return convert(f32, binary(BinaryOp::div, convert(f8, b.read(x, {i})), real_constant(f8, 0)));
  };
  Array<float> x({1}, {0.5f}), y({1});
  for (InterpretMode mode : {InterpretMode::typed, InterpretMode::bounded}) {
    InterpretOptions options;
    options.mode = mode;
    auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
    ASSERT_TRUE(result.ok()) << message_of(result);
    EXPECT_TRUE(std::isnan(mode == InterpretMode::typed ? y.data[0] : result->bounded[0].value[0]));
  }
}

TEST(Interpret, SumBoundHoldsForAnyOrder) {
  Array<float> x = random_array({1, 1000}, 10), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(reduction<float>("sum"), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  double exact = 0, magnitude = 0;
  for (float v : x.data) exact += v, magnitude += std::fabs(v);
  const double value = result->bounded[0].value[0], bound = result->bounded[0].bound[0];
  EXPECT_NEAR(value, exact, 1e-9);
  EXPECT_NEAR(bound, 1000 * 0x1p-23 * magnitude, 1e-6 * bound);
  std::mt19937 random(3);
  for (int trial = 0; trial < 100; ++trial) {
    std::shuffle(x.data.begin(), x.data.end(), random);
    ASSERT_TRUE(interpret(reduction<float>("sum"), arguments(x, y)).ok());
    EXPECT_LE(std::fabs(y.data[0] - value), bound);
  }
}

TEST(Interpret, BoundedIntegersFromFloats) {
  ProgramBuilder b("quantise");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", f32, {size}), y = b.out("y", ScalarType::i8, {size});
  const Expr i = b.axis("i"), li = b.loop("i");
  const Expr scaled = b.read(x, {i}) * real_constant(f32, 1.0f / 3);
  const Expr value = convert(ScalarType::i8, call("round_even", scaled), ConvertMode::saturate);
  b.program.body = {
      loop_over(li, n(0), size, {leaf(b.stage("y", {map_axis(i, n(0), size)}), {li}, {define(y, {i}, value)})})};
  Array<float> xa({3}, {10, 4.5, 1e6f});
  Array<int8_t> ya({3});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(b.program, arguments(xa, ya), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(ya.data[0], 3);
  EXPECT_EQ(result->bounded[0].bound[0], 0);  // rounding cannot change it
  EXPECT_EQ(result->bounded[0].bound[1], 1);  // about 1.5: 1 or 2
  EXPECT_EQ(ya.data[2], 127);
  EXPECT_EQ(result->bounded[0].bound[2], 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// Dims

TEST(BindDims, ExtentsUnify) {
  const Program p = split_matmul(true);
  Array<float> a({2, 3}), w({4, 5}), c({2, 5});
  auto refused = bind_dims(p, arguments(a, w, c));
  EXPECT_EQ(code_of(refused), "HD0253");
  EXPECT_NE(message_of(refused).find("axis 0 of the argument `b` has 4 elements; `k` is 3 here"), std::string::npos)
      << message_of(refused);
  Array<float> w3({3, 5}), row({5});
  auto dims = bind_dims(p, arguments(a, w3, c));
  ASSERT_TRUE(dims.ok()) << message_of(dims);
  EXPECT_EQ(dims->size(), 3u);
  EXPECT_EQ(code_of(bind_dims(p, arguments(a, row, c))), "HD0251");
  EXPECT_EQ(code_of(bind_dims(p, arguments(a, w3))), "HD0250");
  Array<int32_t> ints({3, 5});
  EXPECT_EQ(code_of(bind_dims(p, arguments(a, ints, c))), "HD0252");
}

TEST(BindDims, RequirementsFactsAndOverflow) {
  ProgramBuilder b("needs");
  const Expr size = b.dim("n"), eps = b.scalar("eps", f32);
  const BufferId x = b.in("x", f32, {size}), y = b.out("y", f32, {size});
  const Expr i = b.axis("i"), li = b.loop("i");
  b.program.body = {loop_over(
      li, n(0), size, {leaf(b.stage("y", {map_axis(i, n(0), size)}), {li}, {define(y, {i}, b.read(x, {i}) + eps)})})};
  b.program.requirements.push_back({less(size, n(5)), "n is below 5", {}});
  b.program.requirements.push_back({binary(BinaryOp::gt, eps, real_constant(f32, 0)), "eps is positive", {}});
  Array<float> xa({4}, {1, 2, 3, 4}), ya({4}), big({9}), out({9});
  Arguments args = arguments(xa, ya);
  args.scalars = {{0.5, 0}};
  auto result = interpret(b.program, args);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(ya.data[3], 4.5f);
  args.scalars = {{-1, 0}};
  EXPECT_NE(message_of(interpret(b.program, args)).find("eps is positive"), std::string::npos);
  Arguments wide = arguments(big, out);
  wide.scalars = {{0.5, 0}};
  EXPECT_NE(message_of(interpret(b.program, wide)).find("n is below 5"), std::string::npos);

  Program limited = b.program;
  limited.facts.push_back(binary(BinaryOp::eq, binary(BinaryOp::mod, size, n(8)), n(0)));
  args.scalars = {{0.5, 0}};
  EXPECT_EQ(code_of(interpret(limited, args)), "HD0256");

  Program huge = b.program;
  const Expr m = var(huge.add(Symbol{"m", SymbolKind::dim}));
  huge.dims.push_back({id(m), {}, 0, {}, {}, size * INT64_MAX});
  EXPECT_EQ(code_of(bind_dims(huge, args)), "HD0255");
}

}  // namespace
}  // namespace heddle::test
