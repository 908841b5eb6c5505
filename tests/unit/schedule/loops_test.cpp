// split, reorder, parallel, vectorize, unroll: before = after, the printed shape, and the refusals.
#include <gtest/gtest.h>

#include "ir/print.h"
#include "ops.h"

namespace heddle::schedule::testing {
namespace {

const std::vector<Dims> matmul_sizes{{{"m", 0}, {"k", 3}, {"n", 5}},    {{"m", 1}, {"k", 1}, {"n", 1}},
                                     {{"m", 7}, {"k", 0}, {"n", 4}},    {{"m", 13}, {"k", 5}, {"n", 19}},
                                     {{"m", 12}, {"k", 16}, {"n", 64}}, {{"m", 6}, {"k", 7}, {"n", 129}}};
const std::vector<Dims> row_sizes{
    {{"rows", 0}, {"cols", 3}}, {{"rows", 1}, {"cols", 1}}, {{"rows", 5}, {"cols", 37}}, {{"rows", 8}, {"cols", 64}}};

TEST(Split, guards_the_last_block) {
  ir::Program p =
      check_schedule(matmul, "split c.i by 4 into io, ii\nsplit c.j by 8\nsplit acc.p by 3 into po, pi", matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "for c.io in 0 .. ceildiv(m, 4) {")) << text;
  EXPECT_TRUE(has_text(text, "at c(i = 4*io + ii, j = 8*jo + ji) where 4*io + ii < m && 8*jo + ji < n")) << text;
  EXPECT_TRUE(has_text(text, "p = 3*po + pi) where 3*po + pi < k")) << text;
}

TEST(Split, of_a_split_loop) {
  check_schedule(matmul,
                 "split c.i by 6 into io, ii\nsplit ii by 4 into x, y\nsplit c.io by 2 into z, w\nsplit acc.i by "
                 "5\nsplit acc.ii by 3 into q, r",
                 matmul_sizes);
}

TEST(Split, exact_needs_a_proof) {
  Diagnostics d = refused(matmul, "split c.i by 4 with exact");
  EXPECT_EQ(d[0].code, "HD0310");
  EXPECT_TRUE(has_text(d[0].help, "m%4 == 0")) << d[0].help;
  ir::Program p = check_schedule(matmul, "fix m = 12\nsplit c.i by 4 with exact", {{{"m", 12}, {"k", 5}, {"n", 3}}});
  EXPECT_TRUE(has_text(ir::print(p), "for c.io in 0 .. 3 {")) << ir::print(p);
  EXPECT_FALSE(has_text(ir::print(p), "where")) << ir::print(p);
}

TEST(Split, of_a_triangle) { check_schedule(cumsum, "split y.i by 4\nsplit y.j by 3\nsplit y.r by 2", row_sizes); }

TEST(Split, used_up_names_say_what_became_of_them) {
  Diagnostics d = refused(matmul, "split c.i by 4 into io, ii\nsplit c.i by 2");
  EXPECT_EQ(d[0].code, "HD0305");
  EXPECT_EQ(d[0].message, "`c.i` was split at line 2 into `io`, `ii`");
  EXPECT_EQ(d[0].place.source->at(d[0].place.begin).line, 3);
}

TEST(Split, refusals) {
  EXPECT_EQ(refused(matmul, "split c.i by 0")[0].code, "HD0308");
  EXPECT_EQ(refused(matmul, "split c.i")[0].code, "HD0303");
  EXPECT_EQ(refused(matmul, "split c.i by 4 into x, x")[0].code, "HD0307");
  EXPECT_EQ(refused(matmul, "split c.i by 4 into j, x")[0].code, "HD0307");
  EXPECT_EQ(refused(matmul, "split c.i by 4 into m, x")[0].code, "HD0307");
  EXPECT_EQ(refused(matmul, "split i by 4")[0].code, "HD0306");
  Diagnostics near = refused(matmul, "split acd.i by 4");
  EXPECT_EQ(near[0].code, "HD0304");
  EXPECT_EQ(near[0].help, "did you mean `acc.i`?");
  Diagnostics step = refused(matmul, "splt c.i by 4");
  EXPECT_EQ(step[0].code, "HD0301");
  EXPECT_EQ(step[0].help, "did you mean `split`?");
  EXPECT_EQ(refused(matmul, "apply rows to acc")[0].code, "HD0304");
}

TEST(Split, over_and_over_meets_a_limit) {
  std::string steps;
  for (int i = 0; i < 400; ++i)
    steps +=
        "split c.i" + std::string(i, 'x') + " by 2 into i" + std::string(i + 1, 'x') + ", y" + std::to_string(i) + "\n";
  EXPECT_EQ(refused(matmul, steps)[0].code, "HD0308");  // of steps past 2^40
  EXPECT_EQ(refused(matmul, "split c.i by 10000000")[0].code, "HD0319");
}

TEST(Collapse, two_loops) {
  ir::Program p = check_schedule(
      matmul, "fix n = 19\ncollapse c.i, c.j into z\nsplit c.z by 8 into zo, zi\nvectorize c.zi\nparallel c.zo",
      {{{"m", 5}, {"k", 3}, {"n", 19}}, {{"m", 0}, {"k", 3}, {"n", 19}}});
  EXPECT_TRUE(has_text(ir::print(p), "8*zo + zi < 19*m")) << ir::print(p);
  check_schedule(matmul, "split acc.p by 4\ncollapse acc.po, acc.pi\nsplit acc.popi by 3", matmul_sizes);
  check_schedule(softmax,
                 "split y.c by 4\nsplit e.c by 4 into co, ci\ncollapse e.co, e.ci into c\ncompute_at peak at e.r",
                 row_sizes);
  EXPECT_EQ(refused(matmul, "collapse c.i, c.j")[0].code, "HD0318");
  EXPECT_EQ(refused(cumsum, "collapse y.i, y.j")[0].code, "HD0311");
  EXPECT_EQ(refused(matmul, "split acc.p by 4\nreorder acc.p, acc.i")[0].code, "HD0305");
}

TEST(Reorder, map_loops_are_free) {
  ir::Program p = check_schedule(
      matmul, "split c.i by 4 into io, ii\nsplit c.j by 8 into jo, ji\nreorder c.jo, c.io, c.ji, c.ii", matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_LT(text.find("for c.jo"), text.find("for c.io"));
  EXPECT_LT(text.find("for c.io"), text.find("for c.ji"));
}

TEST(Reorder, a_reduction_widens_over_map_loops) {
  ir::Program p = check_schedule(matmul, "reorder acc.p, acc.i, acc.j", matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "reduce acc[0 .. m, 0 .. n] by sum {\n    for acc.p")) << ir::print(p);
  check_schedule(
      matmul,
      "split acc.i by 4 into io, ii\nsplit acc.j by 8 into jo, ji\nreorder acc.io, acc.jo, acc.p, acc.ii, acc.ji",
      matmul_sizes);
  // And back again.
  ir::Program back = check_schedule(matmul, "reorder acc.p, acc.i, acc.j\nreorder acc.i, acc.j, acc.p", matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(back), "reduce acc[i, j] by sum")) << ir::print(back);
}

