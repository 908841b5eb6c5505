// Loops taken apart (`fission`) and joined (`fuse`): before = after, the printed shape, and the refusals.
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

const char* const moments = R"(
op moments(x: f32[rows, cols]) -> (s: f32[rows], q: f32[rows]) {
  s[r] = sum[c] x[r, c]
  q[r] = sum[c] x[r, c] * x[r, c]
}
)";
const char* const shifted = R"(
op shifted(x: f32[n]) -> (y: f32[n], z: f32[n]) {
  t[i] = 2 * x[i]
  y[i] = t[i] + (t[i - 1] or 0)
  z[i] = t[i] + (t[i + 1] or 0)
}
)";

TEST(Fuse, loops_of_as_many_iterations) {
  ir::Program p = check_schedule(softmax, "fuse e.r, total.r into q\nfuse e.q, y.r into q2\nparallel e.q2", row_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "for e.q2 in 0 .. rows parallel {")) << ir::print(p);
  check_schedule(matmul, "fuse acc.i, c.i\nfuse acc.j, c.j\nsplit acc.i by 4\nparallel acc.io", matmul_sizes);
  check_schedule(matmul, "split acc.i by 4\nsplit c.i by 4\nfuse acc.io, c.io into q\nparallel acc.q", matmul_sizes);
}

TEST(Fuse, the_consumer_may_lag_behind) {
  check_schedule(shifted, "fuse t.i, y.i into q", ns);
  ir::Program p = check_schedule(shifted, "fuse y.i, z.i into q\nvectorize y.q by 4", ns);
  EXPECT_TRUE(has_text(ir::print(p), "vector")) << ir::print(p);
}

TEST(Fuse, two_reductions_in_one_pass) {
  ir::Program p = check_schedule(moments, "fuse s.r, q.r\nfuse s.c, q.c into p\nsplit s.p by 4", row_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "reduce q[r] by sum {")) << ir::print(p);
}

TEST(Fuse, refusals) {
  EXPECT_EQ(refused(shifted, "fuse t.i, z.i")[0].code, "HD0311");
  EXPECT_EQ(refused(shifted, "fuse y.i, t.i")[0].code, "HD0303");
  EXPECT_EQ(refused(shifted, "fuse t.i, y.i into q\nfuse t.q, z.i")[0].code, "HD0326");
  EXPECT_EQ(refused(softmax, "fuse peak.c, e.c")[0].code, "HD0311");
  EXPECT_EQ(refused(softmax, "fuse peak.r, e.r\nfuse peak.c, e.c")[0].code, "HD0326");
  EXPECT_EQ(refused(matmul, "fuse acc.i, c.j")[0].code, "HD0311");
  EXPECT_EQ(refused(matmul, "split c.i by 4\nfuse acc.i, c.io")[0].code, "HD0310");
  EXPECT_EQ(refused(matmul, "parallel c.i\nfuse acc.i, c.i")[0].code, "HD0320");
  EXPECT_EQ(refused(matmul, "fuse c.i")[0].code, "HD0303");
}

TEST(Fission, undoes_a_fusion) {
  ir::Program p = check_schedule(softmax,
                                 "fuse e.r, total.r into q\nfuse e.q, y.r into q2\nfission e.q2 after e\n"
                                 "fission e@rest.q2 after total\nparallel e.q2",
                                 row_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "for e@rest_rest.q2 in 0 .. rows {")) << ir::print(p);
}

TEST(Fission, what_stays_keeps_the_name) {
  ir::Program p = check_schedule(shifted, "fuse t.i, y.i\nfission t.i after t\nvectorize t.i by 4", ns);
  EXPECT_TRUE(has_text(ir::print(p), "for t@rest.i in 0 .. n {")) << ir::print(p);
  p = check_schedule(matmul,
                     "split c.i by 4\ncompute_at acc at c.io\nsplit acc.p by 4\nreorder acc.po, acc.i\n"
                     "cache b in dram at acc.po as panel",
                     matmul_sizes);
  EXPECT_EQ(refused(matmul, "split c.i by 4\ncompute_at acc at c.io\nfission c.io after acc")[0].code, "HD0326");
}

TEST(Fission, refusals) {
  EXPECT_EQ(refused(matmul, "fission c.i after acc")[0].code, "HD0304");
  EXPECT_EQ(refused(matmul, "fission c.i after c")[0].code, "HD0311");
  EXPECT_EQ(refused(matmul, "fuse acc.i, c.i\nparallel acc.i\nfission acc.i after acc")[0].code, "HD0320");
}

}  // namespace
}  // namespace heddle::schedule::testing
