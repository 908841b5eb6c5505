// Simplification: expressions through their affine normal form and back, with what the facts decide resolved on the way.
#include <optional>

#include "ir/prove.h"
#include "ir/theory.h"

namespace heddle::ir {
namespace {

// Takes what both sides share off both of them.
void cancel(Affine& left, Affine& right) {
  const Affine all = left;
  for (const AffineTerm& t : all.terms) {
    int64_t c = right.coefficient(t.m);
    if (c == 0 || (c < 0) != (t.c < 0)) continue;
    Affine part;
    part.terms.push_back({t.m, t.c < 0 ? std::max(t.c, c) : std::min(t.c, c)});
    left.add(part, -1);
    right.add(part, -1);
  }
  if (left.constant == 0 || right.constant == 0) return;
  Affine part(left.constant);
  left.add(part, -1);
  right.add(part, -1);
}

class Simplifier : public AffineOracle {
 public:
  /// Without a theory only what holds everywhere is used.
  explicit Simplifier(Theory* theory) : theory_(theory), context_(this) {}

  /// `n == 1024` among the facts: n reads as 1024.
  void use_constants(const Facts& facts) {
    for (const Expr& c : facts.conditions()) {
      const Binary* b = c.as<Binary>();
      if (!b || b->op != BinaryOp::eq || b->left.type() != ScalarType::index || !constant_value(b->right)) continue;
      if (const Var* v = b->left.as<Var>()) context_.define(v->symbol, b->right);
    }
    context_.settle_definitions();
  }

  Expr index(const Expr& e) {
    Affine a = context_.convert(e);
    if (!a.ok) return e;
    Expr out = context_.rebuild(a);
    return same(out, e) ? e : out;
  }
  Expr parts(const Expr& e) {
    Expr out = context_.normal_parts(e);
    return same(out, e) ? e : out;
  }

  bool positive(const Affine& a) override {
    Affine b = a;
    b.add(-1);
    return nonnegative(b);
  }
  bool nonnegative(const Affine& a) override {
    if (!a.ok) return false;
    if (a.is_constant()) return a.constant >= 0;
    if (!theory_ || --questions_ < 0) return false;
    return theory_->proves(theory_->context().convert(context_.rebuild(a)));
  }

  Expr condition(const Expr& e) override {
    if (e.as<Constant>()) return e;
    if (const Unary* u = e.as<Unary>(); u && u->op == UnaryOp::logical_not) return negation(u->value, e);
    if (const Binary* b = e.as<Binary>()) {
      if (b->op == BinaryOp::logical_and || b->op == BinaryOp::logical_or) return junction(e, *b);
      if (is_comparison(b->op) && b->left.type() == ScalarType::index) return comparison(e, *b);
      if (is_comparison(b->op) && theory_ && is_numeric(b->left.type()) && --questions_ > 0) {
        Affine d = difference(theory_->context().convert(b->right), theory_->context().convert(b->left));
        if (std::optional<bool> known = decided(b->op, d)) return bool_constant(*known);
      }
    }
    if (theory_ && theory_->states(e, true)) return bool_constant(true);
    if (theory_ && theory_->states(e, false)) return bool_constant(false);
    return parts(e);
  }

 private:
  Expr negation(const Expr& inner, const Expr& e) {
    Expr value = condition(inner);
    const Binary* b = value.as<Binary>();
    if (b && is_comparison(b->op) && !is_float(b->left.type())) return binary(negated(b->op), b->left, b->right);
    if (const Unary* u = value.as<Unary>(); u && u->op == UnaryOp::logical_not) return u->value;
    return value.is(inner) ? e : unary(UnaryOp::logical_not, value);
  }

  // The right side is evaluated only where the left one does not decide.
  Expr junction(const Expr& e, const Binary& b) {
    Expr left = condition(b.left);
    if (left.as<Constant>()) {
      Expr whole = binary(b.op, left, b.right);
      return whole.as<Constant>() ? whole : condition(b.right);
    }
    Expr right;
    if (theory_ && depth_ < 16) {
      Theory inner(theory_);
      inner.assume(left, b.op == BinaryOp::logical_and);
      Theory* outer = std::exchange(theory_, &inner);
      ++depth_;
      right = condition(b.right);
      --depth_;
      theory_ = outer;
    } else {
      right = condition(b.right);
    }
    if (same(left, right)) return left;
    if (is_constant(right, b.op == BinaryOp::logical_or ? 1 : 0)) return right;
    return left.is(b.left) && right.is(b.right) ? e : binary(b.op, left, right);
  }

