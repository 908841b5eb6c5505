// The prover against enumeration: whatever it shows must hold at every point of a small box.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ir/prove.h"
#include "support/result.h"
#include "tests/unit/ir/index_words.h"

namespace heddle::ir {
namespace {

int64_t floor_div_any(int64_t a, int64_t b) {
  if (b == 0) return 0;
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

using Point = std::vector<int64_t>;

int64_t evaluate(const Expr& e, const Point& at) {
  return std::visit(
      overloaded{
          [&](const Constant& c) { return c.integer; },
          [&](const Var& v) { return at[v.symbol.value]; },
          [&](const Unary& u) {
            int64_t v = evaluate(u.value, at);
            return u.op == UnaryOp::negate ? -v : static_cast<int64_t>(v == 0);
          },
          [&](const Select& s) { return evaluate(s.condition, at) ? evaluate(s.yes, at) : evaluate(s.no, at); },
          [&](const Binary& b) -> int64_t {
            int64_t x = evaluate(b.left, at), y = evaluate(b.right, at);
            switch (b.op) {
              case BinaryOp::add: return x + y;
              case BinaryOp::sub: return x - y;
              case BinaryOp::mul: return x * y;
              case BinaryOp::div: return floor_div_any(x, y);
              case BinaryOp::mod: return y == 0 ? 0 : x - y * floor_div_any(x, y);
              case BinaryOp::ceildiv: return -floor_div_any(-x, y);
              case BinaryOp::min: return std::min(x, y);
              case BinaryOp::max: return std::max(x, y);
              case BinaryOp::eq: return x == y;
              case BinaryOp::ne: return x != y;
              case BinaryOp::lt: return x < y;
              case BinaryOp::le: return x <= y;
              case BinaryOp::gt: return x > y;
              case BinaryOp::ge: return x >= y;
              case BinaryOp::logical_and: return x && y;
              case BinaryOp::logical_or: return x || y;
              default: ADD_FAILURE() << "not an index operator"; return 0;
            }
          },
          [&](const auto&) -> int64_t {
            ADD_FAILURE() << "not an index expression";
            return 0;
          },
      },
      e->form);
}

constexpr int symbol_count = 4;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t in(int64_t lo, int64_t hi) { return std::uniform_int_distribution<int64_t>(lo, hi)(engine_); }
  bool chance(int percent) { return in(0, 99) < percent; }
  Expr symbol() { return var({static_cast<uint32_t>(in(0, symbol_count - 1))}); }

  Expr index(int depth) {
    if (depth == 0 || chance(15)) return chance(70) ? symbol() : c(in(-4, 6));
    Expr a = index(depth - 1);
    switch (in(0, 13)) {
      case 0:
      case 1:
      case 2: return a + index(depth - 1);
      case 3:
      case 4: return a - index(depth - 1);
      case 5:
      case 6: return a * c(in(-3, 4));
      case 7: return a * index(depth - 1);
      case 8: return a / (chance(75) ? c(in(-2, 5)) : symbol());
      case 9: return a % (chance(75) ? c(in(-2, 5)) : symbol());
      case 10: return min(a, index(depth - 1));
      case 11: return max(a, index(depth - 1));
      case 12: return ceildiv(a, c(in(1, 4)));
      default: return select(condition(1), a, index(depth - 1));
    }
  }
  Expr condition(int depth) {
    if (depth > 0 && chance(25)) {
      switch (in(0, 2)) {
        case 0: return both(condition(depth - 1), condition(depth - 1));
        case 1: return either(condition(depth - 1), condition(depth - 1));
        default: return inverse(condition(depth - 1));
      }
    }
    BinaryOp op = static_cast<BinaryOp>(in(static_cast<int>(BinaryOp::eq), static_cast<int>(BinaryOp::ge)));
    return binary(op, index(depth), index(depth));
  }
  // As a program states them: ranges, bounds by other symbols, definitions, a few odd ones.
  Facts facts() {
    Facts out;
    for (uint32_t s = 0; s < symbol_count; ++s) {
      if (chance(70)) out.add(less_equal(c(in(-1, 1)), var({s})));
      if (chance(60)) out.add(less(var({s}), chance(50) ? c(in(1, 5)) : index(1)));
    }
    if (chance(25)) out.add(equals(symbol(), index(2)));
    if (chance(40)) out.add(condition(2));
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

// All points of a small box where the facts hold.
std::vector<Point> points(const Facts& facts, int64_t lo = -3, int64_t hi = 5) {
  std::vector<Point> out;
  Point at(symbol_count, lo);
  while (true) {
    bool holds = true;
    for (const Expr& f : facts.conditions()) holds = holds && evaluate(f, at);
    if (holds) out.push_back(at);
    int i = 0;
    while (i < symbol_count && at[i] == hi) at[i++] = lo;
    if (i == symbol_count) return out;
    ++at[i];
  }
}

std::string describe(const Facts& facts, const Expr& e) {
  Names names;
  for (const char* name : {"a", "b", "c", "d"}) names(name);
  std::string out;
  for (const Expr& f : facts.conditions()) out += names.text(f) + ", ";
  return out + "|- " + names.text(e);
}

bool holds_at_all(const std::vector<Point>& all, const Expr& e) {
  return std::all_of(all.begin(), all.end(), [&](const Point& p) { return evaluate(e, p) != 0; });
}

TEST(ProverRandom, what_is_shown_holds) {
  Random random(20240607);
  int shown = 0, true_goals = 0, asked = 0, contradictions = 0;
  for (int round = 0; round < 700; ++round) {
    Facts facts = random.facts();
    std::vector<Point> all = points(facts);
    if (unreachable(facts)) {
      ++contradictions;
      ASSERT_TRUE(all.empty()) << describe(facts, bool_constant(false));
    }
    for (int k = 0; k < 12; ++k) {
      Expr goal = random.condition(2);
      if (k % 2 == 0 && !all.empty()) {
        // Bounds that are met, and the same off by one.
        Expr e = random.index(2);
        int64_t top = INT64_MIN;
        for (const Point& p : all) top = std::max(top, evaluate(e, p));
        goal = less_equal(e, c(top + random.in(-1, 1)));
      }
      ++asked;
      bool holds = holds_at_all(all, goal);
      true_goals += holds && !all.empty();
      if (!prove(facts, goal)) continue;
      ++shown;
      ASSERT_TRUE(holds) << describe(facts, goal);
    }
  }
  EXPECT_GT(shown, asked / 10);
  EXPECT_GT(contradictions, 5);
  RecordProperty("shown", shown);
  RecordProperty("true_on_the_box", true_goals);
}

TEST(ProverRandom, simplified_means_the_same) {
  Random random(7);
  int changed = 0;
  for (int round = 0; round < 1200; ++round) {
    Facts facts = random.facts();
    std::vector<Point> all = points(facts, -2, 4);
    for (int k = 0; k < 4; ++k) {
      Expr e = random.chance(60) ? random.index(3) : random.condition(2);
      Expr plain = simplify(e), informed = simplify(e, facts);
      changed += !same(informed, e);
      for (const Point& p : all) ASSERT_EQ(evaluate(e, p), evaluate(informed, p)) << describe(facts, e);
      for (int i = 0; i < 20; ++i) {
        Point p;
        for (int s = 0; s < symbol_count; ++s) p.push_back(random.in(-9, 9));
        ASSERT_EQ(evaluate(e, p), evaluate(plain, p)) << describe({}, e) << "   " << describe({}, plain);
      }
    }
  }
  EXPECT_GT(changed, 1000);
}

TEST(ProverRandom, bounds_hold_everything) {
  Random random(99);
  int found = 0, constants = 0;
  for (int round = 0; round < 2500; ++round) {
    Facts facts = random.facts();
    Expr e = random.index(3);
    auto bound_expr = [&] {
      return random.chance(60) ? c(random.in(-2, 3)) : var({static_cast<uint32_t>(random.in(0, 1))});
    };
    Expr lo2 = bound_expr(), lo3 = random.chance(30) ? var({2}) : bound_expr();
    std::vector<SymbolRange> ranges = {{{2}, lo2, lo2 + random.in(0, 4)},
                                       {{3}, lo3, random.chance(30) ? var({1}) : lo3 + 3}};
    Bounds b = bounds_over(e, ranges, facts);
    int64_t top = 0;
    bool constant = constant_upper_bound(e, facts, top);
    found += b.ok;
    constants += constant;
    if (!b.ok && !constant) continue;
    for (const Point& p : points(facts, -2, 4)) {
      if (constant) ASSERT_LE(evaluate(e, p), top) << describe(facts, e);
      bool inside = true;
      for (const SymbolRange& r : ranges) {
        int64_t at = p[r.symbol.value];
        inside = inside && evaluate(r.lo, p) <= at && at < evaluate(r.hi, p);
      }
      if (!b.ok || !inside) continue;
      ASSERT_LE(evaluate(b.lo, p), evaluate(e, p)) << describe(facts, e) << " lo " << describe({}, b.lo);
      ASSERT_LE(evaluate(e, p), evaluate(b.hi, p)) << describe(facts, e) << " hi " << describe({}, b.hi);
    }
  }
  EXPECT_GT(found, 500);
  EXPECT_GT(constants, 200);
}

TEST(ProverRandom, affine_parts_add_up) {
  Random random(3);
  int found = 0;
  for (int round = 0; round < 4000; ++round) {
    Expr e = random.index(3);
    SymbolId symbol{static_cast<uint32_t>(random.in(0, symbol_count - 1))};
    AffineIn a = affine_in(e, symbol);
    if (!a.ok) continue;
    ++found;
    for (int i = 0; i < 10; ++i) {
      Point p;
      for (int s = 0; s < symbol_count; ++s) p.push_back(random.in(-9, 9));
      ASSERT_EQ(evaluate(e, p), a.coefficient * p[symbol.value] + evaluate(a.rest, p)) << describe({}, e);
    }
  }
  EXPECT_GT(found, 1000);
}

}  // namespace
}  // namespace heddle::ir
