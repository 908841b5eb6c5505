// The reference interpreter on programs built by hand: results.
#include <gtest/gtest.h>

#include "tests/unit/ir/interpreted_programs.h"

namespace heddle::test {
namespace {

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

TEST(Interpret, EmptyExtents) {
  Array<float> x({0, 4}), y({0, 4}), u({3, 0}), v({3, 0});
  EXPECT_TRUE(interpret(softmax(LoopKind::parallel), arguments(x, y)).ok());
  EXPECT_TRUE(interpret(softmax(), arguments(u, v)).ok());
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

}  // namespace
}  // namespace heddle::test
