// `p[r] = argmax[c] x[r, c]`: two stages. `p_best` reduces pairs of a value and its index by a reducer of the total order that
// docs/numerics.md names, so that it is exact under every order of combining; `p` takes the index.
#include <algorithm>
#include <cmath>

#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/integer.h"
#include "ir/visit.h"

namespace heddle::frontend {

using ir::ScalarType;

namespace {

// best, pos: the state of `argmax`. A state without a value has pos = -1.
enum Field { best, pos };

ir::Expr state_field(int side, Field f, ScalarType type) {
  return ir::make_expr(f == best ? type : ScalarType::i64, ir::StateField{side, f, {}});
}

ir::Expr is_nan(const ir::Expr& e) { return ir::binary(ir::BinaryOp::ne, e, e); }
ir::Expr is_number(const ir::Expr& e) { return ir::binary(ir::BinaryOp::eq, e, e); }

ir::Expr any_of(const ir::Expr& a, const ir::Expr& b) { return ir::binary(ir::BinaryOp::logical_or, a, b); }

// `x` goes before `y`: NaN before all numbers.
ir::Expr beats(const ir::Expr& x, const ir::Expr& y, bool greatest) {
  ir::Expr by_value = ir::binary(greatest ? ir::BinaryOp::gt : ir::BinaryOp::lt, x, y);
  return ir::is_float(x.type()) ? any_of(by_value, ir::both(is_nan(x), is_number(y))) : by_value;
}

ir::Expr worst(ScalarType type, bool greatest) {
  if (!ir::is_float(type)) return ir::integer_constant(type, greatest ? ir::integer_min(type) : ir::integer_max(type));
  const ir::ScalarRow& row = ir::scalar_row(type);
  double most = row.has_infinity ? HUGE_VAL : row.max_finite;
  return ir::real_constant(type, greatest ? -most : most);
}

}  // namespace

// The value whose greatest or least is sought; none after a diagnostic.
ir::Expr OpChecker::extremum(const ast::Reduction& r, const Tensor& target) {
  const std::string name = r.reducer.text();
  if (!binders(r)) return {};
  Diagnostic d(codes::wrong_operand, r.place, "");
  size_t reduced = 0;
  for (const Index& i : scope_.indices) reduced += i.cls == ir::AxisClass::reduce;
  if (reduced != 1) {
    d.message = "`" + name + "` gives one index, so it runs over one";
  } else if (r.condition) {
    d.place = r.condition->place;
    d.message = "`" + name + "` takes no `where`: what it leaves may be empty";
    d.help = "give what is left out a value that never wins: `if .. then .. else " +
             std::string(name == "argmax" ? "-inf" : "inf") + "`";
  } else if (!r.body) {
    d.message = "`" + name + "` has no fields: it takes one value";
  } else if (target.result && frame_.buffer(target.buffers[0]).type != ScalarType::i64) {
    d.code = codes::silent_conversion.id;
    d.message = "`" + name + "` gives an index of type `i64`, and `" + target.name + "` is `" +
                std::string(ir::scalar_type_name(frame_.buffer(target.buffers[0]).type)) + "`";
    d.labels.push_back({target.place, "`" + target.name + "` is declared here"});
    d.help = "declare `" + target.name + "` as `i64`, or convert the result in a stage of its own";
  }
  if (!d.message.empty()) {
    report(std::move(d));
    return {};
  }
  ir::Expr v = value(*r.body);
  if (!v.known()) return v;
  if (v.type() == ScalarType::boolean || v.type() == ScalarType::index) {
    bool index = v.type() == ScalarType::index;
    report(Diagnostic(codes::wrong_operand, r.body->place,
                      "`" + name + "` takes numbers, and this is " + (index ? "an index" : "`bool`"))
               .with_help(index ? "convert it: `i64(" + excerpt(r.body->place) + ")`"
                                : "write `if .. then 1 else 0` with a type"));
    return {};
  }
  scope_.extremum = name;
  return v;
}

// A range of data is checked before it is read; any other is shown.
bool OpChecker::never_empty(const Index& index, const Place& place) {
  ir::Expr some = ir::less(index.lo, index.hi);
  if (depends_on_data(index.lo) || depends_on_data(index.hi)) {
    add_check(some, "`" + scope_.extremum + "` of `" + scope_.stage + "` has at least one value", place);
    return true;
  }
  if (!options_.show_bounds) return true;
  ir::Facts facts = facts_;
  for (const Index& i : scope_.indices)
    if (i.cls != ir::AxisClass::reduce) facts.add_range(i.symbol, i.lo, i.hi);
  if (ir::prove(facts, some)) return true;
  if (options_.definition && mentions_const(some)) {
    result_.deferred = true;
    return true;
  }
  ir::Expr rest = ir::simplify(index.hi - index.lo);
  bool of_indices = false;
  for (const Index& i : scope_.indices) of_indices |= ir::mentions(rest, i.symbol);
  Diagnostic d(codes::read_outside, place,
               "cannot show that `" + index.name + "` takes a value: an empty `" + scope_.extremum + "` has no index");
  d.labels.push_back({index.range_place.known() ? index.range_place : index.place,
                      "`" + index.name + "` runs over `" + text(index.lo) + " .. " + text(index.hi) + "`"});
  d.help = of_indices ? "write a range that is never empty" : "add `require " + text(rest) + " >= 1, \"..\"`";
  report(std::move(d));
  return false;
}

std::string OpChecker::fresh_name(std::string name) const {
  auto taken = [&](const std::string& n) {
    if (names_.count(n) || later_.count(n) || packs_.count(n) || frame_.reducer(n) || module_.reducer(n)) return true;
    return std::any_of(frame_.stages.begin(), frame_.stages.end(), [&](const ir::Stage& s) { return s.name == n; });
  };
  while (taken(name)) name += "_";
  return name;
}

// Its row, one for each type; the same for all stages of the op.
std::string OpChecker::extremum_reducer(ScalarType type) {
  const bool greatest = scope_.extremum == "argmax";
  std::string& name = extrema_[{greatest, type}];
  if (!name.empty()) return name;
  name = fresh_name(scope_.extremum + "_" + std::string(ir::scalar_type_name(type)));
  ir::Reducer row;
  row.name = name;
  row.commutes = row.exact = true;
  row.fields = {{"best", type, {}}, {"pos", ScalarType::i64, {}}};
  row.identity = {{best, {}, {}, worst(type, greatest)}, {pos, {}, {}, ir::integer_constant(ScalarType::i64, -1)}};
  ir::Expr a = state_field(0, best, type), b = state_field(1, best, type);
  ir::Expr a_pos = state_field(0, pos, type), b_pos = state_field(1, pos, type);
  ir::Expr zero = ir::integer_constant(ScalarType::i64, 0);
  ir::Expr first = ir::both(ir::unary(ir::UnaryOp::logical_not, beats(a, b, greatest)), ir::less(b_pos, a_pos));
  ir::Expr wins = any_of(ir::less(a_pos, zero), any_of(beats(b, a, greatest), first));
  ir::Expr take = ir::both(ir::less_equal(zero, b_pos), wins);
  ir::SymbolId local = frame_.add(ir::Symbol{"take", ir::SymbolKind::local, ScalarType::boolean, "", {}});
  ir::Expr taken = ir::var(local, ScalarType::boolean);
  row.combine = {
      {-1, local, {}, take}, {best, {}, {}, ir::select(taken, b, a)}, {pos, {}, {}, ir::select(taken, b_pos, a_pos)}};
  frame_.reducers.push_back(std::move(row));
  return name;
}

bool OpChecker::finish_extremum(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs,
                                const std::vector<int>& groups, const ir::Expr& value) {
  const Index* reduced = nullptr;
  for (const Index& i : scope_.indices)
    if (i.cls == ir::AxisClass::reduce) reduced = &i;
  if (!never_empty(*reduced, eq.right.reduction->place)) return false;
  Tensor state;
  state.name = fresh_name(tensors_[target].name + "_best");
  ir::Equation equation;
  equation.reducer = extremum_reducer(value.type());
  for (Field f : {best, pos}) {
    ir::Buffer buffer;
    buffer.name = state.name;
    buffer.field = f == best ? "best" : "pos";
    buffer.type = f == best ? value.type() : ScalarType::i64;
    buffer.place = eq.place;
    for (const ir::Expr& sub : subs) {
      const Index* index = index_of(sub);
      buffer.box.push_back({index->name, index->lo, index->hi});
    }
    ir::Assign assign;
    assign.buffer = frame_.add(std::move(buffer));
    assign.subs = subs;
    assign.kind = ir::AssignKind::combine;
    assign.value = f == best ? value : ir::convert(ScalarType::i64, ir::var(reduced->symbol));
    state.buffers.push_back(assign.buffer);
    equation.assigns.push_back(std::move(assign));
  }
  for (const Index& i : scope_.indices) frame_.symbols[i.symbol.value].owner = state.name;
  equation.stage = frame_.add(stage_row(state, eq, equation.reducer));
  add_equation(std::move(equation));

  take(target, eq, subs, groups, ir::load(ScalarType::i64, state.buffers[pos], subs));
  return true;
}

// The second stage of an equation that makes two: `value` speaks of the map axes of the first, and they are made anew.
void OpChecker::take(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs,
                     const std::vector<int>& groups, const ir::Expr& value) {
  ir::Substitution anew;
  std::vector<Index> map;
  for (Index i : scope_.indices) {
    if (i.cls == ir::AxisClass::reduce) continue;
    ir::SymbolId old = i.symbol;
    i.symbol = frame_.add(ir::Symbol{i.name, ir::SymbolKind::axis, ScalarType::index, tensors_[target].name, i.place});
    i.lo = ir::substitute(i.lo, anew);
    i.hi = ir::substitute(i.hi, anew);
    anew.emplace_back(old, ir::var(i.symbol));
    map.push_back(std::move(i));
  }
  scope_.indices = std::move(map);
  std::vector<ir::Expr> cell;
  for (const ir::Expr& sub : subs) cell.push_back(ir::substitute(sub, anew));
  finish(target, eq, cell, groups, ir::substitute(value, anew), "");
}

}  // namespace heddle::frontend
