#include "ir/safety.h"

#include <gtest/gtest.h>

#include "ir/magnitude.h"
#include "tests/support/program_builder.h"

namespace heddle::test {
namespace {

// for i in lo .. hi { at y(i = i) where predicate { y[i] = x[i + shift] } } over arrays of n elements.
struct Copy : ProgramBuilder {
  Expr size, i, a;
  BufferId x, y;
  Copy() : ProgramBuilder("copy"), size(dim("n")), i(loop("i")), a(axis("i")) {
    x = in("x", ScalarType::f32, {size});
    y = out("y", ScalarType::f32, {size});
  }
  std::string code(const Expr& lo, const Expr& hi, const Expr& at, const Expr& predicate = {},
                   LoopKind kind = LoopKind::serial) {
    const StageId s = stage("y", {map_axis(a, n(0), size)});
    program.body = {loop_over(i, lo, hi, {leaf(s, {i}, {define(y, {a}, read(x, {at}))}, predicate)}, kind)};
    const Diagnostics found = check_safety(program);
    return found.empty() ? "" : found.front().code;
  }
};

TEST(Safety, reads_follow_from_loops_and_predicates) {
  EXPECT_EQ(Copy().code(n(0), n(0), n(5)), "") << "never runs";
  Copy whole, before, after, guarded;
  EXPECT_EQ(whole.code(n(0), whole.size, whole.a), "");
  EXPECT_EQ(before.code(n(0), before.size, before.a - 1), "HD0230");
  EXPECT_EQ(after.code(n(0), after.size, after.a + 1), "HD0230");
  EXPECT_EQ(guarded.code(n(0), guarded.size, guarded.a + 1, less(guarded.i + 1, guarded.size)), "");
}

TEST(Safety, the_domain_is_no_gift) {
  Copy c;
  EXPECT_EQ(c.code(n(0), c.size + 1, n(0)), "HD0231");
}

TEST(Safety, facts_of_scalars_hold_as_far_as_nothing_wraps) {
  Copy bounded, sum;
  const Expr k = convert(ScalarType::index, bounded.scalar("k", ScalarType::i64));
  bounded.program.facts.push_back(both(less_equal(n(0), k), less(k, bounded.size)));
  EXPECT_EQ(bounded.code(n(0), bounded.size, k), "") << "every call checks it";
  const Expr l = convert(ScalarType::index, sum.scalar("l", ScalarType::i64));
  sum.program.facts.push_back(both(less_equal(n(0), l), less(l + l, sum.size)));
  EXPECT_EQ(sum.code(n(0), sum.size, l + l), "HD0230") << "2^63 + 2^63 is 0";
}

TEST(Safety, parallel_iterations_write_cells_of_their_own) {
  Copy c;
  EXPECT_EQ(c.code(n(0), c.size, c.a, {}, LoopKind::parallel), "");
  Copy d;
  const StageId s = d.stage("y", {map_axis(d.a, n(0), d.size)});
  d.program.body = {
      loop_over(d.i, n(0), d.size, {leaf(s, {d.i}, {define(d.y, {n(0)}, d.read(d.x, {d.a}))})}, LoopKind::parallel)};
  const Diagnostics found = check_safety(d.program);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front().code, "HD0233");
}

TEST(Magnitude, only_products_of_dims_need_a_look) {
  Copy plain;
  plain.code(n(0), plain.size, plain.a);
  EXPECT_TRUE(index_magnitude(plain.program).terms.empty());
  Copy cube;
  cube.code(n(0), cube.size * cube.size * cube.size, cube.a, less(cube.i, cube.size));
  const Magnitude m = index_magnitude(cube.program);
  EXPECT_TRUE(m.fits);
  ASSERT_FALSE(m.terms.empty());
  Copy far;
  far.code(n(0), n(INT64_MAX), far.a, less(far.i, far.size));
  EXPECT_FALSE(index_magnitude(far.program).fits);
}

}  // namespace
}  // namespace heddle::test
