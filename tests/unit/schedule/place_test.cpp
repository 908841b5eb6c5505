// inline, compute_at, rfactor, cache, fix, layout: before = after, the printed shape, and the refusals.
#include <gtest/gtest.h>

#include "ir/print.h"
#include "ops.h"

namespace heddle::schedule::testing {
namespace {

const std::vector<Dims> matmul_sizes{{{"m", 0}, {"k", 3}, {"n", 5}},    {{"m", 1}, {"k", 1}, {"n", 1}},
                                     {{"m", 7}, {"k", 0}, {"n", 4}},    {{"m", 13}, {"k", 5}, {"n", 19}},
                                     {{"m", 12}, {"k", 16}, {"n", 64}}, {{"m", 5}, {"k", 37}, {"n", 67}}};
const std::vector<Dims> row_sizes{
    {{"rows", 0}, {"cols", 3}}, {{"rows", 1}, {"cols", 1}}, {{"rows", 5}, {"cols", 37}}, {{"rows", 8}, {"cols", 64}}};
const std::vector<Dims> ns{{{"n", 0}}, {{"n", 1}}, {{"n", 2}}, {{"n", 7}}, {{"n", 16}}, {{"n", 37}}};
const std::vector<Dims> convs{{{"fi", 1}, {"w", 1}, {"fo", 1}, {"kw", 3}},
                              {{"fi", 3}, {"w", 13}, {"fo", 5}, {"kw", 3}},
                              {{"fi", 2}, {"w", 16}, {"fo", 8}, {"kw", 1}},
                              {{"fi", 0}, {"w", 5}, {"fo", 2}, {"kw", 3}}};

TEST(Inline, elementwise_stages) {
  ir::Program p = check_schedule(softmax, "inline e", row_sizes);
  EXPECT_TRUE(has_text(ir::print(p), "exp(x[r, c] - peak[r]) / total[r]")) << ir::print(p);
  check_schedule(matmul, "split c.i by 4\nvectorize c.j by 8", matmul_sizes);
  check_schedule(stencil, "inline s", ns);
  check_schedule(stencil, "inline t\ninline s", ns);
  check_schedule(stencil, "split s.i by 4\ninline s, t", ns);
}

TEST(Inline, refusals) {
  EXPECT_EQ(refused(matmul, "inline acc")[0].code, "HD0317");
  EXPECT_EQ(refused(matmul, "inline c")[0].code, "HD0317");
  EXPECT_EQ(refused(matmul, "inline a")[0].code, "HD0304");
  EXPECT_EQ(refused(softmax, "inline e\ncompute_at e at y.r")[0].code, "HD0305");
}

TEST(ComputeAt, rows) {
  ir::Program p = check_schedule(softmax, "compute_at total, e, peak at y.r", row_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "alloc e: f32[r in r .. r + 1, c in 0 .. cols] in dram")) << text;
  EXPECT_TRUE(has_text(text, "alloc total: f32[r in r .. r + 1] in registers")) << text;
  EXPECT_FALSE(has_text(text, "recomputed")) << text;
}

TEST(ComputeAt, blocks_are_guarded) {
  ir::Program p = check_schedule(matmul,
                                 "split c.i by 6 into io, ii\nsplit c.j by 8 into jo, ji\nreorder c.jo, c.io, c.ii, "
                                 "c.ji\ncompute_at acc at c.io in registers",
                                 matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "alloc acc: f32[i in 6*io .. 6*io + 6, j in 8*jo .. 8*jo + 8] in registers")) << text;
  EXPECT_TRUE(has_text(text, "where 6*io + i < m && 8*jo + j < n")) << text;
  EXPECT_FALSE(has_text(text, "recomputed")) << text;
}

TEST(ComputeAt, halos_are_recomputed) {
  ir::Program p = check_schedule(stencil, "split y.i by 8\ncompute_at t, s at y.io", ns);
  EXPECT_TRUE(has_text(ir::print(p), "recomputed")) << ir::print(p);
  check_schedule(stencil,
                 "split y.i by 8\ncompute_at t at y.io\nsplit t.i by 3\ncompute_at s at y.io\nvectorize y.ii, s.i", ns);
  check_schedule(stencil, "compute_at t at y.i\ncompute_at s at y.i", ns);
}

TEST(ComputeAt, a_triangle) {
  check_schedule(R"(
op tri(x: f32[n]) -> y: f32[n] {
  s[i] = x[i] * 2
  y[i] = sum[j in 0 .. i + 1] s[j]
})",
                 "split y.i by 4\ncompute_at s at y.io", ns);
}

