#include "ir/safety_facts.h"

#include <algorithm>

#include "ir/theory.h"
#include "ir/visit.h"

namespace heddle::ir {
namespace {

constexpr int deepest_matching = 4;  // checks on the subscripts of subscripts
constexpr size_t most_values = 6;    // that are tried as bounds of data

bool is_and(const Expr& e) {
  const Binary* b = e.as<Binary>();
  return b && b->op == BinaryOp::logical_and;
}

// Data inside index arithmetic: the conversion of an integer.
bool is_index_data(const Expr& e) { return e.type() == ScalarType::index && e.as<Convert>(); }

bool holds_scalar(const Program& p, const Expr& e) {
  bool found = false;
  walk(e, [&](const Expr& node) {
    const Var* v = node.as<Var>();
    found |= node.as<Load>() || (v && p.symbol(v->symbol).kind == SymbolKind::scalar);
    return !found;
  });
  return found;
}

bool contains(const std::vector<Expr>& list, const Expr& e) {
  return std::any_of(list.begin(), list.end(), [&](const Expr& x) { return same(x, e); });
}

// Loads of an expression, those inside subscripts first.
void loads_of(const Expr& e, std::vector<Expr>& out) {
  std::vector<Expr> found;
  walk(e, [&](const Expr& node) {
    if (node.as<Load>()) found.push_back(node);
    return true;
  });
  out.insert(out.end(), found.rbegin(), found.rend());
}

}  // namespace

bool has_data(const Expr& e) {
  bool found = false;
  walk(e, [&](const Expr& node) {
    found |= node.as<Load>() || node.as<Convert>();
    return !found;
  });
  return found;
}

SafeFacts::SafeFacts(const Program& program) : program_(&program) {
  for (const DimDefinition& d : program.dims) {
    // Calls refuse a dim that would be negative, a `let` too.
    facts_.add(less_equal(index_constant(0), var(d.dim)));
    if (!d.buffer.known() && d.value.known()) facts_.add(binary(BinaryOp::eq, var(d.dim), d.value));
  }
  for (const Expr& fact : program.facts)
    if (!holds_scalar(program, fact)) facts_.add(fact);
  for (const Parameter& q : program.parameters) {
    if (!q.buffer.known()) continue;
    for (const BoxDim& d : program.buffer(q.buffer).box)
      if (const Expr some = less_equal(index_constant(0), d.hi); !d.hi.as<Var>() && !prove(facts_, some))
        facts_.add(some);
  }
  // Calls test what is said of scalars too; as these are data, only what holds in 64-bit arithmetic counts.
  std::vector<Expr> of_scalars;
  for (const Requirement& r : program.requirements) of_scalars.push_back(r.condition);
  of_scalars.insert(of_scalars.end(), program.facts.begin(), program.facts.end());
  for (const Expr& fact : of_scalars)
    if (holds_scalar(program, fact) && !mentions_load(fact)) assume(fact);
}

bool SafeFacts::touches_data(const Expr& e) const {
  return has_data(e) || std::any_of(wild_.begin(), wild_.end(), [&](SymbolId s) { return mentions(e, s); });
}

void SafeFacts::assume(const Expr& condition) { assume_at(condition, 0); }

void SafeFacts::assume_at(const Expr& condition, int depth) {
  if (!condition.known()) return;
  if (!touches_data(condition)) {
    facts_.add(condition);
    return settle_ranges();
  }
  bring_in_loads(condition, depth);
  open_.clear();
  std::vector<Expr> open{condition}, parts;
  while (!open.empty()) {
    Expr e = open.back();
    open.pop_back();
    if (is_and(e)) {
      open.push_back(e.as<Binary>()->right);
      open.push_back(e.as<Binary>()->left);
    } else if (lasting(e)) {
      parts.push_back(e);
    }
  }
  // One part may bound the data of another, whichever is written first.
  for (int round = 0; round < 2; ++round)
    for (const Expr& e : parts)
      if (usable(e)) note_bounds(e);
  for (const Expr& e : parts)
    if (usable(e) && !contains(facts_.conditions(), e)) facts_.add(e);  // several checks may say the same
  open_.clear();
  settle_ranges();
}

// `if 4*o + i < n then off[4*o + i] else 0`, the end of a range below a partial block, is `off[4*o + i]` where the guard is known.
void SafeFacts::settle_ranges() {
  for (size_t at = 0; at < unsettled_.size(); ++at) {
    const SymbolRange range = unsettled_[at];
    auto settled = [&](const Expr& end, bool& open) {
      const Select* s = end.as<Select>();
      if (!s) return end;
      const bool holds = !touches_data(s->condition) && prove(facts_, s->condition);
      open |= !holds;
      return holds ? s->yes : end;
    };
    bool open = false;
    const Expr lo = settled(range.lo, open), hi = settled(range.hi, open);
    if (open) continue;
    unsettled_.erase(unsettled_.begin() + static_cast<std::ptrdiff_t>(at--));
    std::erase(wild_, range.symbol);
    brought_.clear();  // checks that could not be joined to these loads before may be now
    assume_range(range.symbol, lo, hi);
  }
}

void SafeFacts::assume_not(const Expr& condition) {
  if (!condition.known()) return;
  if (const Unary* u = condition.as<Unary>(); u && u->op == UnaryOp::logical_not) return assume(u->value);
  if (const Binary* b = condition.as<Binary>()) {
    if (b->op == BinaryOp::logical_or) {
      assume_not(b->left);
      return assume_not(b->right);
    }
    if (is_comparison(b->op) && is_numeric(b->left.type())) return assume(binary(negated(b->op), b->left, b->right));
  }
  assume(unary(UnaryOp::logical_not, condition));
}

void SafeFacts::assume_range(SymbolId symbol, const Expr& lo, const Expr& hi, const std::set<BufferId>& written) {
  if (!touches_data(lo) && !touches_data(hi)) return facts_.add_range(symbol, lo, hi);
  // `lo .. if c then hi else lo` has the iterations of `lo .. hi` or none, and so has `lo .. if c then lo else hi`.
  if (const Select* once = hi.as<Select>(); once && (same(once->no, lo) || same(once->yes, lo))) {
    const bool where_it_holds = same(once->no, lo);
    if (lasting(once->condition, written)) where_it_holds ? assume(once->condition) : assume_not(once->condition);
    return assume_range(symbol, lo, where_it_holds ? once->yes : once->no, written);
  }
  const Expr at_least = less_equal(lo, var(symbol)), below = less(var(symbol), hi);
  bring_in_loads(lo, 0);
  bring_in_loads(hi, 0);
  // Bare against its bounds: so the loop runs, whatever they are.
  auto side = [&](const Expr& e) { return lasting(e, written) && (is_index_data(e) || bounded(e)); };
  // Below `min(k, data)` is below k, whatever the data is, and from `max(0, data)` on not below 0.
  auto known_part = [&](const Expr& end, BinaryOp op, auto fact) {
    if (const Binary* of = end.as<Binary>(); of && of->op == op)
      for (const Expr& e : {of->left, of->right})
        if (!touches_data(e)) facts_.add(fact(e));
  };
  if (side(lo)) facts_.add(at_least);
  else known_part(lo, BinaryOp::max, [&](const Expr& e) { return less_equal(e, var(symbol)); });
  if (side(hi)) facts_.add(below);
  else known_part(hi, BinaryOp::min, [&](const Expr& e) { return less(var(symbol), e); });
  open_.clear();
  if (bounded(lo) && bounded(hi)) return;
  wild_.push_back(symbol);
  if ((lo.as<Select>() || hi.as<Select>()) && lasting(lo, written) && lasting(hi, written))
    unsettled_.push_back({symbol, lo, hi});
}

void SafeFacts::passed(PassedCheck check) {
  if (lasting(check.condition)) checks_.push_back(std::move(check));
}

// ---------------------------------------------------------------------------------------------------------------------
// Data

bool SafeFacts::is_tame(const Expr& data) const {
  const Convert* c = data.as<Convert>();
  if (c && is_integer(c->value.type()) && scalar_bytes(c->value.type()) < 8) return true;
  if (contains(open_, data)) return false;
  const bool both = (contains(at_least_, data) || follows_bound(data, false)) &&
                    (contains(at_most_, data) || follows_bound(data, true));
  if (!both) open_.push_back(data);
  return both;
}

// By proof, from several facts: one of the values that data is compared with bounds it.
bool SafeFacts::follows_bound(const Expr& data, bool upper) const {
  std::vector<Expr> values{index_constant(0)};
  for (const Expr& fact : facts_.conditions())
    walk(fact, [&](const Expr& e) {
      const Binary* b = e.as<Binary>();
      if (!b || !is_comparison(b->op)) return e.type() == ScalarType::boolean;
      const Expr left = as_index(b->left, false), right = as_index(b->right, false);
      if (!left.known() || !right.known()) return false;
      for (const auto& [from, value] : {std::pair(left, right), std::pair(right, left)})
        if (touches_data(from) && !touches_data(value) && values.size() < most_values && !contains(values, value))
          values.push_back(value);
      return false;
    });
  for (const Expr& value : values)
    if (prove(facts_, upper ? less_equal(data, value) : less_equal(value, data))) {
      (upper ? at_most_ : at_least_).push_back(data);
      return true;
    }
  return false;
}

bool SafeFacts::bounded(const Expr& index) const {
  bool fits = true;
  walk(index, [&](const Expr& node) {
    const Var* v = node.as<Var>();
    const bool wild = v && std::find(wild_.begin(), wild_.end(), v->symbol) != wild_.end();
    if (!is_index_data(node) && !wild) return fits;
    fits = fits && is_tame(node);
    return false;
  });
  return fits;
}

bool SafeFacts::usable(const Expr& e) const {
  if (const Unary* u = e.as<Unary>(); u && u->op == UnaryOp::logical_not) return usable(u->value);
  if (const Select* s = e.as<Select>()) return usable(s->condition) && usable(s->yes) && usable(s->no);
  const Binary* b = e.as<Binary>();
  if (!b) return true;
  if (b->op == BinaryOp::logical_and || b->op == BinaryOp::logical_or) return usable(b->left) && usable(b->right);
  auto side = [&](const Expr& x) { return x.type() != ScalarType::index || is_index_data(x) || bounded(x); };
  return side(b->left) && side(b->right);
}

// The same value as data in index arithmetic; none when it has no such form.
Expr SafeFacts::as_index(const Expr& e, bool look_inside) const {
  if (e.type() == ScalarType::index) return e;
  if (!is_integer(e.type()) || e.type() == ScalarType::u64) return {};
  if (const int64_t* value = constant_value(e)) return index_constant(*value);
  const Convert* c = e.as<Convert>();
  const bool of_index = c && e.type() == ScalarType::i64 && c->value.type() == ScalarType::index;
  if (of_index && (look_inside ? bounded(c->value) : !touches_data(c->value))) return c->value;
  return convert(ScalarType::index, e);
}

void SafeFacts::note_bounds(const Expr& condition) {
  const Binary* b = condition.as<Binary>();
  if (!b || !is_comparison(b->op)) return;
  const Expr left = as_index(b->left), right = as_index(b->right);
  if (!left.known() || !right.known()) return;
  auto note = [](std::vector<Expr>& list, const Expr& e) {
    if (!contains(list, e)) list.push_back(e);
  };
  const bool up = b->op == BinaryOp::lt || b->op == BinaryOp::le, down = b->op == BinaryOp::gt || b->op == BinaryOp::ge;
  const bool both = b->op == BinaryOp::eq;
  if (is_index_data(left) && bounded(right)) {
    if (up || both) note(at_most_, left);
    if (down || both) note(at_least_, left);
  }
  if (is_index_data(right) && bounded(left)) {
    if (up || both) note(at_least_, right);
    if (down || both) note(at_most_, right);
  }
}

// What it loads stays: memory that can be read twice with one result. A register that was never written cannot.
bool SafeFacts::lasting(const Expr& condition, const std::set<BufferId>& written) const {
  bool fits = true;
  walk(condition, [&](const Expr& node) {
    const Load* l = node.as<Load>();
    if (!l) return fits;
    const Buffer& b = program_->buffer(l->buffer);
    const bool registers = b.role == Role::temporary && (b.memory == Memory::registers || b.memory == Memory::tile);
    fits = fits && !registers && !changing_.count(l->buffer) && !written.count(l->buffer);
    return fits;
  });
  return fits;
}

void SafeFacts::forget(const std::set<BufferId>& written) {
  auto speaks = [&](const Expr& e) {
    bool found = false;
    walk(e, [&](const Expr& node) {
      const Load* l = node.as<Load>();
      found |= l && written.count(l->buffer);
      return !found;
    });
    return found;
  };
  if (std::any_of(facts_.conditions().begin(), facts_.conditions().end(), speaks)) {
    Facts left;
    for (const Expr& c : facts_.conditions())
      if (!speaks(c)) left.add(c);
    facts_ = std::move(left);
  }
  open_.clear();
  std::erase_if(at_least_, speaks);
  std::erase_if(at_most_, speaks);
  std::erase_if(brought_, speaks);
  std::erase_if(unsettled_, [&](const SymbolRange& r) { return speaks(r.lo) || speaks(r.hi); });
  std::erase_if(checks_, [&](const PassedCheck& c) {
    return speaks(c.condition) || std::any_of(c.over.begin(), c.over.end(),
                                              [&](const SymbolRange& r) { return speaks(r.lo) || speaks(r.hi); });
  });
}

void SafeFacts::distrust(const std::set<BufferId>& written) {
  forget(written);
  changing_.insert(written.begin(), written.end());
}

// ---------------------------------------------------------------------------------------------------------------------
// Questions

bool SafeFacts::proves(const Expr& condition) {
  if (touches_data(condition)) {
    bring_in_loads(condition, 0);
    if (contains(facts_.conditions(), condition)) return true;
    if (!usable(condition)) return false;
  }
  return prove(facts_, condition);
}

void SafeFacts::bring_in_loads(const Expr& e, int depth) {
  if (checks_.empty()) return;
  std::vector<Expr> loads;
  loads_of(e, loads);
  for (const Expr& l : loads) bring_in(l, depth);
}

void SafeFacts::bring_in(const Expr& load, int depth) {
  if (depth > deepest_matching || contains(brought_, load)) return;
  brought_.push_back(load);
  const std::vector<PassedCheck> checks = checks_;
  for (const PassedCheck& check : checks) {
    std::vector<Expr> patterns;
    loads_of(check.condition, patterns);
    for (const Expr& pattern : patterns)
      if (pattern.as<Load>()->buffer == load.as<Load>()->buffer) match(check, pattern, load, depth);
  }
}

// The check at the iteration whose load this is, if there is one: the subscripts of the pattern say which.
void SafeFacts::match(const PassedCheck& check, const Expr& pattern, const Expr& load, int depth) {
  const std::vector<Expr>&from = pattern.as<Load>()->subs, &to = load.as<Load>()->subs;
  Substitution point;
  auto value_of = [&](SymbolId id) -> const Expr* {
    for (const auto& [symbol, value] : point)
      if (symbol == id) return &value;
    return nullptr;
  };
  for (size_t i = 0; i < from.size() && i < to.size(); ++i) {
    for (const SymbolRange& r : check.over) {
      if (value_of(r.symbol)) continue;
      const AffineIn in = affine_in(from[i], r.symbol);  // `r`, `r + 1`
      if (in.ok && in.coefficient == 1) point.emplace_back(r.symbol, simplify(to[i] - substitute(in.rest, point)));
    }
  }
  for (size_t i = 0; i < from.size() && i < to.size(); ++i)
    if (!equal(substitute(from[i], point), to[i])) return;
  for (const SymbolRange& r : check.over) {
    const Expr* at = value_of(r.symbol);
    if (!at) return;
    for (const Expr& bound : {less_equal(substitute(r.lo, point), *at), less(*at, substitute(r.hi, point))}) {
      bring_in_loads(bound, depth + 1);
      if (!usable(bound) || !prove(facts_, bound)) return;
    }
  }
  assume_at(substitute(check.condition, point), depth + 1);
}

}  // namespace heddle::ir
