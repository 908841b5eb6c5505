// cache of what is written, pipeline, prefetch, nontemporal: before = after, the printed shape, and the refusals.
#include <gtest/gtest.h>

#include "frontend/program_text.h"
#include "ir/print.h"
#include "ops.h"

namespace heddle::schedule::testing {
namespace {

const std::vector<Dims> matmul_sizes{{{"m", 0}, {"k", 3}, {"n", 5}},
                                     {{"m", 1}, {"k", 1}, {"n", 1}},
                                     {{"m", 7}, {"k", 0}, {"n", 4}},
                                     {{"m", 13}, {"k", 5}, {"n", 19}},
                                     {{"m", 6}, {"k", 7}, {"n", 33}}};
const std::vector<Dims> row_sizes{
    {{"rows", 0}, {"cols", 3}}, {{"rows", 1}, {"cols", 1}}, {{"rows", 5}, {"cols", 37}}, {{"rows", 8}, {"cols", 64}}};

TEST(WriteBack, of_a_block) {
  ir::Program p =
      check_schedule(matmul,
                     "split c.i by 4\nsplit c.j by 8\nreorder c.io, c.jo, c.ii, c.ji\ncompute_at acc at c.jo\n"
                     "cache c in l1 at c.jo as block\nvectorize block.ji\nparallel c.io",
                     matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "at c(i = 4*io + i, j = 8*jo + j) where 4*io + i < m && 8*jo + j < n"))
      << ir::print(p);
}

TEST(WriteBack, of_a_block_of_two_levels) {
  ir::Program p = check_schedule(matmul,
                                 "split c.j by 32\nsplit c.ji by 8 into jm, jl\nreorder c.jo, c.i, c.jm, c.jl\n"
                                 "cache c in l2 at c.jo as block",
                                 matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "for c.j in 0 .. 32 {")) << ir::print(p);
}

TEST(WriteBack, of_a_reduction_into_the_output) {
  check_schedule("op f(x: f32[rows, cols]) -> y: f32[rows] { y[r] = sum[c] x[r, c] }",
                 "split y.r by 4\nreorder y.ro, y.c, y.ri\ncache y in registers at y.ro as part\nvectorize part.ri",
                 row_sizes);
  check_schedule("op f(x: f32[rows, cols]) -> y: f32[rows] { y[r] = max[c where c < r] x[r, c] }",
                 "split y.r by 4\ncache y in registers at y.ro as part\nsplit part.c by 5\nsplit y.r by 3 into ra, rb",
                 row_sizes);
}

TEST(WriteBack, of_a_temporary_that_is_read_elsewhere) {
  check_schedule(stencil, "split t.i by 4\ncache t in l1 at t.io as block\nsplit block.ii by 2",
                 {{{"n", 0}}, {{"n", 1}}, {{"n", 4}}, {{"n", 23}}});
}

TEST(WriteBack, of_parts_and_collapsed_loops) {
  const char* const scale = "op f(x: f32[rows, cols]) -> y: f32[rows, cols] { y[r, c] = 2 * x[r, c] }";
  check_schedule(scale, "split y.c by 8 with peel\ncache y in l2 at y.r as row", row_sizes);
  check_schedule(scale, "peel y.r by 2\nsplit y.c by 4\ncache y in l2 at y.co as some", row_sizes);
  check_schedule(scale, "fix cols = 6\ncollapse y.r, y.c into z\nsplit y.z by 8\ncache y in l2 at y.zo as some",
                 {{{"rows", 0}, {"cols", 6}}, {{"rows", 5}, {"cols", 6}}});
}

TEST(WriteBack, twice) {
  check_schedule(matmul,
                 "split c.i by 8\nsplit c.ii by 2 into im, il\ncache c in l2 at c.io as outer\n"
                 "cache outer in l1 at outer.im as inner",
                 {{{"m", 13}, {"k", 5}, {"n", 4}}, {{"m", 16}, {"k", 2}, {"n", 3}}});
}

TEST(WriteBack, refusals) {
  EXPECT_EQ(refused(matmul, "cache acc in l1 at c.i as c")[0].code, "HD0307");
  EXPECT_EQ(refused(stencil, "compute_at t at y.i\ncache t in l1 at y.i")[0].code, "HD0327");
  EXPECT_EQ(refused(matmul, "split c.j by 8\nvectorize c.ji\ncache c in l1 at c.ji")[0].code, "HD0320");
}

TEST(Pipeline, fetch_work_take) {
  ir::Program p =
      check_schedule("op f(x: f32[rows, cols]) -> y: f32[rows, cols] { y[r, c] = 2 * x[r, c] }",
                     "split y.r by 2\ncache x in l1 at y.ro as a\ncache y in l1 at y.ro as b\npipeline y.ro by 3\n"
                     "vectorize a.c by 4\nvectorize b.c by 4",
                     row_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "pipelined 3 at (0, 0, 1, 1, 2)")) << ir::print(p);
}