TEST(ComputeAt, refusals) {
  Diagnostics outside = refused(softmax, "compute_at e at y.r");
  EXPECT_EQ(outside[0].code, "HD0315");
  EXPECT_EQ(outside[0].message, "`total` reads `e` outside `y.r`");
  ASSERT_FALSE(outside[0].labels.empty());
  Diagnostics touched = refused(softmax, "compute_at total at y.r\nsplit e.c by 4\ncompute_at e at y.r");
  EXPECT_EQ(touched[0].code, "HD0316");
  EXPECT_EQ(touched[0].help, "move this line above `split e.c by 4`");
  EXPECT_EQ(refused(matmul, "compute_at acc at acc.i")[0].code, "HD0303");
  EXPECT_EQ(refused(matmul, "compute_at acc at c.i in registers")[0].code, "HD0318");
  EXPECT_EQ(refused(matmul, "compute_at acc at c.i in cache")[0].code, "HD0321");
}

TEST(Rfactor, lanes_of_a_sum) {
  EXPECT_EQ(refused(softmax, "rfactor total.c by 4 as part")[0].code, "HD0312");
  ir::Program p = check_schedule(softmax, "rfactor total.c by 4 as part\nvectorize part.cv", row_sizes, true);
  EXPECT_TRUE(has_text(ir::print(p), "total[r] sum= part[r, cv]")) << ir::print(p);
  check_schedule(softmax, "rfactor peak.c by 4 as top\nvectorize top.cv", row_sizes);
  check_schedule(cumsum, "rfactor y.j by 4", row_sizes, true);
  check_schedule(ragged, "split s.r by 2\nrfactor s.c by 4 as part\nvectorize part.cv", row_sizes, true);
}

TEST(Rfactor, of_an_outer_block_and_computed_there) {
  check_schedule(matmul, "split acc.p by 4 into po, pi\nrfactor acc.po as blk\ncompute_at blk at acc.po", matmul_sizes,
                 true);
  check_schedule(
      matmul,
      "split c.i by 4 into io, ii\nsplit c.j by 8 into jo, ji\nreorder c.io, c.jo, c.ii, c.ji\ncompute_at acc at c.jo\n"
      "split acc.p by 4 into po, pi\nreorder acc.po, acc.pi, acc.i, acc.j\nrfactor acc.po as blk\ncompute_at blk at "
      "acc.po in registers\n"
      "vectorize blk.j, acc.j\nunroll blk.i",
      matmul_sizes, true);
}

TEST(Rfactor, refusals) {
  EXPECT_EQ(refused(matmul, "rfactor acc.i by 4", true)[0].code, "HD0323");
  EXPECT_EQ(refused(matmul, "rfactor c.i", true)[0].code, "HD0323");
  EXPECT_EQ(refused(matmul, "rfactor acc.p by 4 as c", true)[0].code, "HD0307");
}

TEST(Cache, packs_panels) {
  const char* steps = R"(
    split c.i by 6 into io, ii
    split c.j by 16 into jo, jj
    reorder c.jo, c.io, c.ii, c.jj
    compute_at acc at c.io in registers
    reorder acc.p, acc.i, acc.j
    cache b[p, j] in l2 at c.jo as bp
    cache a[i, p] in l1 at c.io as ap
    layout ap[i, p] to (p, i)
    vectorize acc.j by lanes(f32)
    vectorize bp.j, c.jj by lanes(f32)
    unroll acc.i, c.ii
    parallel c.jo
  )";
  ir::Program p = check_schedule(matmul, steps, matmul_sizes);
  std::string text = ir::print(p);
  EXPECT_TRUE(has_text(text, "alloc bp: f32[p in 0 .. k, j in 16*jo .. 16*jo + 16] in l2")) << text;
  EXPECT_TRUE(has_text(text, "alloc ap: f32[i in 6*io .. 6*io + 6, p in 0 .. k] in l1 layout(i, p) -> (p, i)")) << text;
  EXPECT_TRUE(has_text(text, "reduce acc[6*io .. 6*io + 6, 16*jo .. 16*jo + 16] by sum {")) << text;
}

TEST(Cache, pads_reads_with_or) {
  ir::Program p =
      check_schedule(conv,
                     "split y.i by 8 into io, ii\nreorder y.io, y.o, y.ii\ncompute_at acc at y.io\nfix kw = 3\ncache x "
                     "in l1 at y.io as xp",
                     {{{"fi", 3}, {"w", 13}, {"fo", 5}, {"kw", 3}}, {{"fi", 1}, {"w", 1}, {"fo", 1}, {"kw", 3}}});
  EXPECT_TRUE(has_text(ir::print(p), "xp[q, i + u - 1] * k[o, q, u]")) << ir::print(p);
  check_schedule(conv, "cache x in l2 at acc.o as xp", convs);
  check_schedule(conv, "cache x in dram at acc.i as xp\nvectorize y.i by 4", convs);
}

