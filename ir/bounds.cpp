// Bounds of an index expression over ranges of symbols: interval arithmetic on the affine form, one symbol at a time.
#include "ir/prove.h"
#include "ir/theory.h"

namespace heddle::ir {
namespace {

class BoundsFinder : public AffineOracle {
 public:
  explicit BoundsFinder(Theory& theory) : theory_(theory), context_(this) {}

  AffineContext& context() { return context_; }

  bool nonnegative(const Affine& a) override {
    if (!a.ok) return false;
    if (a.is_constant()) return a.constant >= 0;
    return theory_.proves(theory_.context().convert(context_.rebuild(a)));
  }
  bool positive(const Affine& a) override {
    Affine b = a;
    b.add(-1);
    return nonnegative(b);
  }

  struct Range {
    SymbolId symbol;
    Affine lo, hi;  // inclusive
  };
  /// The least or greatest value of `a` over the range of one symbol; not ok when it cannot be written.
  Affine extreme(Affine a, const Range& r, bool upper);

 private:
  // 1, -1, or 0 when unknown.
  int sign(const Affine& a) {
    if (nonnegative(a)) return 1;
    Affine b = a;
    b.scale(-1);
    return nonnegative(b) ? -1 : 0;
  }
  bool one_factor(Monomial m, const Range& r, uint32_t& found) const;
  Affine extreme_atom(uint32_t number, const Range& r, bool upper);
  bool take_mod(Affine& a, const Range& r, bool upper, Affine& taken);

