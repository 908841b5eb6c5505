// Affine forms back to expressions that read as people write them.
#include <algorithm>
#include <cstdlib>

#include "ir/affine.h"

namespace heddle::ir {

Expr AffineContext::rebuild_atom(const Atom& x) {
  switch (x.kind) {
    case Atom::Kind::symbol:
    case Atom::Kind::opaque:
      // Integers of a data type (a run-time scalar, a load) enter index arithmetic by a conversion.
      if (!x.expr.known()) return x.expr;
      return x.expr.type() == ScalarType::index ? x.expr : ir::convert(ScalarType::index, x.expr);
    case Atom::Kind::quotient: {
      Affine above = x.a;
      above.add(1 - x.divisor);
      if (x.ceil && above.ok && above.constant == 0) return ceildiv(rebuild(above), index_constant(x.divisor));
      return binary(BinaryOp::div, rebuild(x.a), index_constant(x.divisor));
    }
    case Atom::Kind::floor_by: {
      Affine above = difference(x.a, x.b);
      above.add(1);
      if (x.ceil && above.ok && above.terms.size() < x.a.terms.size()) return ceildiv(rebuild(above), rebuild(x.b));
      return binary(BinaryOp::div, rebuild(x.a), rebuild(x.b));
    }
    case Atom::Kind::minimum: return min(rebuild(x.a), rebuild(x.b));
    case Atom::Kind::maximum: return max(rebuild(x.a), rebuild(x.b));
    case Atom::Kind::choice: return select(x.expr, rebuild(x.a), rebuild(x.b));
  }
  return x.expr;
}

Expr AffineContext::rebuild_monomial(Monomial m, int64_t c) {
  Expr out = index_constant(c);
  for (int place = 0; place < 4 && factor(m, place); ++place) out = out * rebuild_atom(atom(factor(m, place)));
  return out;
}

// x - d*floor(x / d) reads as x % d.
bool AffineContext::take_mod(Affine& a, std::vector<Piece>& pieces) {
  // The last is the outermost of nested ones.
  for (auto at = a.terms.rbegin(); at != a.terms.rend(); ++at) {
    const AffineTerm t = *at;
    if (!is_linear(t.m)) continue;
    const Atom& q = atom(factor(t.m, 0));
    if (q.kind != Atom::Kind::quotient || q.ceil || t.c % q.divisor != 0 || t.c == INT64_MIN) continue;
    int64_t times = -(t.c / q.divisor);
    bool holds = true;
    for (const AffineTerm& n : q.a.terms) {
      int64_t have = a.coefficient(n.m), want = 0;
      bool small = !__builtin_mul_overflow(n.c, times, &want) && have != INT64_MIN && want != INT64_MIN;
      holds &= small && (have < 0) == (want < 0) && std::abs(have) >= std::abs(want);
    }
    Affine left = a;
    left.add(Affine::of(factor(t.m, 0)), -t.c);
    left.add(q.a, -times);
    if (!holds || !left.ok || times == INT64_MIN) continue;
    Expr mod = binary(BinaryOp::mod, rebuild(q.a), index_constant(q.divisor));
    pieces.push_back({index_constant(times < 0 ? -times : times) * mod, times < 0});
    a = std::move(left);
    return true;
  }
  return false;
}

Expr AffineContext::rebuild(const Affine& given) {
  Affine a = given;
  std::vector<Piece> pieces;
  while (take_mod(a, pieces)) {
  }
  std::vector<Piece> mods = std::move(pieces);
  pieces.clear();
  for (const AffineTerm& t : a.terms) {
    bool negative = t.c < 0 && t.c != INT64_MIN;
    pieces.push_back({rebuild_monomial(t.m, negative ? -t.c : t.c), negative});
  }
  pieces.insert(pieces.end(), mods.begin(), mods.end());
  if (pieces.empty()) return index_constant(a.constant);
  // A positive part leads, so that nothing starts with a minus unless all do.
  auto leader = std::find_if(pieces.begin(), pieces.end(), [](const Piece& p) { return !p.negative; });
  if (leader != pieces.end()) {
    std::rotate(pieces.begin(), leader, leader + 1);
  } else if (a.constant > 0) {
    pieces.insert(pieces.begin(), Piece{index_constant(a.constant), false});
    a.constant = 0;
  }
  Expr out = pieces[0].negative ? unary(UnaryOp::negate, pieces[0].value) : pieces[0].value;
  for (size_t i = 1; i < pieces.size(); ++i) out = pieces[i].negative ? out - pieces[i].value : out + pieces[i].value;
  return out + a.constant;
}

}  // namespace heddle::ir
