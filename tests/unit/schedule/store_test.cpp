// Where a stage is stored, apart from where it is computed: `store_at`, sliding windows, `fold_storage`; regions through
// several stages, strides, dilations and composite dims.
#include <gtest/gtest.h>

#include "ir/print.h"
#include "ops.h"

namespace heddle::schedule::testing {
namespace {

const std::vector<Dims> images{{{"h", 0}, {"w", 5}}, {{"h", 1}, {"w", 1}},  {{"h", 2}, {"w", 3}},
                               {{"h", 7}, {"w", 0}}, {{"h", 9}, {"w", 17}}, {{"h", 16}, {"w", 8}}};
const std::vector<Dims> ns{{{"n", 0}}, {{"n", 1}}, {{"n", 2}}, {{"n", 7}}, {{"n", 16}}, {{"n", 37}}};
const std::vector<Dims> matmul_sizes{
    {{"m", 0}, {"k", 3}, {"n", 5}}, {{"m", 1}, {"k", 1}, {"n", 1}}, {{"m", 13}, {"k", 5}, {"n", 19}}};

// Two blurs, each over three rows and three columns, with halos.
const char* const blurs = R"(
op blurs(x: f32[h + 8, w + 8]) -> y: f32[h, w] {
  a[i in 0 .. h + 8, j in 0 .. w + 6] = x[i, j] + x[i, j + 1] + x[i, j + 2]
  b[i in 0 .. h + 6, j in 0 .. w + 6] = a[i, j] + a[i + 1, j] + a[i + 2, j]
  c[i in 0 .. h + 6, j in 0 .. w + 4] = b[i, j] + b[i, j + 1] + b[i, j + 2]
  y[i, j] = c[i, j] + c[i + 2, j] + c[i + 4, j]
})";
// A stride, a dilation and a composite dim.
const char* const pool = R"(
op pool(x: f32[(h, 2), w]) -> y: f32[h, w] {
  t[g, r, j] = x[(g, r), j] * 2
  s[g in 0 .. h, j] = max[r] t[g, r, j]
  y[g, j in 0 .. w] = s[g, j] + (s[g - 2, j] or 0) + (t[g, 1, j + 3] or 0)
})";
const char* const strided = R"(
op strided(x: f32[n]) -> y: f32[n] {
  t[i in 0 .. 2*n + 3] = x[i/2 - 1] or 1
  y[i] = t[2*i] + t[2*i + 2] + t[2*i + 4]
})";

TEST(StoreAt, a_sliding_window_over_rows) {
  ir::Program p = check_schedule(blurs, "compute_at c at y.i\nstore_at c at y\ncompute_at b at c.i", images);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "for c.i in (if i == 0 then 0 else 4) .. 5 {")) << text;
  p = check_schedule(blurs, "compute_at c at y.i\nstore_at c at y\nfold_storage c by 5", images);
  EXPECT_TRUE(has_text(ir::print(p), "-> (i%5, j)")) << ir::print(p);
  check_schedule(blurs,
                 "compute_at c at y.i\nstore_at c at y\nfold_storage c by 8\nvectorize c.j by 4\nvectorize y.j by 4",
                 images);
}

TEST(StoreAt, through_several_stages) {
  check_schedule(blurs,
                 "split y.i by 4\nsplit y.j by 8\nreorder y.io, y.jo, y.ii, y.ji\ncompute_at c, b, a at y.jo\n"
                 "parallel y.io",
                 images);
  ir::Program p = check_schedule(blurs,
                                 "split y.i by 4\ncompute_at c, b, a at y.ii\nstore_at c at y.io\nstore_at b at y.io\n"
                                 "store_at a at y.io\nfold_storage c by 5\nparallel y.io",
                                 images);
  EXPECT_TRUE(has_text(ir::print(p), "if ii == 0")) << ir::print(p);
  check_schedule(blurs,
                 "compute_at c, b, a at y.i\nstore_at a at y\nstore_at b at y\nstore_at c at y\nfold_storage a by 8\n"
                 "fold_storage b by 6\nfold_storage c by 5",
                 images);
  check_schedule(blurs, "compute_at c at y.i\nstore_at c at y in dram\npeel y.i by 2\nspecialize y when w > 4", images);
  check_schedule(blurs, "compute_at c at y.i\nstore_at c at y\nsplit y.i by 3\nunroll y.ii", images);
}

TEST(StoreAt, strides_dilations_and_composite_dims) {
  ir::Program p = check_schedule(strided, "compute_at t at y.i\nstore_at t at y\nfold_storage t by 5", ns);
  EXPECT_TRUE(has_text(ir::print(p), "(if i == 0 then 0 else 3) .. 5")) << ir::print(p);
  check_schedule(strided, "split y.i by 4\ncompute_at t at y.io\nvectorize t.i by 4", ns);
  check_schedule(pool, "compute_at s at y.g\ncompute_at t at y.g", {{{"h", 5}, {"w", 7}}}, false);
}

TEST(StoreAt, inwards_and_without_an_overlap) {
  ir::Program p = check_schedule(matmul, "fuse acc.i, c.i into i\nstore_at acc at acc.i\nparallel acc.i", matmul_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "alloc acc: f32[i in i .. i + 1, j in 0 .. n]")) << ir::print(p);
  check_schedule(matmul, "split c.i by 4\ncompute_at acc at c.ii\nstore_at acc at c.io in l2\nfission c.ii after acc",
                 matmul_sizes);
}

TEST(StoreAt, refusals) {
  EXPECT_EQ(refused(blurs, "store_at c at y.i")[0].code, "HD0315");
  EXPECT_EQ(refused(blurs, "store_at c at c")[0].code, "HD0303");
  EXPECT_EQ(refused(blurs, "store_at y at y.i")[0].code, "HD0316");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nparallel y.i\nstore_at c at y")[0].code, "HD0314");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nstore_at c at y\nparallel y.i")[0].code, "HD0314");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nstore_at c at y\nreorder y.j, y.i")[0].code, "HD0311");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nstore_at c at y\nsplit y.i by 4 with shift")[0].code, "HD0326");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nstore_at c at y in registers")[0].code, "HD0318");
  EXPECT_EQ(refused(blurs, "fuse b.i, c.i\nstore_at b at y.i")[0].code, "HD0315");
  EXPECT_EQ(refused(blurs, "fold_storage c by 5")[0].code, "HD0311");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nstore_at c at y\nfold_storage c by 4")[0].code, "HD0310");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nstore_at c at y\nfold_storage c by 5\nfold_storage c by 5")[0].code,
            "HD0324");
  EXPECT_EQ(refused(blurs, "fuse b.i, c.i\nfold_storage b by 1\nparallel b.i")[0].code, "HD0314");
  EXPECT_EQ(refused(blurs, "fuse b.i, c.i\nfold_storage b by 1\nfission b.i after b")[0].code, "HD0326");
  EXPECT_EQ(refused(blurs, "compute_at c at y.i\nstore_at c at y\nfold_storage c by 5\nfission y.i after c")[0].code,
            "HD0326");
  EXPECT_EQ(refused(blurs, "fold_storage y by 5")[0].code, "HD0316");
}

}  // namespace
}  // namespace heddle::schedule::testing
