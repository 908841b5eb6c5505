// Parts under a condition (`specialize`) and tails that begin early (`split .. with shift`): before = after, the printed
// shape, and the refusals.
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
const std::vector<Dims> conv_sizes{{{"fi", 1}, {"w", 1}, {"fo", 1}, {"kw", 3}},
                                   {{"fi", 3}, {"w", 13}, {"fo", 5}, {"kw", 3}},
                                   {{"fi", 2}, {"w", 7}, {"fo", 0}, {"kw", 2}}};
const std::vector<Dims> ns{{{"n", 0}}, {{"n", 1}}, {{"n", 2}}, {{"n", 7}}, {{"n", 16}}, {{"n", 37}}};

TEST(Specialize, the_condition_is_a_fact_inside) {
  ir::Program p = check_schedule(
      matmul, "specialize c when n % 8 == 0\nsplit c@case.j by 8 with exact\nvectorize c@case.ji\nvectorize c.j by 8",
      matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "for c@case.once in 0 .. (if n%8 == 0 then 1 else 0) {")) << text;
  EXPECT_TRUE(has_text(text, "for c.once in 0 .. (if n%8 == 0 then 0 else 1) {")) << text;
  EXPECT_TRUE(has_text(text, "for c@case.jo in 0 .. n/8 {")) << text;
}

TEST(Specialize, guards_that_it_decides_are_gone) {
  ir::Program p = check_schedule(
      softmax, "compute_at total, e, peak at y.r\nsplit y.c by 8\nsplit peak.c by 4\nspecialize y when cols % 8 == 0",
      row_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "at y(r = r, c = 8*co + ci) {")) << text;
  EXPECT_TRUE(has_text(text, "at peak@case(r = r, c = 4*co + ci) {")) << text;
  EXPECT_TRUE(has_text(text, "where 8*co + ci < cols")) << text;
}

TEST(Specialize, reductions_several_times_and_inside_loops) {
  check_schedule(matmul, "specialize acc when k >= 4\nspecialize acc when k == 0\nsplit acc.p by 3", matmul_sizes);
  check_schedule(matmul, "specialize acc when k >= 4\nspecialize acc@case when n > 8\nparallel acc@case_case.i",
                 matmul_sizes);
  check_schedule(softmax,
                 "compute_at total, e, peak at y.r\nspecialize peak when y.r >= 2 || cols < 4\nunroll peak.c by 4",
                 row_sizes);
  check_schedule(cumsum, "specialize y when cols >= 2\npeel y@case.j by 1", row_sizes);
  check_schedule(conv, "specialize acc when w >= 3 && !(w == 7)", conv_sizes);
}

TEST(Specialize, refusals) {
  EXPECT_EQ(refused(matmul, "specialize c when m >= 0")[0].code, "HD0308");
  EXPECT_EQ(refused(matmul, "specialize c when m < 0")[0].code, "HD0308");
  EXPECT_EQ(refused(matmul, "specialize c when m + 1")[0].code, "HD0303");
  EXPECT_EQ(refused(matmul, "specialize c when rows == 1")[0].code, "HD0304");
  EXPECT_EQ(refused(matmul, "specialize d when m == 1")[0].code, "HD0304");
  EXPECT_EQ(refused(matmul, "specialize c@tail when m == 1")[0].code, "HD0304");
  EXPECT_EQ(refused(matmul, "specialize c")[0].code, "HD0303");
  EXPECT_EQ(refused(matmul, "specialize acc when m == 1\ncompute_at acc at c.i")[0].code, "HD0316");
  EXPECT_EQ(refused(matmul, "peel c.i by 1\npeel c@tail.i by 1\nspecialize c when c.i == 1")[0].code, "HD0304");
}

TEST(SplitWithShift, the_last_block_begins_early) {
  ir::Program p = check_schedule(matmul, "split c.j by 8 into jo, ji with shift\nvectorize c.ji", matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "recomputed")) << text;
  p = check_schedule(
      matmul,
      "specialize c when n >= 8\nsplit c@case.j by 8 into jo, ji with shift\nvectorize c@case.ji\nparallel c@case.i",
      matmul_sizes);
  text = ir::print(p);
  EXPECT_TRUE(has_text(text, "at c(i = i, j = min(8*jo, n - 8) + ji) recomputed {")) << text;
  check_schedule(matmul, "split acc.i by 3 with shift\nsplit acc.j by 4 with shift\nunroll acc.ji", matmul_sizes);
  check_schedule(matmul, "compute_at acc at c.i\nsplit c.i by 4 with shift\nsplit c.j by 8 with shift", matmul_sizes);
  check_schedule(matmul,
                 "split c.i by 4 with shift\nsplit c.j by 8 with shift\ncompute_at acc at c.jo\nsplit acc.j by 3",
                 matmul_sizes);
  p = check_schedule(
      matmul,
      "specialize acc when m >= 3 && n >= 8\nsplit acc@case.i by 3 with shift\nsplit acc@case.j by 8 into "
      "jo, ji with shift\nsplit acc@case.p by 4\nreorder acc@case.io, acc@case.jo, acc@case.po, "
      "acc@case.pi, acc@case.ii, acc@case.ji\nunroll acc@case.ii\nvectorize acc@case.ji",
      matmul_sizes);
  check_schedule(matmul,
                 "split acc.i by 3 with shift\nsplit acc.j by 8 into jo, ji with shift\n"
                 "reorder acc.io, acc.jo, acc.p, acc.ii, acc.ji",
                 matmul_sizes);
  check_schedule(cumsum, "split y.i by 5 with shift\nsplit y.r by 2 with shift", row_sizes);
  check_schedule(softmax, "split y.r by 2 with shift\ncompute_at total, e, peak at y.ri\nsplit e.c by 8 with shift",
                 row_sizes);
  check_schedule(conv, "split y.i by 4 with shift\nsplit acc.i by 8 with shift\nreorder acc.u, acc.q", conv_sizes,
                 true);
  check_schedule(stencil, "split y.i by 4 with shift\ncompute_at t, s at y.io", ns);
  check_schedule(stencil, "compute_at t, s at y.i\nsplit y.i by 4 with shift\npeel y.io by 1", ns);
}

TEST(SplitWithShift, refusals) {
  EXPECT_EQ(refused(matmul, "split acc.p by 4 with shift")[0].code, "HD0326");
  EXPECT_EQ(refused(matmul, "reorder acc.p, acc.i, acc.j\nsplit acc.i by 4 with shift")[0].code, "HD0326");
  EXPECT_EQ(refused(matmul, "split acc.i by 4 with shift\nreorder acc.p, acc.io")[0].code, "HD0326");
  EXPECT_EQ(refused(matmul, "split acc.i by 8 with shift\nsplit acc.ii by 3\nreorder acc.p, acc.iii")[0].code,
            "HD0310");
  EXPECT_EQ(refused(matmul, "split c.i by 4 with shift\nparallel c.io")[0].code, "HD0314");
}

}  // namespace
}  // namespace heddle::schedule::testing