  // d is right - left.
  std::optional<bool> decided(BinaryOp op, const Affine& d) {
    if (!d.ok) return std::nullopt;
    auto holds = [&](int64_t sign, int64_t slack) {
      Affine a = d;
      a.scale(sign);
      a.add(slack);
      return a.is_constant() ? a.constant >= 0 : theory_ && theory_->proves(a);
    };
    switch (op) {
      case BinaryOp::lt:
      case BinaryOp::ge:
        if (holds(1, -1)) return op == BinaryOp::lt;
        if (holds(-1, 0)) return op == BinaryOp::ge;
        return std::nullopt;
      case BinaryOp::le:
      case BinaryOp::gt:
        if (holds(1, 0)) return op == BinaryOp::le;
        if (holds(-1, -1)) return op == BinaryOp::gt;
        return std::nullopt;
      default:
        if (holds(1, -1) || holds(-1, -1)) return op == BinaryOp::ne;
        if (holds(1, 0) && holds(-1, 0)) return op == BinaryOp::eq;
        return std::nullopt;
    }
  }

  Expr comparison(const Expr& e, const Binary& b) {
    Affine left = context_.convert(b.left);
    Affine right = context_.convert(b.right);
    Affine d = difference(right, left);
    if (!d.ok) return e;
    if (d.is_constant()) return bool_constant(*decided(b.op, d));
    if (theory_ && --questions_ > 0) {
      Affine there = theory_->context().convert(context_.rebuild(d));
      if (std::optional<bool> known = decided(b.op, there)) return bool_constant(*known);
    }
    cancel(left, right);
    BinaryOp op = b.op;
    // x + 1 <= y and x <= y - 1 read as x < y.
    bool smaller_left = op == BinaryOp::le, smaller_right = op == BinaryOp::ge;
    Affine& smaller = smaller_right ? right : left;
    Affine& greater = smaller_right ? left : right;
    if ((smaller_left || smaller_right) && (smaller.constant == 1 || greater.constant == -1) &&
        !smaller.terms.empty()) {
      (smaller.constant == 1 ? smaller : greater).constant = 0;
      op = smaller_left ? BinaryOp::lt : BinaryOp::gt;
    }
    if (!left.ok || !right.ok) return e;
    Expr out = binary(op, context_.rebuild(left), context_.rebuild(right));
    return same(out, e) ? e : out;
  }

  Theory* theory_;
  AffineContext context_;
  int questions_ = 200;  // to the prover, for one simplification
  int depth_ = 0;
};

Expr simplify_with(Simplifier& simplifier, const Expr& e) {
  if (!e.known()) return e;
  if (e.type() == ScalarType::index) return simplifier.index(e);
  if (e.type() == ScalarType::boolean) return simplifier.condition(e);
  return simplifier.parts(e);
}

}  // namespace

Expr simplify(const Expr& e) {
  Simplifier simplifier(nullptr);
  return simplify_with(simplifier, e);
}

Expr simplify(const Expr& e, const Facts& facts) {
  Theory theory(&facts.theory());
  Simplifier simplifier(&theory);
  simplifier.use_constants(facts);
  return simplify_with(simplifier, e);
}

bool equal(const Expr& a, const Expr& b) {
  if (!a.known() || !b.known()) return a.known() == b.known();
  if (same(a, b)) return true;
  if (a.type() != ScalarType::index || b.type() != ScalarType::index) return same(simplify(a), simplify(b));
  AffineOracle nothing;
  AffineContext context(&nothing);
  return difference(context.convert(a), context.convert(b)).is_zero();
}

bool equal(const Expr& a, const Expr& b, const Facts& facts) {
  if (equal(a, b)) return true;
  if (!a.known() || !b.known() || a.type() != b.type()) return false;
  if (a.type() != ScalarType::index) return same(simplify(a, facts), simplify(b, facts));
  return prove(facts, binary(BinaryOp::eq, a, b));
}

AffineIn affine_in(const Expr& e, SymbolId symbol) {
  AffineIn out;
  AffineOracle nothing;
  AffineContext context(&nothing);
  Affine rest = context.convert(e);
  Affine alone = context.convert(var(symbol));
  int64_t c = rest.coefficient(alone.terms[0].m);
  rest.add(alone, c == INT64_MIN ? 0 : -c);
  if (!rest.ok || context.mentions(rest, symbol)) return out;
  out.ok = true;
  out.coefficient = c;
  out.rest = context.rebuild(rest);
  return out;
}

Expr tidy(const Expr& e) {
  if (!e.known()) return e;
  if (e.type() == ScalarType::index) return simplify(e);
  if (e.type() != ScalarType::boolean) return e;
  if (const Binary* b = e.as<Binary>()) return binary(b->op, tidy(b->left), tidy(b->right));
  if (const Unary* u = e.as<Unary>()) return unary(u->op, tidy(u->value));
  return e;
}

}  // namespace heddle::ir
