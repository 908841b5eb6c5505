#include "ir/theory.h"

#include <algorithm>

namespace heddle::ir {
namespace {

constexpr size_t max_alternatives = 4;
constexpr size_t max_conditions = 1'000;  // the rest of a longer list is not used

template <class F>
void each_factor(const Affine& a, F f) {
  for (const AffineTerm& t : a.terms)
    for (int place = 0; place < 4 && factor(t.m, place); ++place) f(factor(t.m, place));
}

Affine negative(Affine a) {
  a.scale(-1);
  return a;
}

Affine less_one(Affine a) {
  a.add(-1);
  return a;
}

}  // namespace

BinaryOp negated(BinaryOp comparison) {
  switch (comparison) {
    case BinaryOp::eq: return BinaryOp::ne;
    case BinaryOp::ne: return BinaryOp::eq;
    case BinaryOp::lt: return BinaryOp::ge;
    case BinaryOp::le: return BinaryOp::gt;
    case BinaryOp::gt: return BinaryOp::le;
    default: return BinaryOp::lt;
  }
}

Theory::Theory(const Theory* base) : base_(base), context_(this, &base->context_), depth_(base->depth_) {}

Theory::Theory(const std::vector<Expr>& conditions) : context_(this) {
  context_.expand_symbolic_mod = true;
  auto defined = [&](const Expr& name, const Expr& value) {
    const Var* v = name.as<Var>();
    return v && name.type() == ScalarType::index && context_.define(v->symbol, value);
  };
  std::vector<const Expr*> rest;
  for (const Expr& c : conditions) {
    if (rest.size() >= max_conditions) break;
    const Binary* b = c.as<Binary>();
    if (b && b->op == BinaryOp::eq && (defined(b->left, b->right) || defined(b->right, b->left))) continue;
    rest.push_back(&c);
  }
  // A division by a symbol opens up once the facts show the symbol to be positive: those conditions come last.
  std::vector<const Expr*> later;
  for (const Expr* c : rest) {
    context_.met_unknown_divisor = false;
    size_t rows = rows_.size(), splits = splits_.size(), truths = truths_.size();
    assume(*c, true);
    if (!context_.met_unknown_divisor) continue;
    rows_.resize(rows);
    splits_.resize(splits);
    truths_.resize(truths);
    later.push_back(c);
  }
  for (const Expr* c : later) assume(*c, true);
  context_.settle_definitions();
}

// ---------------------------------------------------------------------------------------------------------------------
// Conditions to rows

bool Theory::compare_rows(const Binary& b, bool truth, std::vector<Rows>& out) {
  if (!is_comparison(b.op) || !is_numeric(b.left.type()) || !is_numeric(b.right.type())) return false;
  Affine d = difference(context_.convert(b.right), context_.convert(b.left));
  Affine e = negative(d);
  if (!d.ok || !e.ok) return false;
  switch (truth ? b.op : negated(b.op)) {
    case BinaryOp::lt: out = {{less_one(d)}}; break;
    case BinaryOp::le: out = {{d}}; break;
    case BinaryOp::gt: out = {{less_one(e)}}; break;
    case BinaryOp::ge: out = {{e}}; break;
    case BinaryOp::eq: out = {{d, e}}; break;
    default: out = {{less_one(d)}, {less_one(e)}}; break;
  }
  for (Rows& rows : out) std::erase_if(rows, [](const Affine& row) { return !row.ok; });
  std::erase_if(out, [](const Rows& rows) {
    return std::any_of(rows.begin(), rows.end(), [](const Affine& r) { return r.is_constant() && r.constant < 0; });
  });
  return true;
}

std::vector<Theory::Rows> Theory::alternatives(const Expr& condition, bool truth, int depth) {
  if (const int64_t* value = constant_value(condition))
    return (*value != 0) == truth ? std::vector<Rows>{{}} : std::vector<Rows>{};
  const std::vector<Rows> anything{{}};
  if (depth > 64) return anything;
  if (const Unary* u = condition.as<Unary>(); u && u->op == UnaryOp::logical_not)
    return alternatives(u->value, !truth, depth + 1);
  const Binary* b = condition.as<Binary>();
  if (!b) return anything;
  std::vector<Rows> out;
  if (b->op == BinaryOp::logical_and || b->op == BinaryOp::logical_or) {
    std::vector<Rows> left = alternatives(b->left, truth, depth + 1);
    std::vector<Rows> right = alternatives(b->right, truth, depth + 1);
    if ((b->op == BinaryOp::logical_or) == truth) {
      left.insert(left.end(), right.begin(), right.end());
      return left.size() > max_alternatives ? anything : left;
    }
    if (left.size() * right.size() > max_alternatives) return left.size() <= right.size() ? left : right;
    for (const Rows& x : left)
      for (const Rows& y : right) {
        out.push_back(x);
        out.back().insert(out.back().end(), y.begin(), y.end());
      }
    return out;
  }
  return compare_rows(*b, truth, out) ? out : anything;
}

void Theory::assume(const Expr& condition, bool truth) {
  const Binary* b = condition.as<Binary>();
  if (b && b->op == (truth ? BinaryOp::logical_and : BinaryOp::logical_or)) {
    assume(b->left, truth);
    assume(b->right, truth);
    return;
  }
  std::vector<Rows> cases = alternatives(condition, truth, 0);
  if (cases.empty()) rows_.push_back(Affine(-1));
  if (cases.size() == 1) rows_.insert(rows_.end(), cases[0].begin(), cases[0].end());
  if (cases.size() > 1) splits_.push_back({std::move(cases), 0});
  if (condition.as<Constant>()) return;
  if (!b || !is_comparison(b->op) || !is_numeric(b->left.type()))
    truths_.emplace_back(context_.normal_parts(condition), truth);
}

bool Theory::states(const Expr& condition, bool truth) {
  Expr normal = context_.normal_parts(condition);
  for (const Theory* t = this; t; t = t->base_)
    for (const auto& [known, value] : t->truths_)
      if (value == truth && same(known, normal)) return true;
  return false;
}

bool Theory::positive(const Affine& a) {
  if (a.is_constant()) return a.constant > 0;
  if (!a.ok) return false;
  auto at_least_one = [&](uint32_t atom) {
    for (const Theory* t = this; t; t = t->base_)
      for (const Affine& row : t->rows_)
        if (row.terms.size() == 1 && row.terms[0].m == monomial_of(atom) && row.terms[0].c > 0 && row.constant < 0)
          return true;
    return false;
  };
  if (a.terms.size() == 1 && a.terms[0].c > 0 && a.constant >= 0) {
    bool all = true;
    each_factor(a, [&](uint32_t atom) { all = all && at_least_one(atom); });
    if (all) return true;
  }
  if (depth_ > 0) return false;
  ++depth_;
  bool shown = proves(less_one(a));
  --depth_;
  return shown;
}

// ---------------------------------------------------------------------------------------------------------------------
// Atoms

// What holds of an atom by what it is.
Theory::Rows Theory::rows_of_atom(uint32_t number) {
  const Atom& x = context_.atom(number);
  Affine t = Affine::of(number);
  Rows out;
  switch (x.kind) {
    case Atom::Kind::quotient: {  // d*t <= a <= d*t + d - 1
      out.push_back(x.a);
      out.back().add(t, -x.divisor);
      out.push_back(Affine(x.divisor - 1));
      out.back().add(t, x.divisor);
      out.back().add(x.a, -1);
      break;
    }
    case Atom::Kind::floor_by: {
      Affine low = product(x.b, t);
      out.push_back(difference(x.a, low));
      Affine high = low;
      high.add(x.b);
      high.add(-1);
      out.push_back(difference(high, x.a));
      out.push_back(less_one(x.b));
      break;
    }
    case Atom::Kind::minimum: out = {difference(x.a, t), difference(x.b, t)}; break;
    case Atom::Kind::maximum: out = {difference(t, x.a), difference(t, x.b)}; break;
    default: break;
  }
  std::erase_if(out, [](const Affine& row) { return !row.ok; });
  return out;
}

Theory::Split Theory::split_atom(uint32_t number) {
  const Atom x = context_.atom(number);
  Affine t = Affine::of(number);
  Split out;
  out.id = number;
  auto is = [&](const Affine& value, Rows also) {
    also.push_back(difference(t, value));
    also.push_back(difference(value, t));
    std::erase_if(also, [](const Affine& row) { return !row.ok; });
    out.alternatives.push_back(std::move(also));
  };
  if (x.kind == Atom::Kind::choice) {
    for (Rows& rows : alternatives(x.expr, true, 0)) is(x.a, std::move(rows));
    for (Rows& rows : alternatives(x.expr, false, 0)) is(x.b, std::move(rows));
  } else {
    Affine over = x.kind == Atom::Kind::minimum ? difference(x.b, x.a) : difference(x.a, x.b);
    is(x.a, {over});
    is(x.b, {negative(over)});
  }
  return out;
}

}  // namespace heddle::ir