  Theory& theory_;
  AffineContext context_;
  int steps_ = 500;  // nested divisions ask twice at each level
};

// The factor that speaks of the symbol, if it is one and stands once.
bool BoundsFinder::one_factor(Monomial m, const Range& r, uint32_t& found) const {
  int count = 0;
  for (int place = 0; place < 4 && factor(m, place); ++place) {
    if (!context_.mentions(factor(m, place), r.symbol)) continue;
    found = factor(m, place);
    ++count;
  }
  return count == 1;
}

// Takes x - d*floor(x / d), that is x % d, out of the form: it runs over 0 .. d - 1, or less within one period.
bool BoundsFinder::take_mod(Affine& a, const Range& r, bool upper, Affine& taken) {
  for (const AffineTerm& t : a.terms) {
    if (!is_linear(t.m)) continue;
    const Atom q = context_.atom(factor(t.m, 0));
    if (q.kind != Atom::Kind::quotient || t.c % q.divisor != 0 || !context_.mentions(q.a, r.symbol)) continue;
    int64_t times = -(t.c / q.divisor);
    if (times == INT64_MIN) continue;
    Affine left = a;
    left.add(Affine::of(factor(t.m, 0)), -t.c);
    left.add(q.a, -times);
    // Worth it only if the symbol leaves with the modulo.
    if (!left.ok || left.terms.size() >= a.terms.size()) continue;
    bool up = upper == (times > 0);
    Affine low = extreme(q.a, r, false), high = extreme(q.a, r, true);
    Affine value(up ? q.divisor - 1 : 0);
    if (low.ok && high.ok) {
      Expr d = index_constant(q.divisor);
      Affine first = context_.convert(binary(BinaryOp::div, context_.rebuild(low), d));
      Affine last = context_.convert(binary(BinaryOp::div, context_.rebuild(high), d));
      if (first.ok && first == last) {
        value = up ? high : low;
        value.add(first, -q.divisor);
      }
    }
    taken.add(value, times);
    a = std::move(left);
    return true;
  }
  return false;
}

Affine BoundsFinder::extreme_atom(uint32_t number, const Range& r, bool upper) {
  const Atom x = context_.atom(number);
  auto both = [&](BinaryOp op, bool up) {
    Affine a = extreme(x.a, r, up), b = extreme(x.b, r, up);
    if (!a.ok || !b.ok) return Affine::unknown();
    return context_.convert(binary(op, context_.rebuild(a), context_.rebuild(b)));
  };
  switch (x.kind) {
    case Atom::Kind::symbol: return upper ? r.hi : r.lo;
    case Atom::Kind::quotient:
    case Atom::Kind::floor_by: {
      Affine a = extreme(x.a, r, upper);
      bool fixed = x.kind == Atom::Kind::quotient || !context_.mentions(x.b, r.symbol);
      if (!a.ok || !fixed) return Affine::unknown();
      Expr d = x.kind == Atom::Kind::quotient ? index_constant(x.divisor) : context_.rebuild(x.b);
      return context_.convert(binary(BinaryOp::div, context_.rebuild(a), d));
    }
    case Atom::Kind::minimum: return both(BinaryOp::min, upper);
    case Atom::Kind::maximum: return both(BinaryOp::max, upper);
    case Atom::Kind::choice: return both(upper ? BinaryOp::max : BinaryOp::min, upper);
    case Atom::Kind::opaque: break;
  }
  const Binary* b = x.expr.as<Binary>();
  if (!b || b->op != BinaryOp::mod) return Affine::unknown();
  Affine d = context_.convert(b->right);
  if (context_.mentions(d, r.symbol) || !positive(d)) return Affine::unknown();
  d.add(-1);
  return upper ? d : Affine(0);
}

Affine BoundsFinder::extreme(Affine a, const Range& r, bool upper) {
  if (!a.ok || !context_.mentions(a, r.symbol)) return a;
  if (--steps_ < 0) return Affine::unknown();
  Affine out;
  while (take_mod(a, r, upper, out)) {
  }
  out.add(Affine(a.constant));
  Affine slope;  // of the symbol itself, all its terms together: s*w - s falls or rises with w - 1
  for (const AffineTerm& t : a.terms) {
    uint32_t atom = 0;
    Affine rest;
    AffineTerm q{0, t.c};
    bool once = one_factor(t.m, r, atom);
    if (once && divide(t.m, monomial_of(atom), q.m)) {
      if (q.m == 0) rest.constant = q.c;
      else rest.terms.push_back(q);
      if (context_.atom(atom).kind == Atom::Kind::symbol) {
        slope.add(rest);
        continue;
      }
      int direction = sign(rest);
      if (direction == 0) return Affine::unknown();
      out.add(product(rest, extreme_atom(atom, r, upper == (direction > 0))));
      continue;
    }
    rest.terms.push_back(t);
    if (context_.mentions(rest, r.symbol)) return Affine::unknown();
    out.add(rest);
  }
  if (slope.is_zero()) return out;
  int direction = sign(slope);
  if (direction == 0) return Affine::unknown();
  out.add(product(slope, upper == (direction > 0) ? r.hi : r.lo));
  return out;
}

}  // namespace

Bounds bounds_over(const Expr& e, const std::vector<SymbolRange>& ranges, const Facts& facts) {
  Bounds out;
  Theory theory(&facts.theory());
  // Where a range is empty there is nothing to bound, so its own emptiness may be ruled out.
  for (const SymbolRange& r : ranges) {
    theory.assume(less_equal(r.lo, var(r.symbol)), true);
    theory.assume(less(var(r.symbol), r.hi), true);
  }
  BoundsFinder finder(theory);
  AffineContext& context = finder.context();
  Affine lo = context.convert(e), hi = lo;
  std::vector<BoundsFinder::Range> known;  // in order, so that terms print in the order of the ranges
  for (const SymbolRange& r : ranges) {
    known.push_back({r.symbol, context.convert(r.lo), context.convert(r.hi)});
    known.back().hi.add(-1);
  }
  for (auto r = known.rbegin(); r != known.rend(); ++r) {
    lo = finder.extreme(lo, *r, false);
    hi = finder.extreme(hi, *r, true);
    if (!r->lo.ok || !r->hi.ok || !lo.ok || !hi.ok) return out;
  }
  // A range that mentions itself or a later symbol leaves it in the bound.
  for (const SymbolRange& r : ranges)
    if (context.mentions(lo, r.symbol) || context.mentions(hi, r.symbol)) return out;
  out.ok = true;
  out.lo = context.rebuild(lo);
  out.hi = context.rebuild(hi);
  return out;
}

}  // namespace heddle::ir