TEST(Reorder, two_loops_of_a_reduction_need_leave) {
  Diagnostics d = refused(matmul, "split acc.p by 4 into po, pi\nreorder acc.pi, acc.po");
  EXPECT_EQ(d[0].code, "HD0312");
  EXPECT_TRUE(has_text(d[0].help, "allow reassociate"));
  ir::Program p = check_schedule(matmul, "split acc.p by 4 into po, pi\nreorder acc.pi, acc.po", matmul_sizes, true);
  EXPECT_TRUE(has_text(ir::print(p), "by sum reassociated")) << ir::print(p);
  // max is exact.
  check_schedule(softmax, "split peak.c by 4 into co, ci\nreorder peak.ci, peak.co", row_sizes);
}

TEST(Reorder, refusals) {
  EXPECT_EQ(refused(matmul, "reorder c.i, acc.j")[0].code, "HD0311");
  EXPECT_EQ(refused(cumsum, "reorder y.j, y.i")[0].code, "HD0326");
  EXPECT_EQ(refused(matmul, "vectorize c.j by 4\nreorder c.jv, c.jo")[0].code, "HD0320");
}

TEST(Parallel, marks_map_loops) {
  ir::Program p =
      check_schedule(matmul, "parallel acc.i\nsplit c.i by 4 into io, ii\nparallel c.io, c.j", matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "for c.io in 0 .. ceildiv(m, 4) parallel {")) << ir::print(p);
  check_schedule(matmul, "reorder acc.p, acc.i, acc.j\nparallel acc.i", matmul_sizes);
}

TEST(Parallel, refuses_reductions) {
  Diagnostics d = refused(matmul, "parallel acc.p");
  EXPECT_EQ(d[0].code, "HD0313");
  EXPECT_TRUE(has_text(d[0].help, "rfactor"));
  EXPECT_EQ(refused(matmul, "split acc.p by 4\nvectorize acc.pi")[0].code, "HD0313");
  EXPECT_EQ(refused(matmul, "parallel c.i\nparallel c.i")[0].code, "HD0320");
  EXPECT_EQ(refused(matmul, "parallel c.i\nsplit c.i by 4")[0].code, "HD0320");
}

TEST(Vectorize, splits_on_the_way) {
  ir::Program p = check_schedule(matmul, "vectorize c.j by lanes(f32)", matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "for c.jv in 0 .. 16 vector {")) << ir::print(p);
  check_schedule(matmul, "split c.j by 4\nvectorize c.ji\nreorder acc.p, acc.i, acc.j\nvectorize acc.j by 8",
                 matmul_sizes);
}

TEST(Vectorize, refusals) {
  EXPECT_EQ(refused(matmul, "vectorize c.j")[0].code, "HD0318");
  EXPECT_EQ(refused(matmul, "vectorize acc.j by 8")[0].code, "HD0311");
  EXPECT_EQ(refused(matmul, "split c.j by 512\nvectorize c.ji")[0].code, "HD0319");
}

TEST(Unroll, marks_constant_loops) {
  ir::Program p = check_schedule(matmul, "split c.i by 4\nunroll c.ii\nunroll acc.p by 3", matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "for acc.pu in 0 .. 3 unrolled {")) << ir::print(p);
  EXPECT_EQ(refused(matmul, "unroll c.i")[0].code, "HD0318");
  EXPECT_EQ(refused(matmul, "unroll c.i by 100\nunroll c.j by 100")[0].code, "HD0319");
}

}  // namespace
}  // namespace heddle::schedule::testing
