// Steps that make or join parts of a nest: before = after, the printed shape, and the refusals.
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
const std::vector<Dims> ns{{{"n", 0}}, {{"n", 1}}, {{"n", 2}}, {{"n", 7}}, {{"n", 16}}, {{"n", 37}}};

TEST(Peel, the_last_iterations) {
  ir::Program p = check_schedule(matmul, "peel c.i by 3", matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "for c@tail.i in")) << text;
  EXPECT_TRUE(has_text(text, "for c@tail.j in 0 .. n")) << text;
  check_schedule(matmul, "peel acc.p by 1\npeel c.j by 2\nsplit c.j by 4\nsplit c@tail.j by 3\nparallel c@*.i",
                 matmul_sizes);
  check_schedule(cumsum, "peel y.j by 1\npeel y.i by 2\npeel y.r by 1", row_sizes);
  check_schedule(softmax, "compute_at total, e, peak at y.r\npeel y.r by 2\nvectorize y.c by 8\nparallel y@tail.r",
                 row_sizes);
  check_schedule(ragged, "peel s.c by 2\npeel s.r by 1\npeel s.r by 1", row_sizes);
}

TEST(Peel, plain_names_mean_the_main_part) {
  ir::Program p = check_schedule(softmax, "peel e.c by 1\nsplit e.c by 4 into q, w\npeel q by 1\nunroll w", row_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "for e.w in 0 .. 4 unrolled")) << text;
  EXPECT_TRUE(has_text(text, "for e@tail2.w in 0 .. 4 {")) << text;
}

TEST(Peel, refusals) {
  EXPECT_EQ(refused(matmul, "peel c.i by 0")[0].code, "HD0308");
  EXPECT_EQ(refused(matmul, "peel c.i")[0].code, "HD0303");
  EXPECT_EQ(refused(matmul, "parallel c.i\npeel c.i by 1")[0].code, "HD0320");
  EXPECT_EQ(refused(softmax, "peel e.c by 2\ncompute_at e at y.r")[0].code, "HD0316");
  EXPECT_EQ(refused(softmax, "peel e.c by 2\ninline e")[0].code, "HD0317");
  EXPECT_EQ(refused(softmax, "peel peak.r by 2\nrfactor peak.c by 4")[0].code, "HD0316");
}

TEST(SplitWithPeel, whole_blocks_and_a_rest) {
  ir::Program p = check_schedule(matmul, "split c.j by 8 into jo, ji with peel\nvectorize c.ji", matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "for c.jo in 0 .. n/8 {")) << text;
  EXPECT_TRUE(has_text(text, "for c@tail.ji in 0 .. n%8 {")) << text;
  EXPECT_FALSE(has_text(text, "where")) << text;
  check_schedule(matmul, "split acc.p by 4 with peel\nsplit acc.i by 3 with peel\nunroll acc.pi", matmul_sizes);
  check_schedule(cumsum, "split y.j by 4 with peel\nsplit y.i by 3 with peel", row_sizes);
  check_schedule(softmax, "compute_at total, e, peak at y.r\nsplit y.r by 4 into ro, ri with peel\nparallel y.ro",
                 row_sizes);
}

TEST(SplitWithPeel, exact_ones_have_no_rest) {
  ir::Program p = check_schedule(matmul, "fix m = 12\nsplit c.i by 4 with peel", {{{"m", 12}, {"k", 5}, {"n", 3}}});
  EXPECT_FALSE(has_text(ir::print(p), "@tail")) << ir::print(p);
}

}  // namespace
}  // namespace heddle::schedule::testing
