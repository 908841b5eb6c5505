// Checks on data: a subscript or range that comes from a tensor cannot be shown inside, so the kernel checks it before
// it reads.
#include <algorithm>

#include "frontend/check/op_checker.h"
#include "ir/visit.h"

namespace heddle::frontend {

namespace {

// The terms of a sum, with their signs.
void terms_of(const ir::Expr& e, bool minus, std::vector<std::pair<ir::Expr, bool>>& out) {
  const auto* b = e.as<ir::Binary>();
  if (!b || (b->op != ir::BinaryOp::add && b->op != ir::BinaryOp::sub)) return out.emplace_back(e, minus), void();
  terms_of(b->left, minus, out);
  terms_of(b->right, minus != (b->op == ir::BinaryOp::sub), out);
}

// `data + rest` where only `data` comes from a tensor, as one number.
bool split_data(const ir::Expr& sub, ir::Expr& data, ir::Expr& rest) {
  std::vector<std::pair<ir::Expr, bool>> terms;
  terms_of(sub, false, terms);
  rest = ir::index_constant(0);
  for (const auto& [term, minus] : terms) {
    if (!ir::mentions_load(term)) {
      rest = minus ? rest - term : rest + term;
      continue;
    }
    if (data.known() || minus || !term.as<ir::Convert>()) return false;
    data = term;
  }
  return data.known();
}

// lo <= end <= hi, with both ends of a range of data.
ir::Expr ends_inside(const ir::Expr& end, const ir::Expr& lo, const ir::Expr& hi) {
  return ir::both(ir::less_equal(lo, end), ir::less_equal(end, hi));
}

}  // namespace

// lo <= data + rest < hi with the data bare on one side, since sums with it could pass 64 bits; and where nothing else speaks of an
// axis that only `rest` mentions, at the ends of that axis, so that the check needs no loop over it.
ir::Expr OpChecker::inside_by_data(const ir::Expr& sub, const ir::BoxDim& box, bool guarded) const {
  ir::Expr data, rest;
  if (!split_data(sub, data, rest)) return ir::both(ir::less_equal(box.lo, sub), ir::less(sub, box.hi));
  ir::Expr low = rest, high = rest, empty = ir::bool_constant(false);
  std::vector<ir::SymbolRange> ends;
  ir::Facts facts = facts_;
  for (const Index& i : scope_.indices) {
    if (!i.lo.known()) continue;
    facts.add_range(i.symbol, i.lo, i.hi);
    if (guarded || ir::mentions(data, i.symbol) || !ir::mentions(rest, i.symbol) || ir::mentions_load(i.lo) ||
        ir::mentions_load(i.hi))
      continue;
    ends.push_back({i.symbol, i.lo, i.hi});
    if (!ir::prove(facts_, ir::less(i.lo, i.hi)))
      empty = ir::binary(ir::BinaryOp::logical_or, empty, ir::less_equal(i.hi, i.lo));
  }
  if (!ends.empty())
    if (ir::Bounds b = ir::bounds_over(rest, ends, facts); b.ok) low = b.lo, high = b.hi;
  ir::Expr inside =
      ir::both(ir::less_equal(ir::simplify(box.lo - low), data), ir::less(data, ir::simplify(box.hi - high)));
  return ir::binary(ir::BinaryOp::logical_or, empty, inside);
}

namespace {

constexpr int64_t most_counted = int64_t{1} << 40;  // no tensor has as many elements

// Integers of 64 bits that are added to, or multiplied with, something in an index expression.
void wide_operands(const ir::Expr& e, bool inside, std::vector<ir::Expr>& out) {
  if (const auto* c = e.as<ir::Convert>()) {
    if (inside && e.type() == ir::ScalarType::index && ir::scalar_bytes(c->value.type()) == 8) out.push_back(e);
    return;
  }
  if (const auto* u = e.as<ir::Unary>()) return wide_operands(u->value, true, out);
  if (const auto* s = e.as<ir::Select>()) return wide_operands(s->yes, inside, out), wide_operands(s->no, inside, out);
  const auto* b = e.as<ir::Binary>();
  if (!b) return;
  inside |= b->op == ir::BinaryOp::add || b->op == ir::BinaryOp::sub || b->op == ir::BinaryOp::mul;
  wide_operands(b->left, inside, out);
  wide_operands(b->right, inside, out);
}

}  // namespace

// The condition under which an access takes place.
ir::Expr OpChecker::guard_of(const Access& access) const {
  ir::Expr guard = access.visible == SIZE_MAX ? scope_.where : ir::Expr();
  for (const ir::Expr& c : access.path) guard = ir::both(guard, c);
  return guard;
}

// A read with `or` may be anywhere, but its subscript does not wrap around into the tensor.
void OpChecker::check_arithmetic(const Access& access, size_t k) {
  std::vector<ir::Expr> wide;
  wide_operands(access.subs[k], false, wide);
  const ir::Expr guard = guard_of(access);
  for (const ir::Expr& data : wide) {
    ir::Expr counts = ends_inside(data, ir::index_constant(-most_counted), ir::index_constant(most_counted));
    if (ir::prove(facts_at(access), counts)) continue;
    if (guard.known()) counts = ir::binary(ir::BinaryOp::logical_or, negation(guard), counts);
    add_check(tried(counts), "`" + excerpt(access.sub_places[k]) + "` is computed of numbers below 2^40", access.place);
  }
}

// A scalar of 64 bits whose sums or products a requirement speaks of is small enough for them.
void OpChecker::bound_operands(const ir::Expr& condition, const Place& place) {
  std::vector<ir::Expr> wide;
  ir::walk(condition, [&](const ir::Expr& node) {
    if (node.type() != ir::ScalarType::index) return true;
    wide_operands(node, false, wide);
    return false;
  });
  for (const ir::Expr& scalar : wide) {
    const ir::Expr counts = ends_inside(scalar, ir::index_constant(-most_counted), ir::index_constant(most_counted));
    for (const ir::Requirement& r : frame_.requirements)
      if (ir::same(r.condition, counts)) return;
    frame_.requirements.push_back({counts, "`" + text(scalar) + "` is a number below 2^40", place});
  }
}

bool OpChecker::depends_on_data(const ir::Expr& e) const {
  if (!e.known()) return false;
  if (ir::mentions_load(e)) return true;
  return std::any_of(scope_.indices.begin(), scope_.indices.end(), [&](const Index& i) {
    return ir::mentions(e, i.symbol) && i.lo.known() && (ir::mentions_load(i.lo) || ir::mentions_load(i.hi));
  });
}

// Ranges of data whose index says nothing about them: far from the ends of 64 bits, so that subscripts, conditions and steps may compute
// with the index.
void OpChecker::check_ranges_of_data() {
  for (const Index& i : scope_.indices) {
    if (!i.lo.known() || scope_.bounded.count(i.symbol)) continue;
    std::vector<ir::Expr> wide;
    wide_operands(i.lo, true, wide);
    wide_operands(i.hi, true, wide);
    for (const ir::Expr& data : wide)
      if (ir::mentions_load(data))
        add_check(tried(ends_inside(data, ir::index_constant(-most_counted), ir::index_constant(most_counted))),
                  "a range of `" + i.name + "` ends below 2^40", i.place);
  }
}

// `for .. { check path => lo <= sub && sub < hi }` over the axes that it needs. An index that runs over a range of data
// is checked by its range, once. Where nothing but inputs is read, the check runs before the first write of the kernel.
void OpChecker::check_data(const Access& access, size_t k) {
  const ir::Expr& sub = access.subs[k];
  const ir::BoxDim& box = frame_.buffer(access.buffer).box[k];
  const Index* whole = ir::mentions_load(sub) ? nullptr : index_of(sub);
  bool by_range = whole && access.path.empty() && !scope_.where.known();
  const ir::Expr guard = guard_of(access);
  ir::Expr inside = inside_by_data(sub, box, guard.known());
  if (by_range) {
    // Both ends, also of an empty range: then no arithmetic on them wraps.
    inside = ir::both(ends_inside(whole->lo, box.lo, box.hi), ends_inside(whole->hi, box.lo, box.hi));
    scope_.bounded.insert(whole->symbol);
  }
  // At data in a range of data: no proof joins the loops of the check to those of the read either.
  const bool over_data =
      ir::mentions_load(sub) && std::any_of(scope_.indices.begin(), scope_.indices.end(), [&](const Index& i) {
        return ir::mentions(sub, i.symbol) && i.lo.known() && (ir::mentions_load(i.lo) || ir::mentions_load(i.hi));
      });
  if (guard.known()) inside = ir::binary(ir::BinaryOp::logical_or, negation(guard), inside);
  if (guard.known() || over_data) {
    if (scope_.guarded.empty() || scope_.guarded.back().place.begin != access.place.begin ||
        scope_.guarded.back().buffer != access.buffer)
      scope_.guarded.push_back(access);
  }

  add_check(tried(inside), "`" + excerpt(access.sub_places[k]) + "` is inside `" + tensors_[access.tensor].name + "`",
            access.place);
}

// Reads that are checked only where a condition holds are tried reads: that they stay inside needs no proof which joins the check to the
// condition, whatever steps make of both. The value for outside is never seen, as the check has failed before.
ir::Expr OpChecker::tried(const ir::Expr& e) const {
  ir::Expr out = e;
  std::vector<Access> open = scope_.guarded;  // inner reads first: outer ones are met with the inner ones rewritten
  for (size_t g = 0; g < open.size(); ++g) {
    const Access& a = open[g];
    auto put = [&](const ir::Expr& node) {
      const auto* l = node.as<ir::Load>();
      if (!l || l->buffer != a.buffer || l->otherwise.known() || l->subs.size() != a.subs.size()) return node;
      for (size_t i = 0; i < a.subs.size(); ++i)
        if (!ir::same(l->subs[i], a.subs[i])) return node;
      const ir::ScalarType type = node.type();
      const ir::Expr zero = type == ir::ScalarType::boolean ? ir::bool_constant(false)
                            : ir::is_float(type)            ? ir::real_constant(type, 0)
                                                            : ir::integer_constant(type, 0);
      return ir::load(type, l->buffer, l->subs, zero);
    };
    out = ir::rewrite(out, put);
    for (size_t later = g + 1; later < open.size(); ++later)
      for (ir::Expr& sub : open[later].subs) sub = ir::rewrite(sub, put);
  }
  return out;
}

void OpChecker::add_equation(ir::Equation equation) {
  if (!scope_.guarded.empty())
    for (ir::Assign& a : equation.assigns) a.value = tried(a.value);
  equation.checks = std::move(stage_checks_);
  stage_checks_.clear();
  equation.scan = scan_.block;
  result_.op.equations.push_back(std::move(equation));
}

namespace {

// Loops of a check that run over a range of data.
int64_t loops_over_data(const ir::StmtForm& check) {
  const auto* loop = std::get_if<ir::For>(&check);
  if (!loop) return 0;
  return (ir::mentions_load(loop->lo) || ir::mentions_load(loop->hi)) + loops_over_data(loop->body.front()->form);
}

}  // namespace

// A check at each point of the axes that the condition mentions, and those that their ranges mention. It comes after those that run over
// fewer ranges of data, which say of such ranges that they end where its own conditions can be computed.
void OpChecker::add_check(const ir::Expr& condition, const std::string& text, const Place& place) {
  std::vector<bool> needed(scope_.indices.size());
  auto need = [&](const ir::Expr& e) {
    for (size_t i = 0; i < needed.size(); ++i)
      needed[i] = needed[i] || (e.known() && ir::mentions(e, scope_.indices[i].symbol));
  };
  need(condition);
  for (size_t i = needed.size(); i-- > 0;)
    if (needed[i]) need(scope_.indices[i].lo), need(scope_.indices[i].hi);

  ir::Substitution loops;
  std::vector<ir::For> nest;
  ir::Check check;
  bool inputs_only = true;
  auto note_loads = [&](const ir::Expr& e) {
    ir::walk(e, [&](const ir::Expr& node) {
      if (const auto* l = node.as<ir::Load>()) inputs_only &= frame_.buffer(l->buffer).role == ir::Role::in;
      return true;
    });
  };
  for (size_t i = 0; i < needed.size(); ++i)
    if (needed[i]) note_loads(scope_.indices[i].lo), note_loads(scope_.indices[i].hi);
  note_loads(condition);
  std::string owner = scope_.stage + "@check" + std::to_string(first_checks_.size() + stage_checks_.size() + 1);
  for (size_t i = 0; i < needed.size(); ++i) {
    if (!needed[i]) continue;
    const Index& index = scope_.indices[i];
    if (scan_.item && !inputs_only && (index.cls == ir::AxisClass::scan || index.cls == ir::AxisClass::scan_reverse)) {
      check.coordinates.push_back(ir::var(index.symbol));  // bound by the loop of the scan (ir/canonical.cpp)
      continue;
    }
    ir::For loop;
    loop.loop = frame_.add(ir::Symbol{index.name, ir::SymbolKind::loop, ir::ScalarType::index, owner, index.place});
    loop.lo = ir::substitute(index.lo, loops);
    loop.hi = ir::substitute(index.hi, loops);
    loops.emplace_back(index.symbol, ir::var(loop.loop));
    check.coordinates.push_back(ir::var(loop.loop));
    nest.push_back(std::move(loop));
  }
  check.condition = ir::substitute(condition, loops);
  check.text = text;
  ir::StmtForm form = std::move(check);
  for (auto l = nest.rbegin(); l != nest.rend(); ++l) {
    l->body = {ir::make_stmt(std::move(form), place)};
    form = std::move(*l);
  }
  std::vector<ir::StmtForm>& checks = inputs_only ? first_checks_ : stage_checks_;
  const int64_t over_data = loops_over_data(form);
  auto at =
      std::find_if(checks.begin(), checks.end(), [&](const ir::StmtForm& c) { return loops_over_data(c) > over_data; });
  checks.insert(at, std::move(form));
}

}  // namespace heddle::frontend
