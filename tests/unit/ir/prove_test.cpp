// The goals that compiling a kernel asks of the prover must be shown, while the same goals off by one stay unknown.
#include "ir/prove.h"

#include <gtest/gtest.h>

#include "tests/unit/ir/index_words.h"

namespace heddle::ir {
namespace {

std::string without_spaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

struct Prover : testing::Test {
  Names n;
  Facts facts;
  Expr operator()(const std::string& name) { return n(name); }
  Expr v(const std::string& name) { return n(name); }
  void given(const Expr& e) { facts.add(e); }
  void range(const std::string& name, const Expr& lo, const Expr& hi) {
    facts.add_range(v(name).as<Var>()->symbol, lo, hi);
  }
  void shown(const Expr& e) { EXPECT_TRUE(prove(facts, e)) << n.text(e); }
  void unknown(const Expr& e) { EXPECT_FALSE(prove(facts, e)) << n.text(e); }
  void simplifies(const Expr& e, const std::string& want) {
    EXPECT_EQ(without_spaces(n.text(simplify(e, facts))), without_spaces(want));
  }
};

TEST_F(Prover, blocks_of_columns) {
  given(c(0) <= v("cols"));
  range("co", c(0), ceildiv(v("cols"), c(16)));
  range("cv", c(0), c(16));
  Expr at = c(16) * v("co") + v("cv");
  shown(at < c(16) * ceildiv(v("cols"), c(16)));
  unknown(at < c(16) * ceildiv(v("cols"), c(16)) - 1);
  unknown(at < v("cols"));
  shown(c(0) <= at);
  given(at < v("cols"));
  shown(at < v("cols"));
  unknown(at < v("cols") - 1);
  shown(v("co") <= v("cols"));
}

// Below in some cases and above in others.
TEST_F(Prover, apart_on_either_side) {
  range("i", c(0), v("n"));
  given(inverse(equals(v("i"), v("k"))));
  shown(differs(v("i"), v("k")));
  shown(inverse(equals(v("k") + 1, v("i") + 1)));
  unknown(differs(v("i"), v("k") + 1));
  given(either(v("n") <= c(3), c(5) <= v("n")));
  shown(differs(v("n"), c(4)));
  unknown(differs(v("n"), c(5)));
}

// From a tail read in the other direction to a box that a layout rounds up: that m/8 is not negative follows only in whole numbers.
TEST_F(Prover, tail_in_a_padded_box) {
  for (const char* name : {"m", "n", "k"}) given(c(0) <= v(name));
  range("i", c(0), v("m") % c(8));
  range("b", c(0), v("n"));
  Expr at = v("m") % c(8) - v("i") - 1;
  shown(at < v("m"));
  shown(at < c(8) * ceildiv(v("m"), c(8)));
  shown(at < c(3) * ceildiv(v("m"), c(3)));
  unknown(at < c(3) * ceildiv(v("m"), c(3)) - 1);
  shown(c(0) <= at);
}

TEST_F(Prover, small_blocks_in_a_padded_box) {
  for (const char* name : {"m", "k", "n"}) given(c(0) <= v(name));
  range("jo", c(0), ceildiv(v("n"), c(8)));
  range("io", c(0), v("m"));
  range("z", c(0), c(2));
  range("jji", c(0), c(4));
  Expr at = c(8) * v("jo") + v("jji") + c(4) * (v("z") % c(2));
  shown(at < c(16) * ceildiv(v("n"), c(16)));
  unknown(at < c(16) * ceildiv(v("n"), c(16)) - 1);
}

TEST_F(Prover, exact_split) {
  given(equals(v("rows") % c(8), c(0)));
  range("ro", c(0), v("rows") / c(8));
  range("ri", c(0), c(8));
  shown(c(8) * v("ro") + v("ri") < v("rows"));
  unknown(c(8) * v("ro") + v("ri") < v("rows") - 1);
  shown(equals(ceildiv(v("rows"), c(8)), v("rows") / c(8)));
}

TEST_F(Prover, convolution_by_let) {
  given(equals(v("oh"), v("h") - v("kh") + 1));
  range("i", c(0), v("oh"));
  range("u", c(0), v("kh"));
  shown(v("i") + v("kh") - 1 < v("h"));
  shown(v("i") + v("u") < v("h"));
  unknown(v("i") + v("u") + 1 < v("h"));
}

TEST_F(Prover, convolution_with_stride_and_padding) {
  int64_t s = 2, p = 1, dil = 1;
  given(equals(v("oh"), (v("h") + 2 * p - c(dil) * (v("kh") - 1) - 1) / c(s) + 1));
  range("i", c(0), v("oh"));
  range("u", c(0), v("kh"));
  Expr at = v("i") * s + v("u") * dil - p;
  shown(at < v("h") + p);
  shown(c(-p) <= at);
  unknown(at < v("h"));
  unknown(c(0) <= at);
}

TEST_F(Prover, convolution_with_fixed_kernel) {
  given(equals(v("oh"), (v("h") - 3) / c(2) + 1));
  range("i", c(0), v("oh"));
  range("u", c(0), c(3));
  shown(v("i") * 2 + v("u") < v("h"));
  unknown(v("i") * 2 + v("u") + 1 < v("h"));
}

TEST_F(Prover, symbolic_stride) {
  given(c(1) <= v("s"));
  range("i", c(0), (v("h") - v("kh")) / v("s") + 1);
  range("u", c(0), v("kh"));
  shown(v("i") * v("s") + v("u") < v("h"));
  unknown(v("i") * v("s") + v("u") + 1 < v("h"));
}

TEST_F(Prover, symbolic_stride_and_dilation) {
  for (const char* name : {"s", "dil"}) given(c(1) <= v(name));
  for (const char* name : {"p", "h", "kh"}) given(c(0) <= v(name));
  given(equals(v("oh"), (v("h") + v("p") * 2 - v("dil") * (v("kh") - 1) - 1) / v("s") + 1));
  range("i", c(0), v("oh"));
  range("u", c(0), v("kh"));
  Expr at = v("i") * v("s") + v("u") * v("dil") - v("p");
  shown(at < v("h") + v("p"));
  shown(c(0) <= at + v("p"));
  unknown(at + 1 < v("h") + v("p"));
  unknown(c(0) <= at);
}

TEST_F(Prover, causal_blocks) {
  range("i", c(0), v("n"));
  given(v("j") <= v("i") + v("t") - v("n"));
  shown(v("j") < v("t"));
  unknown(v("j") < v("t") - 1);
  range("io", c(0), ceildiv(v("n"), c(64)));
  range("jo", c(0), ceildiv(min(v("t"), c(64) * v("io") + 64 + v("t") - v("n")), c(64)));
  shown(c(64) * v("jo") < v("t"));
  unknown(c(64) * v("jo") + 1 < v("t"));
}

TEST_F(Prover, composite_dims) {
  range("r", c(0), v("g"));
  range("q", c(0), v("cg"));
  shown(v("r") * v("cg") + v("q") < v("g") * v("cg"));
  shown(c(0) <= v("r") * v("cg") + v("q"));
  unknown(v("r") * v("cg") + v("q") + 1 < v("g") * v("cg"));
}

TEST_F(Prover, three_composite_dims) {
  range("b", c(0), v("nb"));
  range("q", c(0), v("cg"));
  range("u", c(0), v("kh"));
  Expr at = (v("b") * v("cg") + v("q")) * v("kh") + v("u");
  shown(at < v("nb") * v("cg") * v("kh"));
  shown(c(0) <= at);
  unknown(at + 1 < v("nb") * v("cg") * v("kh"));
}

TEST_F(Prover, collapsed_loop) {
  given(c(0) <= v("rows"));
  given(c(0) <= v("cols"));
  range("z", c(0), v("rows") * v("cols"));
  shown(v("z") / v("cols") < v("rows"));
  shown(c(0) <= v("z") / v("cols"));
  shown(v("z") % v("cols") < v("cols"));
  shown(c(0) <= v("z") % v("cols"));
  shown(c(1) <= v("cols"));
  unknown(v("z") / v("cols") < v("rows") - 1);
}

TEST_F(Prover, triangles_and_causal_ranges) {
  range("i", c(0), v("cols"));
  range("j", c(0), v("i") + 1);
  shown(v("j") < v("cols"));
  unknown(v("j") < v("cols") - 1);
  unknown(v("j") < v("i"));
}

TEST_F(Prover, minimum_maximum_and_if) {
  range("i", c(0), min(v("m"), v("n")));
  shown(v("i") < v("m"));
  shown(v("i") < v("n"));
  range("k", c(0), max(v("m"), v("n")));
  unknown(v("k") < v("m"));
  given(v("m") <= v("n"));
  shown(v("k") < v("n"));
  shown(equals(max(v("m"), v("n")), v("n")));
  shown(min(v("a"), v("b")) <= max(v("a"), v("b")));
  shown(equals(min(v("a"), v("b")) + max(v("a"), v("b")), v("a") + v("b")));
  shown(select(v("a") < v("b"), v("b"), v("a")) <= max(v("a"), v("b")));
  shown(v("a") <= select(v("a") < v("b"), v("b"), v("a")));
}

// Too many cases for one question: those of the first part, then those of the second. The last block of a shifted loop.
TEST_F(Prover, each_part_of_a_minimum) {
  const Expr rows = max(c(0), v("m") - 5);
  range("o", c(0), ceildiv(rows, c(24)));
  range("u", c(0), c(12));
  range("i", c(0), c(2));
  given(differs(v("m") % c(3), c(0)));
  const Expr inside = c(12) * v("o") + v("u") < ceildiv(rows, c(2));
  given(inside);
  const Expr at = max(min(c(24) * v("o") + c(2) * v("u"), rows - 2), c(0)) + v("i");
  shown(at < rows);
  shown(at + 1 <= select(inside, min(at + 1, rows), at));
  unknown(at + 1 <= select(inside, min(at + 1, rows - 1), at));
}

TEST_F(Prover, logic) {
  given(either(v("a") < c(3), v("a") < v("b")));
  given(v("b") <= c(9));
  shown(v("a") < c(9));
  unknown(v("a") < c(8));
  shown(either(v("x") < c(3), c(3) <= v("x")));
  shown(inverse(both(v("x") < c(3), c(3) < v("x"))));
  given(differs(v("y"), c(4)));
  given(v("y") <= c(4));
  shown(v("y") < c(4));
  EXPECT_FALSE(unreachable(facts));
  given(c(10) < v("a"));
  EXPECT_TRUE(unreachable(facts));
}

TEST_F(Prover, opaque_truths_are_recognised) {
  BufferId len{0};
  n.program.add(Buffer{"len"});
  Expr at = load(ScalarType::i64, len, {v("r") + 1});
  Expr extent = convert(ScalarType::index, at);
  given(v("c") < extent);
  given(extent <= v("cols"));
  shown(v("c") < v("cols"));
  shown(v("c") < convert(ScalarType::index, load(ScalarType::i64, len, {c(1) + v("r")})));
  unknown(v("c") < convert(ScalarType::index, load(ScalarType::i64, len, {v("r")})));
  Expr positive = binary(BinaryOp::gt, var(SymbolId{50}, ScalarType::f32), real_constant(ScalarType::f32, 0));
  unknown(positive);
  given(positive);
  shown(positive);
  unknown(inverse(positive));
}

TEST_F(Prover, equalities_substitute) {
  given(equals(v("r"), c(4) * v("ro") + v("ri")));
  given(equals(v("w"), v("r") + 2));
  range("ri", c(0), c(4));
  range("ro", c(0), v("nb"));
  shown(v("w") <= c(4) * v("nb") + 1);
  unknown(v("w") <= c(4) * v("nb"));
  // Circular ones are rows like any other.
  given(equals(v("ro"), v("r") - c(3) * v("ro") - v("ri")));
  shown(v("w") <= c(4) * v("nb") + 1);
}

TEST_F(Prover, hostile_numbers_stay_unknown) {
  int64_t big = INT64_MAX;
  unknown(v("a") * c(big) * c(big) <= c(big) * v("a"));
  unknown(v("a") + c(big) + c(big) < v("b"));
  given(v("a") <= c(INT64_MIN));
  given(c(INT64_MIN) <= v("a") * c(INT64_MIN));
  unknown(v("b") / c(INT64_MIN) <= v("a"));
  unknown(v("a") < c(INT64_MIN));
  Expr deep = v("a");
  for (int i = 0; i < 200; ++i) deep = (deep % c(7 + i % 5) + v("b")) / c(3) * (deep % c(5));
  unknown(deep < c(0));
  simplify(deep, facts);
  Bounds bounds = bounds_over(deep, {{v("a").as<Var>()->symbol, c(0), c(9)}}, facts);
  EXPECT_FALSE(bounds.ok);
}

// Whole blocks of 16 lie in a block of 64: which one is the lane's business no more.
TEST_F(Prover, blocks_in_blocks) {
  range("i", c(0), c(16));
  simplifies((c(16) * v("o") + v("i")) / c(64), "o/4");
  simplifies((c(16) * v("o") + v("i")) % c(64), "i + 16*(o%4)");
  simplifies((c(16) * v("o") + v("i") + 33) / c(64), "(16*o + i + 33)/64");  // i + 1 may be 16
  simplifies((c(16) * v("o") + v("i") + 32) / c(64), "(o + 2)/4");
  simplifies((v("i") - c(16) * v("o")) / c(64), "-o/4");
  simplifies((c(16) * v("o") + v("k")) / c(64), "(16*o + k)/64");
}

TEST_F(Prover, simplifies_to_readable_text) {
  simplifies(v("ri") + v("ro") * 4, "ri + 4*ro");
  simplifies(c(4) * v("ro") + v("ri") + 1 - v("ri"), "4*ro + 1");
  simplifies(v("rows") - c(4) * v("ro") - 1, "rows - 4*ro - 1");
  simplifies(ceildiv(v("rows"), c(4)), "ceildiv(rows, 4)");
  simplifies(c(6) * v("io") + 6 - c(6) * v("io"), "6");
  simplifies(c(4) * (v("x") / c(4)) + v("x") % c(4), "x");
  simplifies((v("x") + 1) % c(4), "(x + 1) % 4");
  simplifies((c(8) * v("x") + 4) / c(4), "2*x + 1");
  simplifies(v("x") / c(4) / c(2), "x/8");
  simplifies(v("h") - (v("kh") - 1) - 1 + 1, "h - kh + 1");
  simplifies(v("i") + 1 <= v("rows"), "i < rows");
  simplifies(c(4) * v("ro") + v("ri") < c(4) * v("ro") + 4, "ri < 4");
  simplifies(min(v("i") + 4, v("i") + 6), "i + 4");
  simplifies(max(min(v("i"), v("j")), v("j")), "j");
  simplifies(c(0) - v("i"), "-i");
  simplifies(c(3) - v("i"), "3 - i");
}

TEST_F(Prover, simplifies_with_facts) {
  given(c(0) <= v("cols"));
  range("cv", c(0), c(16));
  simplifies(min(c(16) * ceildiv(v("cols"), c(16)), v("cols")), "cols");
  simplifies((c(16) * v("co") + v("cv")) / c(16), "co");
  simplifies((c(16) * v("co") + v("cv")) % c(16), "cv");
  simplifies(both(v("cv") < c(16), v("co") < c(3)), "co < 3");
  simplifies(v("cv") < c(0), "false");
  simplifies(either(v("cv") < v("k"), v("k") <= v("cv")), "true");
  simplifies(select(v("cv") < c(20), v("a"), v("b")), "a");
  range("c", c(0), v("cols"));
  simplifies((v("cols") * v("r") + v("c")) / v("cols"), "r");
  simplifies((v("cols") * v("r") + v("c")) % v("cols"), "c");
  given(equals(v("n"), c(64)));
  simplifies(ceildiv(v("n"), c(16)) * v("k"), "4*k");
}

TEST_F(Prover, affine_in_a_symbol) {
  SymbolId i = v("i").as<Var>()->symbol;
  AffineIn a = affine_in(c(4) * (v("i") + 2) + v("j") - v("i"), i);
  ASSERT_TRUE(a.ok);
  EXPECT_EQ(a.coefficient, 3);
  EXPECT_EQ(n.text(a.rest), "j + 8");
  EXPECT_TRUE(affine_in(v("j"), i).ok);
  EXPECT_EQ(affine_in(v("j"), i).coefficient, 0);
  EXPECT_FALSE(affine_in(v("i") * v("j"), i).ok);
  EXPECT_FALSE(affine_in(v("i") / c(2), i).ok);
  EXPECT_FALSE(affine_in(v("i") + v("i") % c(2), i).ok);
}

TEST_F(Prover, bounds) {
  given(c(0) <= v("w"));
  auto id = [&](const char* name) { return v(name).as<Var>()->symbol; };
  auto check = [&](const Expr& e, std::vector<SymbolRange> ranges, const std::string& lo, const std::string& hi) {
    Bounds b = bounds_over(e, ranges, facts);
    ASSERT_TRUE(b.ok) << n.text(e);
    EXPECT_EQ(without_spaces(n.text(b.lo)), without_spaces(lo));
    EXPECT_EQ(without_spaces(n.text(b.hi)), without_spaces(hi));
  };
  check(c(6) * v("io") + v("ii"), {{id("ii"), c(0), c(6)}}, "6*io", "6*io + 5");
  check(v("i") + v("u"), {{id("i"), c(0), v("oh")}, {id("u"), c(0), v("kh")}}, "0", "oh + kh - 2");
  check(v("j"), {{id("i"), c(0), v("m")}, {id("j"), v("i"), v("i") + 2}}, "0", "m");
  check(v("m") - v("i"), {{id("i"), c(0), v("m")}}, "1", "m");
  check(v("i") * v("w") + v("j"), {{id("i"), c(0), v("h")}, {id("j"), c(0), v("w")}}, "0", "w*h - 1");
  check(v("i") / c(4), {{id("i"), c(0), c(10)}}, "0", "2");
  check(v("i") % c(4), {{id("i"), c(0), c(10)}}, "0", "3");
  check((c(8) * v("a") + v("i")) % c(8), {{id("i"), c(2), c(5)}}, "2", "4");
  check(min(v("i"), c(7)), {{id("i"), c(0), v("m")}}, "0", "min(m - 1, 7)");
  EXPECT_FALSE(bounds_over(v("i") * v("i"), {{id("i"), c(-3), c(4)}}, facts).ok);
  EXPECT_FALSE(bounds_over(v("i") * v("unsigned"), {{id("i"), c(0), c(4)}}, facts).ok);
  int64_t bound = 0;
  ASSERT_TRUE(constant_upper_bound(min(c(4) * v("ro") + 4, v("rows")) - c(4) * v("ro"), facts, bound));
  EXPECT_EQ(bound, 4);
  EXPECT_FALSE(constant_upper_bound(v("rows"), facts, bound));
  given(v("a") <= c(5));
  given(v("b") <= c(9));
  ASSERT_TRUE(constant_upper_bound(max(v("a"), v("b")) + 1, facts, bound));
  EXPECT_EQ(bound, 10);
}

}  // namespace
}  // namespace heddle::ir
