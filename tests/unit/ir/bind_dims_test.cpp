// Dims from the arrays of a call.
#include <gtest/gtest.h>

#include "ir/array_axes.h"
#include "tests/unit/ir/interpreted_programs.h"

namespace heddle::test {
namespace {

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

TEST(BindDims, WholeAxesComeFirst) {
  ProgramBuilder b("composite");
  const Expr g = b.dim("g"), c = b.dim("c");
  const BufferId x = b.in("x", f32, {g, c, g}), k = b.in("k", f32, {c}), y = b.out("y", f32, {g});
  b.program.buffers[x.value].groups = {2, 1};
  const std::vector<AxisSpan> axes = array_axes(b.program.buffer(x));
  ASSERT_EQ(axes.size(), 2u);
  EXPECT_EQ(axes[0].end, 2u);
  EXPECT_EQ(axes[1].begin, 2u);
  EXPECT_TRUE(same(axis_extent(b.program.buffer(x), axes[0]), g * c));
  EXPECT_EQ(array_rank(b.program.buffer(y)), 1u);
  const std::vector<DimDefinition> dims = dims_of_whole_axes(b.program);
  ASSERT_EQ(dims.size(), 2u);
  EXPECT_TRUE(dims[0].dim == id(g) && dims[0].buffer == x && dims[0].array_axis == 1);
  EXPECT_TRUE(dims[1].dim == id(c) && dims[1].buffer == k && dims[1].array_axis == 0);
}

}  // namespace
}  // namespace heddle::test
