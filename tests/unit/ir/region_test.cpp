// Needed and written boxes: of hand-made nests as text, and of random nests against every cell that they touch.
#include "ir/region.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ir/print.h"
#include "ir/visit.h"

namespace heddle::ir {
namespace {

Expr c(int64_t value) { return index_constant(value); }

// A program with dims, a buffer `x` that is read and a stage `y` that reads it.
struct Region : testing::Test {
  Program p;
  StageId stage;
  BufferId x, y, id;
  Facts facts;

  void SetUp() override {
    p.reducers = builtin_reducers();
    x = p.add(Buffer{"x"});
    y = p.add(Buffer{"y"});
    id = p.add(Buffer{"id", "", 0, ScalarType::i64});
    stage = p.add(Stage{"y"});
    p.stages[0].writes = {y};
  }
  SymbolId symbol(const std::string& name, SymbolKind kind = SymbolKind::dim) {
    for (uint32_t i = 0; i < p.symbols.size(); ++i)
      if (p.symbols[i].name == name && p.symbols[i].kind == kind) return {i};
    return p.add(Symbol{name, kind});
  }
  Expr dim(const std::string& name) {
    Expr e = var(symbol(name));
    Expr fact = less_equal(c(0), e);
    if (std::none_of(p.facts.begin(), p.facts.end(), [&](auto& f) { return same(f, fact); })) p.facts.push_back(fact);
    return e;
  }
  Expr loop(const std::string& name) { return var(symbol(name, SymbolKind::loop)); }
  Expr axis(const std::string& name, const Expr& lo, const Expr& hi) {
    SymbolId s = symbol(name, SymbolKind::axis);
    auto& axes = p.stages[0].axes;
    if (std::none_of(axes.begin(), axes.end(), [&](auto& a) { return a.symbol == s; }))
      axes.push_back({s, AxisClass::map, lo, hi});
    return var(s);
  }
  void box(BufferId b, std::vector<std::pair<Expr, Expr>> ranges) {
    for (auto& [lo, hi] : ranges) p.buffers[b.value].box.push_back({"", lo, hi});
  }
  Expr read(BufferId b, std::vector<Expr> subs, Expr otherwise = {}) {
    return load(ScalarType::f32, b, subs, otherwise);
  }
  StmtRef leaf(std::vector<Expr> bindings, Expr predicate, std::vector<Expr> subs, Expr value,
               AssignKind kind = AssignKind::define) {
    Leaf l;
    l.stage = stage;
    l.bindings = std::move(bindings);
    l.predicate = std::move(predicate);
    l.assigns = {{y, std::move(subs), kind, {}, std::move(value)}};
    return make_stmt(std::move(l));
  }
  StmtRef over(const std::string& name, const Expr& lo, const Expr& hi, Body body) {
    For l;
    l.loop = symbol(name, SymbolKind::loop);
    l.lo = lo;
    l.hi = hi;
    l.body = std::move(body);
    return make_stmt(std::move(l));
  }
  void enters(const std::string& name, const Expr& lo, const Expr& hi) {
    facts.add_range(symbol(name, SymbolKind::loop), lo, hi);
  }
  std::string text(const std::vector<BoxDim>& dims) {
    Program bare = p;  // whose loops print without the name of their stage
    for (Symbol& s : bare.symbols) s.kind = SymbolKind::local;
    std::string out;
    for (const BoxDim& d : dims) out += (out.empty() ? "" : ", ") + print(bare, d.lo) + " .. " + print(bare, d.hi);
    std::erase(out, ' ');
    return out;
  }
  Facts at() {
    Facts all = facts_of(p);
    for (const Expr& f : facts.conditions()) all.add(f);
    return all;
  }
  void expect(const TouchedBox& box, const std::string& exact, const std::string& cover, std::vector<int64_t> extents) {
    ASSERT_TRUE(box.any);
    EXPECT_EQ(text(box.exact.dims), exact);
    EXPECT_EQ(text(box.cover.dims), cover);
    EXPECT_EQ(box.extents, extents);
  }
};

TEST_F(Region, a_tile_with_a_guard) {
  Expr m = dim("m"), k = dim("k");
  box(x, {{c(0), m}, {c(0), k}});
  Expr i = axis("i", c(0), m), q = axis("q", c(0), k);
  Expr at_i = c(6) * loop("io") + loop("ii");
  Body below = {
      over("ii", c(0), c(6), {over("q", c(0), k, {leaf({at_i, loop("q")}, less(at_i, m), {i}, read(x, {i, q}))})})};
  enters("io", c(0), ceildiv(m, c(6)));
  expect(needed_box(p, x, below, at()), "6*io..min(6*io+6,m),0..k", "6*io..6*io+6,0..k", {6, 0});
  p.facts.push_back(binary(BinaryOp::eq, binary(BinaryOp::mod, m, c(6)), c(0)));
  expect(needed_box(p, x, below, at()), "6*io..6*io+6,0..k", "6*io..6*io+6,0..k", {6, 0});
}

TEST_F(Region, blocks_of_columns_are_whole_rows) {
  Expr rows = dim("rows"), cols = dim("cols");
  box(x, {{c(0), rows}, {c(0), cols}});
  Expr r = axis("r", c(0), rows), q = axis("c", c(0), cols);
  Expr at_r = c(4) * loop("ro") + loop("ri"), at_c = c(16) * loop("co") + loop("cv");
  StmtRef inner = leaf({at_r, at_c}, both(less(at_r, rows), less(at_c, cols)), {r, q}, read(x, {r, q}));
  Body below = {over("co", c(0), ceildiv(cols, c(16)), {over("cv", c(0), c(16), {inner})})};
  enters("ro", c(0), ceildiv(rows, c(4)));
  enters("ri", c(0), c(4));
  expect(needed_box(p, x, below, at()), "4*ro+ri..min(4*ro+ri+1,rows),0..cols", "4*ro+ri..4*ro+ri+1,0..cols", {1, 0});
  facts.add(less(at_r, rows));
  expect(needed_box(p, x, below, at()), "4*ro+ri..4*ro+ri+1,0..cols", "4*ro+ri..4*ro+ri+1,0..cols", {1, 0});
}

TEST_F(Region, windows_of_a_convolution) {
  Expr h = dim("h"), kh = dim("kh");
  Expr oh = h - kh + 1;
  box(x, {{c(0), h}});
  Expr i = axis("i", c(0), oh), u = axis("u", c(0), kh);
  StmtRef inner = leaf({loop("i"), loop("u")}, {}, {i}, read(x, {i + u}));
  Body windows = {over("u", c(0), kh, {inner})};
  enters("i", c(0), oh);
  expect(needed_box(p, x, windows, at()), "i..i+kh", "i..i+kh", {0});
  facts = {};
  expect(needed_box(p, x, {over("i", c(0), oh, windows)}, at()), "0..h", "0..h", {0});
  // A fixed kernel in blocks of four rows: the halo has a constant size.
  Body three = {
      over("ii", c(0), c(4),
           {over("u", c(0), c(3), {leaf({c(4) * loop("io") + loop("ii"), loop("u")}, {}, {i}, read(x, {i + u}))})})};
  expect(needed_box(p, x, three, at()), "max(4*io,0)..min(4*io+6,h)", "4*io..4*io+6", {6});
  enters("io", c(0), ceildiv(h - 2, c(4)));
  expect(needed_box(p, x, three, at()), "4*io..min(4*io+6,h)", "4*io..4*io+6", {6});
}

TEST_F(Region, several_reads_unite) {
  Expr n = dim("n");
  box(x, {{c(0), n}});
  Expr i = axis("i", c(0), n);
  Expr zero = real_constant(ScalarType::f32, 0);
  Expr value = read(x, {i - 1}, zero) + read(x, {i + 1}, zero);
  Body below = {leaf({loop("i")}, {}, {i}, value)};
  enters("i", c(0), n);
  expect(needed_box(p, x, below, at()), "max(i-1,0)..min(i+2,n)", "i-1..i+2", {3});
  below = {leaf({loop("i")}, {}, {i}, read(x, {i}) + read(x, {n - i - 1}))};
  expect(needed_box(p, x, below, at()), "min(i,n-i-1)..max(i+1,n-i)", "min(i,n-i-1)..max(i+1,n-i)", {0});
}

TEST_F(Region, data_subscripts_widen) {
  Expr n = dim("n"), v = dim("v");
  box(x, {{c(0), v}, {c(0), c(8)}});
  box(id, {{c(0), n}});
  Expr i = axis("i", c(0), n);
  Expr at_id = convert(ScalarType::index, load(ScalarType::i64, id, {i}));
  Body below = {leaf({loop("i")}, {}, {i}, read(x, {at_id, c(3)}))};
  enters("i", c(0), n);
  TouchedBox box = needed_box(p, x, below, at());
  expect(box, "0..v,3..4", "0..v,3..4", {0, 1});
  EXPECT_EQ(box.whole, (std::vector<bool>{true, false}));
  expect(needed_box(p, id, below, at()), "i..i+1", "i..i+1", {1});
}

TEST_F(Region, small_buffers_bound_their_boxes) {
  Expr k = dim("k");
  box(x, {{c(0), c(3)}});
  Expr i = axis("i", c(0), k);
  Body below = {over("i", c(0), k, {leaf({loop("i")}, less(loop("i"), c(3)), {i}, read(x, {i}))})};
  expect(needed_box(p, x, below, at()), "0..min(k,3)", "0..3", {3});
}

TEST_F(Region, combines_and_regions_write) {
  Expr n = dim("n");
  box(x, {{c(0), n}});
  box(y, {{c(0), c(4)}});
  Expr i = axis("i", c(0), c(4)), q = axis("q", c(0), n);
  StmtRef inner = leaf({loop("i"), loop("q")}, {}, {i}, read(x, {q}), AssignKind::combine);
  Reduce region;
  region.reducer = "sum";
  region.windows = {{y, {{loop("i"), loop("i") + 1, 0}}}};
  region.body = {over("q", c(0), n, {inner})};
  Body below = {over("i", c(0), c(4), {make_stmt(region)})};
  EXPECT_FALSE(needed_box(p, y, below, at()).any);
  expect(written_box(p, y, below, at()), "0..4", "0..4", {4});
  expect(touched_box(p, x, below, at()), "0..n", "0..n", {0});
  std::vector<Access> all = accesses(p, below);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_TRUE(all[0].initialises);
  EXPECT_TRUE(all[1].reads && all[1].free.size() == 2);
  EXPECT_TRUE(all[2].combines && all[2].writes);
}

TEST_F(Region, facts_along_a_path) {
  Expr rows = dim("rows");
  box(x, {{c(0), rows}});
  Expr r = axis("r", c(0), rows);
  Expr at_r = c(4) * loop("ro") + loop("ri");
  StmtRef inner = leaf({at_r}, less(at_r, rows), {r}, read(x, {r}));
  p.body = {over("ro", c(0), ceildiv(rows, c(4)), {over("ri", c(0), c(4), {inner})})};
  std::vector<StmtRef> path = path_to(p.body, [&](const StmtRef& s) { return s == inner; });
  Facts inside_leaf = facts_at(p, path);
  EXPECT_TRUE(prove(inside_leaf, less(r, rows)));
  EXPECT_TRUE(prove(inside_leaf, less(loop("ro") * 4, rows)));
  path.pop_back();
  EXPECT_FALSE(prove(facts_at(p, path), less(at_r, rows)));
  EXPECT_TRUE(prove(facts_at(p, path), less(at_r, rows + 3)));
  EXPECT_TRUE(reads_inside(p, read(x, {at_r}) + read(x, {r}), inside_leaf));
  EXPECT_FALSE(reads_inside(p, read(x, {at_r}), facts_at(p, path)));
  EXPECT_FALSE(reads_inside(p, read(x, {r}) + read(x, {r + 1}), inside_leaf));
}

// ---------------------------------------------------------------------------------------------------------------------
// Random nests

int64_t evaluate(const Expr& e, const std::vector<int64_t>& at) {
  if (const Constant* k = e.as<Constant>()) return k->integer;
  if (const Var* v = e.as<Var>()) return at[v->symbol.value];
  if (const Unary* u = e.as<Unary>()) return -evaluate(u->value, at);
  const Binary* b = e.as<Binary>();
  int64_t l = evaluate(b->left, at), r = evaluate(b->right, at);
  auto floored = [](int64_t a, int64_t d) { return a / d - (a % d < 0 ? 1 : 0); };
  switch (b->op) {
    case BinaryOp::add: return l + r;
    case BinaryOp::sub: return l - r;
    case BinaryOp::mul: return l * r;
    case BinaryOp::div: return floored(l, r);
    case BinaryOp::mod: return l - r * floored(l, r);
    case BinaryOp::ceildiv: return -floored(-l, r);
    case BinaryOp::min: return std::min(l, r);
    case BinaryOp::max: return std::max(l, r);
    default: ADD_FAILURE(); return 0;
  }
}

TEST_F(Region, random_boxes_hold_every_cell) {
  std::mt19937_64 engine(11);
  auto in = [&](int64_t lo, int64_t hi) { return std::uniform_int_distribution<int64_t>(lo, hi)(engine); };
  Expr n = dim("n"), outer = loop("o"), i = loop("i"), j = loop("j");
  box(x, {{c(0), n}, {c(-2), c(7)}});
  int constant = 0, clipped = 0;
  for (int round = 0; round < 600; ++round) {
    auto term = [&](const Expr& e) { return in(0, 2) ? e * in(-2, 3) : e; };
    auto index = [&]() -> Expr {
      Expr e = term(outer) + term(i) + term(j) + in(-2, 2);
      if (in(0, 4) == 0) e = binary(in(0, 1) ? BinaryOp::div : BinaryOp::mod, e, c(in(1, 4)));
      if (in(0, 5) == 0) e = in(0, 1) ? min(e, n - 1) : max(e, i);
      return e;
    };
    Expr i_lo = c(in(-1, 1)), i_hi = in(0, 2) ? i_lo + in(0, 3) : ceildiv(n, c(2));
    Expr j_lo = in(0, 1) ? c(0) : i, j_hi = in(0, 2) ? j_lo + in(0, 3) : n;
    std::vector<std::vector<Expr>> reads;
    Expr value = real_constant(ScalarType::f32, 0);
    for (int64_t k = in(1, 2); k > 0; --k) {
      reads.push_back({index(), index()});
      value = value + read(x, reads.back(), real_constant(ScalarType::f32, 0));
    }
    Body below = {over("i", i_lo, i_hi, {over("j", j_lo, j_hi, {leaf({}, {}, {}, value)})})};
    facts = {};
    enters("o", c(0), n);
    TouchedBox box = needed_box(p, x, below, at());
    constant += std::count_if(box.extents.begin(), box.extents.end(), [](int64_t e) { return e > 0; });
    std::vector<int64_t> v(p.symbols.size());
    auto value_of = [&](const Expr& e) -> int64_t& { return v[e.as<Var>()->symbol.value]; };
    for (value_of(n) = 0; value_of(n) <= 5; ++value_of(n))
      for (value_of(outer) = 0; value_of(outer) < value_of(n); ++value_of(outer)) {
        for (size_t d = 0; d < 2; ++d) {
          int64_t lo = evaluate(box.exact.dims[d].lo, v), hi = evaluate(box.exact.dims[d].hi, v);
          const BoxDim& limit = p.buffer(x).box[d];
          ASSERT_GE(lo, evaluate(limit.lo, v));
          ASSERT_LE(hi, evaluate(limit.hi, v));
          if (lo >= hi) continue;
          ASSERT_LE(evaluate(box.cover.dims[d].lo, v), lo);
          ASSERT_GE(evaluate(box.cover.dims[d].hi, v), hi);
          if (box.extents[d] > 0)
            ASSERT_EQ(evaluate(box.cover.dims[d].hi, v) - evaluate(box.cover.dims[d].lo, v), box.extents[d]);
          clipped += box.exact.dims[d].hi.as<Binary>() && box.exact.dims[d].hi.as<Binary>()->op == BinaryOp::min;
        }
        for (value_of(i) = evaluate(i_lo, v); value_of(i) < evaluate(i_hi, v); ++value_of(i))
          for (value_of(j) = evaluate(j_lo, v); value_of(j) < evaluate(j_hi, v); ++value_of(j))
            for (const auto& subs : reads) {
              int64_t a = evaluate(subs[0], v), b = evaluate(subs[1], v);
              if (a < 0 || a >= value_of(n) || b < -2 || b >= 7) continue;  // tried reads touch nothing there
              ASSERT_TRUE(evaluate(box.exact.dims[0].lo, v) <= a && a < evaluate(box.exact.dims[0].hi, v))
                  << print(p, subs[0]) << " in " << text(box.exact.dims);
              ASSERT_TRUE(evaluate(box.exact.dims[1].lo, v) <= b && b < evaluate(box.exact.dims[1].hi, v))
                  << print(p, subs[1]) << " in " << text(box.exact.dims);
            }
      }
  }
  EXPECT_GT(constant, 100);
  EXPECT_GT(clipped, 100);
}

}  // namespace
}  // namespace heddle::ir
