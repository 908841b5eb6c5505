#include "ir/prove.h"

#include "ir/program.h"
#include "ir/theory.h"

namespace heddle::ir {
namespace {

bool prove_comparison(Theory& theory, const Expr& condition, bool truth) {
  const Binary& b = *condition.as<Binary>();
  BinaryOp op = b.op;
  Affine d = difference(theory.context().convert(b.right), theory.context().convert(b.left));
  Affine e = d;
  e.scale(-1);
  auto holds = [&](Affine a, int64_t slack) {
    a.add(slack);
    return theory.proves(a);
  };
  bool equal = op == BinaryOp::eq || op == BinaryOp::ne;
  if (equal && (op == BinaryOp::eq) == truth) return holds(d, 0) && holds(e, 0);
  if (equal) {
    if (holds(d, -1) || holds(e, -1)) return true;
    // Below in some cases and above in others.
    Theory inner(&theory);
    inner.assume(condition, !truth);
    return inner.contradictory();
  }
  bool upward = op == BinaryOp::lt || op == BinaryOp::le;
  bool strict = op == BinaryOp::lt || op == BinaryOp::gt;
  if (truth) return holds(upward ? d : e, strict ? -1 : 0);
  return holds(upward ? e : d, strict ? 0 : -1);
}

constexpr int max_assumptions = 16;

bool prove_in(Theory& theory, const Expr& condition, bool truth, int assumed = 0);

// Under the assumption that `given` is `given_truth`.
bool prove_under(Theory& theory, const Expr& given, bool given_truth, const Expr& condition, bool truth, int assumed) {
  if (assumed >= max_assumptions) return false;
  Theory inner(&theory);
  inner.assume(given, given_truth);
  return prove_in(inner, condition, truth, assumed + 1);
}

// A comparison with an `if`, with the greater of two below something or the lesser above it: what it says of each, with all splits.
bool prove_by_cases(Theory& theory, const Binary& b, int assumed) {
  const bool upward = b.op == BinaryOp::lt || b.op == BinaryOp::le;
  for (const bool left : {true, false}) {
    const Expr& side = left ? b.left : b.right;
    auto with = [&](const Expr& e) { return left ? binary(b.op, e, b.right) : binary(b.op, b.left, e); };
    if (const auto* s = side.as<Select>())
      return (prove_in(theory, s->condition, false, assumed) ||
              prove_under(theory, s->condition, true, with(s->yes), true, assumed)) &&
             (prove_in(theory, s->condition, true, assumed) ||
              prove_under(theory, s->condition, false, with(s->no), true, assumed));
    const auto* of = side.as<Binary>();
    const bool ordered = upward || b.op == BinaryOp::gt || b.op == BinaryOp::ge;
    if (of && ordered && of->op == (left == upward ? BinaryOp::max : BinaryOp::min))
      return prove_in(theory, with(of->left), true, assumed) && prove_in(theory, with(of->right), true, assumed);
  }
  return false;
}

bool prove_in(Theory& theory, const Expr& condition, bool truth, int assumed) {
  if (!condition.known() || condition.type() != ScalarType::boolean) return false;
  if (const int64_t* value = constant_value(condition)) return (*value != 0) == truth;
  if (const Unary* u = condition.as<Unary>(); u && u->op == UnaryOp::logical_not)
    return prove_in(theory, u->value, !truth, assumed);
  if (const Binary* b = condition.as<Binary>()) {
    if (b->op == BinaryOp::logical_and || b->op == BinaryOp::logical_or) {
      if ((b->op == BinaryOp::logical_and) == truth)
        return prove_in(theory, b->left, truth, assumed) && prove_in(theory, b->right, truth, assumed);
      return prove_in(theory, b->left, truth, assumed) ||
             prove_under(theory, b->left, !truth, b->right, truth, assumed) || theory.states(condition, truth);
    }
    if (is_comparison(b->op) && is_numeric(b->left.type()) && is_numeric(b->right.type())) {
      if (prove_comparison(theory, condition, truth)) return true;
      return truth && assumed < max_assumptions && prove_by_cases(theory, *b, assumed + 1);
    }
  }
  if (const Select* s = condition.as<Select>())
    return prove_under(theory, s->condition, true, s->yes, truth, assumed) &&
           prove_under(theory, s->condition, false, s->no, truth, assumed);
  return theory.states(condition, truth);
}

}  // namespace

void Facts::add(const Expr& condition) {
  if (!condition.known()) return;
  theory_.reset();
  const Binary* b = condition.as<Binary>();
  if (b && b->op == BinaryOp::logical_and) {
    add(b->left);
    add(b->right);
    return;
  }
  if (b && (b->op == BinaryOp::le || b->op == BinaryOp::lt)) {
    // max(x, y) <= z says two things, and so does x < min(y, z).
    const Binary *left = b->left.as<Binary>(), *right = b->right.as<Binary>();
    if (left && left->op == BinaryOp::max) {
      add(binary(b->op, left->left, b->right));
      add(binary(b->op, left->right, b->right));
      return;
    }
    if (right && right->op == BinaryOp::min) {
      add(binary(b->op, b->left, right->left));
      add(binary(b->op, b->left, right->right));
      return;
    }
  }
  if (const int64_t* value = constant_value(condition); value && *value) return;
  for (const Expr& known : conditions_)
    if (same(known, condition)) return;
  conditions_.push_back(condition);
}

namespace {

// Where a range ends for what is in it: below `lo .. max(lo, e)` it stands before e.
Expr end_inside(const Expr& lo, Expr hi) {
  for (;;) {
    const auto* most = hi.as<Binary>();
    if (!most || most->op != BinaryOp::max) return hi;
    if (equal(most->left, lo)) hi = most->right;
    else if (equal(most->right, lo)) hi = most->left;
    else return hi;
  }
}

}  // namespace

void Facts::add_range(SymbolId symbol, const Expr& lo, const Expr& end) {
  const Expr hi = end_inside(lo, end);
  const Select* once = hi.as<Select>();
  // `lo .. if c then hi else lo` runs only where c holds, `lo .. if c then lo else hi` where it does not.
  if (once && same(once->no, lo)) {
    add(once->condition);
    return add_range(symbol, lo, once->yes);
  }
  if (once && same(once->yes, lo)) {
    add(unary(UnaryOp::logical_not, once->condition));
    return add_range(symbol, lo, once->no);
  }
  add(less_equal(lo, var(symbol)));
  add(less(var(symbol), hi));
  // So does `0 .. if c then 1 else 0`: the loop that a special case stands in.
  const int64_t *from = constant_value(lo), *yes = once ? constant_value(once->yes) : nullptr,
                *no = once ? constant_value(once->no) : nullptr;
  if (!from || !yes || !no || (*yes > *from) == (*no > *from)) return;
  add(*yes > *from ? once->condition : unary(UnaryOp::logical_not, once->condition));
}

const Theory& Facts::theory() const {
  if (!theory_) theory_ = std::make_shared<const Theory>(conditions_);
  return *theory_;
}

Facts facts_of(const Program& program) {
  Facts facts;
  for (const DimDefinition& d : program.dims) {
    if (!d.buffer.known() && d.value.known()) facts.add(binary(BinaryOp::eq, var(d.dim), d.value));
    else facts.add(less_equal(index_constant(0), var(d.dim)));
  }
  for (const Expr& fact : program.facts) facts.add(fact);
  return facts;
}

bool prove(const Facts& facts, const Expr& condition) {
  Theory theory(&facts.theory());
  return prove_in(theory, condition, true);
}

bool unreachable(const Facts& facts) {
  Theory theory(&facts.theory());
  return theory.contradictory();
}

bool constant_upper_bound(const Expr& e, const Facts& facts, int64_t& bound) {
  Theory theory(&facts.theory());
  return theory.upper_bound(theory.context().convert(e), bound);
}

}  // namespace heddle::ir
