// Claims of programs that do not hold: what the interpreter finds while it runs them.
#include <gtest/gtest.h>

#include "tests/unit/ir/interpreted_programs.h"

namespace heddle::test {
namespace {

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

}  // namespace
}  // namespace heddle::test
