#include "backend/host/ranges.h"

#include <algorithm>

namespace heddle::host {
namespace {

constexpr int64_t low = INT64_MIN, high = INT64_MAX;

int64_t plus(int64_t a, int64_t b, int64_t unbounded) {
  int64_t out;
  return a == unbounded || b == unbounded || __builtin_add_overflow(a, b, &out) ? unbounded : out;
}

Interval sum(Interval a, Interval b) { return {plus(a.lo, b.lo, low), plus(a.hi, b.hi, high)}; }

// c * a for a constant c.
Interval times(Interval a, int64_t c) {
  if (c == 0) return {0, 0};
  if (c < 0) std::swap(a.lo, a.hi);
  auto end = [&](int64_t x, int64_t unbounded) {
    int64_t out;
    return x == low || x == high || __builtin_mul_overflow(x, c, &out) ? unbounded : out;
  };
  return {end(a.lo, low), end(a.hi, high)};
}

// Only what sizes need: products of what is not negative.
Interval product(Interval a, Interval b) {
  if (a.lo < 0 || b.lo < 0) return {};
  Interval out;
  if (__builtin_mul_overflow(a.lo, b.lo, &out.lo)) out.lo = 0;
  if (a.hi == high || b.hi == high || __builtin_mul_overflow(a.hi, b.hi, &out.hi)) out.hi = high;
  return out;
}

}  // namespace

Interval Ranges::of(ir::SymbolId symbol) const {
  auto at = known_.find(symbol.value);
  return at == known_.end() ? Interval{} : at->second;
}

Interval Ranges::of(const ir::AffineContext& context, const ir::Affine& a) const { return of(context, a, 0); }

Interval Ranges::of(const ir::AffineContext& context, const ir::Affine& a, int depth) const {
  if (!a.ok || depth > 8) return {};
  Interval all{a.constant, a.constant};
  for (const ir::AffineTerm& t : a.terms) {
    Interval part = of_atom(context, ir::factor(t.m, 0), depth);
    for (int place = 1; place < 4 && ir::factor(t.m, place); ++place)
      part = product(part, of_atom(context, ir::factor(t.m, place), depth));
    all = sum(all, times(part, t.c));
  }
  return all;
}

Interval Ranges::of_atom(const ir::AffineContext& context, uint32_t number, int depth) const {
  using Kind = ir::Atom::Kind;
  const ir::Atom& x = context.atom(number);
  auto part = [&](const ir::Affine& a) { return of(context, a, depth + 1); };
  switch (x.kind) {
    case Kind::symbol: return of(x.expr.as<ir::Var>()->symbol);
    case Kind::quotient: {
      Interval a = part(x.a);
      if (a.lo != low) a.lo = ir::floor_div(a.lo, x.divisor);
      if (a.hi != high) a.hi = ir::floor_div(a.hi, x.divisor);
      return a;
    }
    case Kind::floor_by: {
      Interval a = part(x.a);
      return a.lo >= 0 ? Interval{0, a.hi} : Interval{};
    }
    case Kind::minimum: {
      Interval a = part(x.a), b = part(x.b);
      return {std::min(a.lo, b.lo), std::min(a.hi, b.hi)};
    }
    case Kind::maximum: {
      Interval a = part(x.a), b = part(x.b);
      return {std::max(a.lo, b.lo), std::max(a.hi, b.hi)};
    }
    case Kind::choice: {
      Interval a = part(x.a), b = part(x.b);
      return {std::min(a.lo, b.lo), std::max(a.hi, b.hi)};
    }
    case Kind::opaque: return {};
  }
  return {};
}

Interval Ranges::of(const ir::Expr& index) {
  RangedContext at(*this);
  return of(at.context, at.context.convert(index));
}

int Ranges::decide(const ir::Expr& condition) {
  if (const int64_t* known = ir::constant_value(condition)) return *known != 0;
  const ir::Binary* c = condition.as<ir::Binary>();
  if (!c || c->left.type() != ir::ScalarType::index) return -1;
  RangedContext at(*this);
  const Interval d = of(at.context, ir::difference(at.context.convert(c->left), at.context.convert(c->right)));
  auto by = [](bool yes, bool no) { return yes ? 1 : no ? 0 : -1; };
  switch (c->op) {
    case ir::BinaryOp::lt: return by(d.hi < 0, d.lo >= 0);
    case ir::BinaryOp::le: return by(d.hi <= 0, d.lo > 0);
    case ir::BinaryOp::gt: return by(d.lo > 0, d.hi <= 0);
    case ir::BinaryOp::ge: return by(d.lo >= 0, d.hi < 0);
    case ir::BinaryOp::eq: return by(d.lo == 0 && d.hi == 0, d.lo > 0 || d.hi < 0);
    case ir::BinaryOp::ne: return by(d.lo > 0 || d.hi < 0, d.lo == 0 && d.hi == 0);
    default: return -1;
  }
}

}  // namespace heddle::host