TEST(Cache, written_windows) {
  check_schedule(matmul,
                 "split c.j by 8\ncompute_at acc at c.ji\ncache b[p in 0 .. k, 8*jo .. 8*jo + 8] in l2 at c.jo as bp",
                 matmul_sizes);
  EXPECT_EQ(refused(matmul, "cache b[0 .. 4, j] in l2 at acc.i as bp")[0].code, "HD0327");
  EXPECT_EQ(refused(matmul, "cache b[0 .. k] in l2 at acc.i as bp")[0].code, "HD0327");
  EXPECT_EQ(refused(matmul, "cache b in l2 at c.i as bp")[0].code, "HD0327");
}

TEST(Cache, accumulates_partial_results) {
  ir::Program p = check_schedule(
      matmul,
      "split acc.p by 4 into po, pi\nsplit acc.i by 4 into io, ii\nreorder acc.po, acc.io, acc.j, acc.ii, acc.pi\n"
      "cache acc in registers at acc.j as part",
      matmul_sizes, true);
  EXPECT_TRUE(has_text(ir::print(p), "alloc part: f32[")) << ir::print(p);
  EXPECT_EQ(refused(matmul, "reorder acc.p, acc.i, acc.j\ncache acc in registers at acc.p as part", true)[0].code,
            "HD0318");
}

TEST(Layout, is_an_index_map) {
  check_schedule(
      matmul,
      "split c.j by 32\ncompute_at acc at c.jo\ncache b in l2 at c.jo as bp\nlayout bp[p, j] to (j/16, p, j%16) with 0",
      matmul_sizes);
  const std::string first = "cache b in l2 at acc.i as bp\n";
  EXPECT_EQ(refused(matmul, first + "layout bp[p, j] to (j/16, p, j%8)")[0].code, "HD0324");
  EXPECT_EQ(refused(matmul, first + "layout bp[p, j] to (j/16, j%16)")[0].code, "HD0324");
  EXPECT_EQ(refused(matmul, first + "layout bp[p, j] to (p + j, j)")[0].code, "HD0324");
  EXPECT_EQ(refused(matmul, first + "layout bp[p] to (p)")[0].code, "HD0324");
}

TEST(Fix, puts_a_constant) {
  ir::Program p = check_schedule(softmax, "fix cols = 37\nsplit y.c by 4\ncompute_at total, e at y.r",
                                 {{{"rows", 3}, {"cols", 37}}});
  EXPECT_TRUE(has_text(ir::print(p), "x: f32[rows, 37]")) << ir::print(p);
  // What was part of an axis is one by itself now: the printed program, read back, binds it there.
  check_schedule("op f(c: f32[m, n + k, d], u: f32[m, k]) -> y: f32[m, n] { y[i, t] = sum[e] c[i, t, e] }\n",
                 "fix k = 0", {{{"m", 3}, {"n", 4}, {"k", 0}, {"d", 2}}});
  EXPECT_EQ(refused(softmax, "fix cola = 4")[0].help, "did you mean `cols`?");
  EXPECT_EQ(refused(softmax, "fix cols = 4\nfix cols = 5")[0].code, "HD0325");
}

TEST(Example, softmax_rows) {
  const char* steps = R"(
    tune block = 4 in [1, 2, 4, 8]
    split y.r by block into ro, ri
    compute_at total, e, peak at y.ri
    rfactor total.c by lanes(f32) as part
    rfactor peak.c by lanes(f32) as top
    vectorize part.cv, top.cv
    vectorize y.c, e.c by lanes(f32)
    parallel y.ro
  )";
  ir::Program p = check_schedule(softmax, steps, row_sizes, true);
  std::string text = ir::print(p);
  for (const char* line : {
           "for y.ro in 0 .. ceildiv(rows, 4) parallel {",
           "alloc part: f32[r in 4*ro + ri .. 4*ro + ri + 1, cv in 0 .. 16] in registers",
           "reduce part[4*ro + ri, 0 .. 16] by sum {",
           "for part.co in 0 .. ceildiv(cols, 16) {",
           "for part.cv in 0 .. 16 vector {",
           "at part(r = 4*ro + ri, co = co, cv = cv) where 4*ro + ri < rows && 16*co + cv < cols { part[r, cv] sum= "
           "e[r, 16*co + cv] }",
           "at total(r = 4*ro + ri, cv = cv) where 4*ro + ri < rows { total[r] sum= part[r, cv] }",
       })
    EXPECT_TRUE(has_text(text, line)) << line << "\nin\n" << text;
}

