// Expressions to affine forms, over one numbering of atoms.
#include <algorithm>
#include <numeric>

#include "ir/affine.h"
#include "support/result.h"

namespace heddle::ir {
namespace {

constexpr uint32_t max_atoms = 0xFFFF;
// Nested divisions share their numerators, so a small form may stand for a huge tree: past this an atom is unknown.
constexpr int max_atom_size = 1'000;

// The direct parts of a node.
template <class F>
void each_part(const Expr& e, F f) {
  auto list = [&](const std::vector<Expr>& parts) {
    for (const Expr& p : parts) f(p);
  };
  std::visit(overloaded{
                 [&](const Constant&) {},
                 [&](const Var&) {},
                 [&](const Load& l) {
                   list(l.subs);
                   f(l.otherwise);
                 },
                 [&](const StateField& s) { list(s.subs); },
                 [&](const Unary& u) { f(u.value); },
                 [&](const Binary& b) {
                   f(b.left);
                   f(b.right);
                 },
                 [&](const Select& s) {
                   f(s.condition);
                   f(s.yes);
                   f(s.no);
                 },
                 [&](const MathCall& c) { list(c.args); },
                 [&](const Convert& c) { f(c.value); },
             },
             e->form);
}

int count_nodes(const Expr& e, int limit) {
  int count = 0;
  std::vector<const Expr*> todo{&e};
  while (!todo.empty() && count < limit) {
    const Expr* at = todo.back();
    todo.pop_back();
    if (!at->known()) continue;
    ++count;
    each_part(*at, [&](const Expr& part) { todo.push_back(&part); });
  }
  return count;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// Atoms

AffineContext::AffineContext(AffineOracle* oracle, const AffineContext* base)
    : oracle_(oracle), base_(base), first_(base ? base->atom_count() : 0) {
  expand_symbolic_mod = base && base->expand_symbolic_mod;
}

const Atom& AffineContext::atom(uint32_t number) const {
  return number > first_ ? own_[number - first_ - 1] : base_->atom(number);
}

const Atom* AffineContext::find(SymbolId symbol, uint32_t& number) const {
  for (size_t i = 0; i < own_.size(); ++i)
    if (own_[i].kind == Atom::Kind::symbol && own_[i].expr.as<Var>()->symbol == symbol) {
      number = first_ + static_cast<uint32_t>(i) + 1;
      return &own_[i];
    }
  return base_ ? base_->find(symbol, number) : nullptr;
}

uint32_t AffineContext::intern(Atom atom) {
  atom.size = count_nodes(atom.expr, max_atom_size);
  for (const Affine* part : {&atom.a, &atom.b})
    for (const AffineTerm& t : part->terms)
      for (int place = 0; place < 4 && factor(t.m, place); ++place)
        atom.size += 1 + this->atom(factor(t.m, place)).size;
  if (atom.size >= max_atom_size) return 0;
  auto equal = [&](const Atom& x) {
    if (x.kind != atom.kind || x.divisor != atom.divisor) return false;
    if (x.expr.known() != atom.expr.known() || (x.expr.known() && !same(x.expr, atom.expr))) return false;
    if (x.a == atom.a && x.b == atom.b) return true;
    bool commutes = x.kind == Atom::Kind::minimum || x.kind == Atom::Kind::maximum;
    return commutes && x.a == atom.b && x.b == atom.a;
  };
  for (const AffineContext* c = this; c; c = c->base_)
    for (size_t i = 0; i < c->own_.size(); ++i)
      if (equal(c->own_[i])) return c->first_ + static_cast<uint32_t>(i) + 1;
  if (atom_count() >= max_atoms) return 0;
  own_.push_back(std::move(atom));
  return atom_count();
}

uint32_t AffineContext::fresh() {
  own_.push_back(Atom{});
  return atom_count();
}

bool AffineContext::mentions(uint32_t number, SymbolId symbol) const {
  const Atom& x = atom(number);
  bool found = mentions(x.a, symbol) || mentions(x.b, symbol);
  std::vector<const Expr*> todo{&x.expr};
  while (!todo.empty() && !found) {
    const Expr* at = todo.back();
    todo.pop_back();
    if (!at->known()) continue;
    if (const Var* v = at->as<Var>()) found = v->symbol == symbol;
    each_part(*at, [&](const Expr& part) { todo.push_back(&part); });
  }
  return found;
}

bool AffineContext::mentions(const Affine& a, SymbolId symbol) const {
  for (const AffineTerm& t : a.terms)
    for (int place = 0; place < 4 && factor(t.m, place); ++place)
      if (mentions(factor(t.m, place), symbol)) return true;
  return false;
}

bool AffineContext::define(SymbolId symbol, const Expr& value) {
  for (const Definition& d : definitions_)
    if (d.symbol == symbol) return false;
  Affine a = convert(value);
  if (!a.ok || mentions(a, symbol)) return false;
  // Rebuilt, so that it speaks of no symbol that the normal form does not: then definitions cannot run in circles.
  definitions_.push_back({symbol, rebuild(a), {}, false});
  // An earlier value may speak of the symbol just defined.
  for (Definition& d : definitions_) d.known = false;
  return true;
}

void AffineContext::settle_definitions() {
  for (Definition& d : definitions_) d.known = false;
  for (size_t i = 0; i < definitions_.size(); ++i) {
    Affine a = convert(definitions_[i].value);
    definitions_[i].memo = std::move(a);
    definitions_[i].known = true;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// From expressions

Affine AffineContext::opaque(const Expr& e) {
  Atom atom;
  atom.expr = normal_parts(e);
  uint32_t number = intern(std::move(atom));
  return number ? Affine::of(number) : Affine::unknown();
}

Affine AffineContext::convert_var(const Expr& e, SymbolId symbol) {
  for (const AffineContext* c = this; c; c = c->base_)
    for (size_t i = 0; i < c->definitions_.size(); ++i) {
      if (c->definitions_[i].symbol != symbol) continue;
      if (c->definitions_[i].known) return c->definitions_[i].memo;
      // What could not be opened up now may be later: that form is not kept.
      bool before = met_unknown_divisor;
      met_unknown_divisor = false;
      Affine a = convert(definitions_[i].value);
      if (a.ok && !met_unknown_divisor) {
        definitions_[i].memo = a;
        definitions_[i].known = true;
      }
      met_unknown_divisor |= before;
      return a;
    }
  uint32_t number = 0;
  if (find(symbol, number)) return Affine::of(number);
  if (atom_count() >= max_atoms) return Affine::unknown();
  Atom atom;
  atom.kind = Atom::Kind::symbol;
  atom.expr = e;
  own_.push_back(std::move(atom));
  return Affine::of(atom_count());
}

Affine AffineContext::convert(const Expr& e) {
  if (--budget_ < 0 || !e.known()) return Affine::unknown();
  if (const Constant* c = e.as<Constant>())
    return is_float(e.type()) || e.type() == ScalarType::u64 ? opaque(e) : Affine(c->integer);
  if (const Var* v = e.as<Var>()) return convert_var(e, v->symbol);
  if (e.type() != ScalarType::index) return opaque(e);
  if (const Binary* b = e.as<Binary>()) return convert_binary(e, *b);
  if (const Unary* u = e.as<Unary>(); u && u->op == UnaryOp::negate) {
    Affine a = convert(u->value);
    a.scale(-1);
    return a;
  }
  if (const Convert* c = e.as<Convert>()) {
    // The value of a data integer: the conversion changes nothing but the type.
    ScalarType from = c->value.type();
    return is_integer(from) && from != ScalarType::u64 ? convert(c->value) : opaque(e);
  }
  if (const Select* s = e.as<Select>()) {
    Atom atom;
    atom.kind = Atom::Kind::choice;
    atom.expr = oracle_->condition(s->condition);
    if (const int64_t* known = constant_value(atom.expr)) return convert(*known ? s->yes : s->no);
    atom.a = convert(s->yes);
    atom.b = convert(s->no);
    if (!atom.a.ok || !atom.b.ok) return Affine::unknown();
    if (atom.a == atom.b) return atom.a;
    uint32_t number = intern(std::move(atom));
    return number ? Affine::of(number) : Affine::unknown();
  }
  return opaque(e);
}

Affine AffineContext::convert_binary(const Expr& e, const Binary& b) {
  if (b.op == BinaryOp::add || b.op == BinaryOp::sub) {
    // Long chains lean to the left: walk down instead of recursing, then add in the order of writing.
    std::vector<std::pair<const Expr*, int>> parts;
    const Expr* at = &e;
    const Binary* chain = &b;
    while (chain && (chain->op == BinaryOp::add || chain->op == BinaryOp::sub)) {
      parts.emplace_back(&chain->right, chain->op == BinaryOp::add ? 1 : -1);
      at = &chain->left;
      chain = at->as<Binary>();
    }
    Affine sum = convert(*at);
    for (auto part = parts.rbegin(); part != parts.rend() && sum.ok; ++part)
      sum.add(convert(*part->first), part->second);
    return sum;
  }
  Affine left = convert(b.left);
  Affine right = convert(b.right);
  if (!left.ok || !right.ok) return Affine::unknown();
  switch (b.op) {
    case BinaryOp::mul: return product(left, right);
    case BinaryOp::div:
    case BinaryOp::mod:
    case BinaryOp::ceildiv: return divide_by(e, b.op, std::move(left), right);
    case BinaryOp::min: return pick(true, std::move(left), std::move(right));
    case BinaryOp::max: return pick(false, std::move(left), std::move(right));
    default: return opaque(e);
  }
}

Affine AffineContext::divide_by(const Expr& e, BinaryOp op, Affine a, const Affine& b) {
  if (!b.is_constant()) return by_symbol(e, op, a, b);
  int64_t d = b.constant;
  if (d == 0 && op != BinaryOp::ceildiv) return Affine(0);
  if (d == INT64_MIN || (d <= 0 && op == BinaryOp::ceildiv)) return opaque(e);
  if (op == BinaryOp::ceildiv) {
    a.add(d - 1);
    return quotient(std::move(a), d, true);
  }
  Affine whole = a;  // floor(a / -d) = floor(-a / d)
  if (d < 0) a.scale(-1);
  Affine q = quotient(std::move(a), d < 0 ? -d : d, false);
  if (op == BinaryOp::div) return q;
  whole.add(q, -d);
  return whole;
}

Affine AffineContext::quotient(Affine a, int64_t d, bool ceil) {
  if (!a.ok) return a;
  Affine whole(floor_div(a.constant, d));
  Affine rest(a.constant - d * whole.constant);
  for (const AffineTerm& t : a.terms) {
    if (t.c / d != 0) whole.terms.push_back({t.m, t.c / d});
    if (t.c % d != 0) rest.terms.push_back({t.m, t.c % d});
  }
  if (rest.terms.empty()) return whole;
  int64_t g = std::gcd(coefficient_gcd(rest), d);
  if (g > 1) {
    for (AffineTerm& t : rest.terms) t.c /= g;
    rest.constant = floor_div(rest.constant, g);
    d /= g;
  }
  if (rest.terms.size() == 1 && rest.terms[0].c == 1 && is_linear(rest.terms[0].m)) {
    const Atom& inner = atom(factor(rest.terms[0].m, 0));
    int64_t both = 0;
    if (inner.kind == Atom::Kind::quotient && !__builtin_mul_overflow(inner.divisor, d, &both)) {
      Affine numerator = inner.a;
      numerator.add(Affine(rest.constant), inner.divisor);
      whole.add(quotient(std::move(numerator), both, ceil && inner.ceil));
      return whole;
    }
  }
  if (inside(rest, d)) return whole;
  // floor((g x + y) / (g d)) = floor(x / d) where y is inside 0 .. g.
  for (const AffineTerm& of : rest.terms) {
    const int64_t part = std::gcd(of.c, d);
    if (part == 1) continue;
    Affine x(floor_div(rest.constant, part)), y(rest.constant - part * x.constant);
    for (const AffineTerm& t : rest.terms) (t.c % part == 0 ? x : y).terms.push_back(t);
    if (!inside(y, part)) continue;
    for (AffineTerm& t : x.terms) t.c /= part;
    whole.add(quotient(std::move(x), d / part, ceil));
    return whole;
  }
  Atom atom;
  atom.kind = Atom::Kind::quotient;
  atom.a = std::move(rest);
  atom.divisor = d;
  atom.ceil = ceil;
  uint32_t number = intern(std::move(atom));
  if (!number) return Affine::unknown();
  whole.add(Affine::of(number));
  return whole;
}

bool AffineContext::inside(const Affine& a, int64_t end) {
  Affine above(end - 1);
  above.add(a, -1);
  return above.ok && oracle_->nonnegative(a) && oracle_->nonnegative(above);
}

Affine AffineContext::by_symbol(const Expr& e, BinaryOp op, const Affine& a, const Affine& b) {
  if (!oracle_->positive(b)) {
    met_unknown_divisor = true;
    return opaque(e);
  }
  Affine rest = a, whole;
  if (op == BinaryOp::ceildiv) {
    rest.add(b);
    rest.add(-1);
  }
  if (b.terms.size() == 1 && b.constant == 0 && b.terms[0].c > 0) {
    // floor((b*x + y) / b) = x + floor(y / b)
    const Affine all = rest;
    for (const AffineTerm& t : all.terms) {
      Affine part;
      AffineTerm q{0, t.c / b.terms[0].c};
      if (t.c % b.terms[0].c != 0 || !divide(t.m, b.terms[0].m, q.m)) continue;
      if (q.m == 0) part.constant = q.c;
      else part.terms.push_back(q);
      whole.add(part);
      part.terms.assign(1, t);
      part.constant = 0;
      rest.add(part, -1);
    }
  }
  Affine above = difference(b, rest);
  above.add(-1);
  bool is_remainder = rest.is_zero() || (oracle_->nonnegative(rest) && oracle_->nonnegative(above));
  if (op == BinaryOp::mod && is_remainder) return rest;
  if (is_remainder) return whole;
  if (op == BinaryOp::mod && !expand_symbolic_mod) {
    Expr left = rebuild(rest), right = rebuild(b);
    Atom atom;
    atom.expr = binary(op, left, right);
    uint32_t number = intern(std::move(atom));
    return number ? Affine::of(number) : Affine::unknown();
  }
  Atom atom;
  atom.kind = Atom::Kind::floor_by;
  atom.a = rest;
  atom.b = b;
  atom.ceil = op == BinaryOp::ceildiv;
  uint32_t number = intern(std::move(atom));
  if (!number) return Affine::unknown();
  if (op == BinaryOp::mod) return difference(rest, product(b, Affine::of(number)));
  whole.add(Affine::of(number));
  return whole;
}

Affine AffineContext::pick(bool minimum, Affine a, Affine b) {
  Affine over = difference(b, a);
  if (!over.ok) return over;
  if (over.is_constant()) return (over.constant >= 0) == minimum ? a : b;
  Atom::Kind kind = minimum ? Atom::Kind::minimum : Atom::Kind::maximum;
  auto covers = [&](const Affine& outer, const Affine& part) {
    if (outer.terms.size() != 1 || outer.constant != 0 || outer.terms[0].c != 1 || !is_linear(outer.terms[0].m))
      return false;
    const Atom& x = atom(factor(outer.terms[0].m, 0));
    return x.kind == kind && (x.a == part || x.b == part);
  };
  if (covers(a, b)) return a;
  if (covers(b, a)) return b;
  if (oracle_->nonnegative(over)) return minimum ? a : b;
  over.scale(-1);
  if (oracle_->nonnegative(over)) return minimum ? b : a;
  Atom atom;
  atom.kind = kind;
  atom.a = std::move(a);
  atom.b = std::move(b);
  uint32_t number = intern(std::move(atom));
  return number ? Affine::of(number) : Affine::unknown();
}

Expr AffineContext::normal_parts(const Expr& e) {
  auto part = [&](Expr& x) {
    if (!x.known()) return;
    if (x.type() == ScalarType::boolean) {
      x = oracle_->condition(x);
    } else if (x.type() == ScalarType::index) {
      if (Affine a = convert(x); a.ok) x = rebuild(a);
    } else if (--budget_ > 0) {
      x = normal_parts(x);
    }
  };
  auto parts = [&](std::vector<Expr>& list) {
    for (Expr& x : list) part(x);
  };
  ScalarType type = e.type();
  return std::visit(overloaded{
                        [&](const Constant&) { return e; },
                        [&](const Var&) { return e; },
                        [&](Load l) {
                          parts(l.subs);
                          part(l.otherwise);
                          return make_expr(type, std::move(l));
                        },
                        [&](StateField s) {
                          parts(s.subs);
                          return make_expr(type, std::move(s));
                        },
                        [&](Unary u) {
                          part(u.value);
                          return unary(u.op, u.value);
                        },
                        [&](Binary b) {
                          part(b.left);
                          part(b.right);
                          return binary(b.op, b.left, b.right);
                        },
                        [&](Select s) {
                          part(s.condition);
                          part(s.yes);
                          part(s.no);
                          return select(s.condition, s.yes, s.no);
                        },
                        [&](MathCall c) {
                          parts(c.args);
                          return make_expr(type, std::move(c));
                        },
                        [&](Convert c) {
                          part(c.value);
                          return make_expr(type, std::move(c));
                        },
                    },
                    e->form);
}

}  // namespace heddle::ir