TEST(Pipeline, of_a_reduction_some_iterations_ahead) {
  ir::Program p =
      check_schedule(matmul,
                     "split acc.p by 2\nreorder acc.po, acc.i, acc.pi, acc.j\ncache b in l2 at acc.po as panel\n"
                     "pipeline acc.po by 4",
                     matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "in l2 copies 4")) << ir::print(p);
}

TEST(Pipeline, two_copies_and_many_stages) {
  check_schedule(matmul,
                 "split c.i by 2\nsplit acc.i by 3\ncache a in l1 at acc.io as sa\ncache b in l2 at acc.io as sb\n"
                 "cache acc in l1 at acc.io as st\npipeline acc.io by 6\nsplit st.p by 2",
                 matmul_sizes);
}

TEST(Pipeline, later_steps_keep_it_or_are_refused) {
  const std::string before = "cache b in l2 at acc.i as panel\npipeline acc.i by 2\n";
  check_schedule(matmul, before + "split panel.p by 4\nunroll panel.pi", matmul_sizes);
  EXPECT_EQ(refused(matmul, before + "split panel.p by 4 with peel")[0].code, "HD0320");
  EXPECT_EQ(refused(matmul, before + "cache a in l1 at acc.i as again")[0].code, "HD0320");
}

// Runs the loop of a copy through `t`; the code of what the interpreter finds, or "" where y is x.
std::string run_pipeline(const std::string& kind, int copies) {
  const std::string text = R"(
program p(in x: f32[n] in dram, out y: f32[n] in dram) facts (n >= 0) {
  stage t(map i in 0 .. n)
  stage y(map i in 0 .. n)
  for y.i in 0 .. n )" + kind +
                           R"( {
    alloc t: f32[i in i .. i + 1] in l1 copies )" +
                           std::to_string(copies) + R"(
    at t(i = i) { t[i] = x[i] }
    at y(i = i) { y[i] = t[i] }
  }
}
)";
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  if (!p) return render(p.errors());
  std::vector<float> x{1, 2, 3, 4, 5, 6, 7}, y(7, -1);
  ir::Arguments args;
  args.arrays.push_back({ir::ScalarType::f32, {7}, {1}, x.data()});
  args.arrays.push_back({ir::ScalarType::f32, {7}, {1}, y.data()});
  Result<ir::InterpretResult> done = ir::interpret(*p, args, {});
  if (!done) return done.errors().front().code;
  return x == y ? "" : "another result";
}

TEST(Pipeline, runs_skewed_in_the_interpreter) {
  EXPECT_EQ(run_pipeline("", 1), "");
  EXPECT_EQ(run_pipeline("pipelined 2 at (0, 0, 1)", 2), "");
  EXPECT_EQ(run_pipeline("pipelined 4 at (0, 0, 3)", 4), "");
  EXPECT_EQ(run_pipeline("pipelined 4 at (1, 1, 3)", 3), "");
  // Too few copies: a later iteration has taken the memory. In the wrong order: nothing is there yet.
  EXPECT_NE(run_pipeline("pipelined 2 at (0, 0, 1)", 1), "");
  EXPECT_NE(run_pipeline("pipelined 4 at (0, 0, 3)", 3), "");
  EXPECT_NE(run_pipeline("pipelined 2 at (0, 1, 0)", 2), "");
  EXPECT_EQ(run_pipeline("pipelined 2 at (0, 1)", 2).substr(0, 40).find("HD0201") == std::string::npos, false);
}

TEST(Prefetch, changes_nothing) {
  check_schedule(
      matmul, "reorder acc.i, acc.p, acc.j\nprefetch b at acc.p by 4\nprefetch a at acc.p by 9\nvectorize acc.j by 8",
      matmul_sizes);
  check_schedule(matmul, "split c.i by 3 into io, ii\nprefetch c at c.io by 2\nvectorize c.j by 8", matmul_sizes);
  EXPECT_EQ(refused(matmul, "prefetch b at acc.p by 4\nparallel acc.p")[0].code, "HD0320");
  EXPECT_EQ(refused(matmul, "prefetch acc at acc.p by 4")[0].code, "HD0327");
  EXPECT_EQ(refused(matmul, "prefetch b at c.i by 4")[0].code, "HD0327");
}

TEST(Prefetch, of_a_tensor_that_moves_or_goes) {
  EXPECT_FALSE(has_text(
      ir::print(check_schedule(matmul, "prefetch acc at c.j by 4\ncompute_at acc at c.j", matmul_sizes)), "prefetch"));
  EXPECT_FALSE(
      has_text(ir::print(check_schedule(stencil, "prefetch t at y.i by 4\ninline t", {{{"n", 9}}})), "prefetch"));
  EXPECT_TRUE(
      has_text(ir::print(check_schedule(matmul, "compute_at acc at c.i in l2\nprefetch acc at c.j by 4\npeel c.i by 2",
                                        matmul_sizes)),
               "for c@tail.j in 0 .. n prefetch acc@tail by 4"));
}

TEST(Nontemporal, changes_nothing) {
  check_schedule(matmul, "vectorize c.j by 8\nnontemporal c\nparallel c.i", matmul_sizes);
}

}  // namespace
}  // namespace heddle::schedule::testing