TEST(Example, matmul_in_blocks_of_k) {
  const char* steps = R"(
    split c.i by 4 into io, ii
    split c.j by 16 into jo, jj
    reorder c.jo, c.io, c.ii, c.jj
    compute_at acc at c.io in registers
    split acc.p by 8 into po, pi
    reorder acc.po, acc.pi, acc.i, acc.j
    cache acc in registers at acc.po as blk
    cache b in l2 at acc.po as bp
    cache a in l1 at acc.po as ap
    vectorize blk.j, acc.j, c.jj, bp.j by lanes(f32)
    unroll blk.i
    parallel c.jo
  )";
  check_schedule(matmul, steps, matmul_sizes, true);
}

TEST(Example, conv2d_in_registers) {
  const char* op = R"(
op conv2d(x: f32[n, cg, h, w], weight: f32[fg, cg, kh, kw], const s: int = 1, const p: int = 1) -> y: f32[n, fg, oh, ow] {
  require s >= 1 && p >= 0, "stride"
  let oh = (h + 2*p - kh)/s + 1
  let ow = (w + 2*p - kw)/s + 1
  acc[b in 0..n, o, i in 0..oh, j in 0..ow] = sum[q, u, v] ((x[b, q, i*s + u - p, j*s + v - p] or 0) * weight[o, q, u, v])
  y[b, o, i, j] = acc[b, o, i, j]
})";
  const char* steps = R"(
    fix kh = 3, kw = 3
    split y.j by 8 into jo, ji
    split y.o by 4 into oo, oi
    reorder y.b, y.oo, y.i, y.jo, y.oi, y.ji
    compute_at acc at y.jo in registers
    reorder acc.q, acc.u, acc.v, acc.o, acc.j
    cache weight in l1 at y.oo as wp
    layout wp[o, q, u, v] to (q, u, v, o)
    cache x in l2 at y.i as xp
    vectorize acc.j, y.ji by 8
    vectorize xp.j by 8
    unroll acc.o, acc.u, acc.v, y.oi
    parallel y.oo
  )";
  ir::Program p = check_schedule(
      op, steps,
      {{{"n", 2}, {"cg", 3}, {"h", 5}, {"w", 9}, {"fg", 5}, {"kh", 3}, {"kw", 3}, {"oh", 5}, {"ow", 9}},
       {{"n", 1}, {"cg", 1}, {"h", 1}, {"w", 1}, {"fg", 1}, {"kh", 3}, {"kw", 3}, {"oh", 1}, {"ow", 1}}});
  EXPECT_TRUE(has_text(ir::print(p), "xp[b, q, i + u - 1, j + v - 1] * wp[o, q, u, v]")) << ir::print(p);
}

TEST(Example, attention_over_blocks_of_keys) {
  const char* op = R"(
reducer online(m: f32, l: f32, o: f32[d]) commutes {
  identity { m = -inf; l = 0; o[e] = 0 }
  combine(a, b) {
    m    = max(a.m, b.m)
    wa   = if a.m == -inf then 0 else exp(a.m - m)
    wb   = if b.m == -inf then 0 else exp(b.m - m)
    l    = a.l*wa + b.l*wb
    o[e] = a.o[e]*wa + b.o[e]*wb
  }
}
op attention(q: f32[n, d], k: f32[t, d], v: f32[t, d]) -> y: f32[n, d] {
  z[i, j] = sum[e] q[i, e] * k[j, e]
  st[i] = online[j where j <= i + t - n] (m = z[i, j], l = 1, o[e] = v[j, e])
  y[i, e] = if st[i].l > 0 then st[i].o[e] / st[i].l else 0
})";
  const std::vector<Dims> sizes{
      {{"n", 5}, {"t", 9}, {"d", 3}}, {{"n", 1}, {"t", 1}, {"d", 1}}, {{"n", 6}, {"t", 4}, {"d", 2}}};
  const char* steps = R"(
    split y.i by 2 into io, ii
    compute_at st at y.ii
    split st.j by 4 into jo, ji
    rfactor st.jo as blk
    compute_at blk at st.jo
    compute_at z at st.jo
    parallel y.io
  )";
  ir::Program p = check_schedule(op, steps, sizes, true);
  EXPECT_TRUE(has_text(ir::print(p), "alloc blk: online[")) << ir::print(p);
  EXPECT_EQ(refused(op, "split st.j by 4\nrfactor st.ji as blk")[0].code, "HD0312");
  check_schedule(op, "split st.j by 4 into jo, ji\ncache st in dram at st.jo as blk", sizes, true);
}

TEST(Header, tuned_values_and_where) {
  EXPECT_EQ(refused(softmax, "tune block = 3 in [1, 2, 4]\nsplit y.r by block")[0].code, "HD0308");
  EXPECT_EQ(refused(softmax, "split y.r by blok")[0].code, "HD0308");
  check_schedule(softmax, "let n = 2*2\nif n == 4 {\n split y.r by n\n} else {\n split y.q by n\n}", row_sizes);
}

}  // namespace
}  // namespace heddle::schedule::testing
