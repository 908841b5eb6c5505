#include "frontend/check/inline_op.h"

#include <algorithm>

#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::frontend {

InlinedOp::InlinedOp(ir::Op& to, const ir::Op& from, std::string prefix)
    : to_(to),
      from_(from),
      prefix_(std::move(prefix)),
      symbols_(from.frame.symbols.size()),
      buffers_(from.frame.buffers.size()) {}

ir::Expr InlinedOp::map(const ir::Expr& e) const {
  if (!e.known()) return e;
  ir::Expr out = ir::rewrite(e, [&](const ir::Expr& node) {
    if (const auto* v = node.as<ir::Var>()) return symbols_[v->symbol.value].known() ? symbols_[v->symbol.value] : node;
    if (const auto* l = node.as<ir::Load>())
      return ir::load(node.type(), buffers_[l->buffer.value], l->subs, l->otherwise);
    return node;
  });
  return out.type() == ir::ScalarType::index ? ir::simplify(out) : out;
}

ir::SymbolId InlinedOp::symbol(ir::SymbolId id) const { return symbols_[id.value].as<ir::Var>()->symbol; }

std::vector<ir::Equation> InlinedOp::equations() {
  locals();
  temporaries();
  reducers();
  const int scans = static_cast<int>(to_.scans.size());
  for (ir::ScanBlock block : from_.scans) {
    block.axis = symbol(block.axis);
    block.lo = map(block.lo);
    block.hi = map(block.hi);
    to_.scans.push_back(std::move(block));
  }
  std::vector<ir::Equation> out;
  for (const ir::Equation& eq : from_.equations) {
    ir::Stage row = from_.frame.stage(eq.stage);
    row.name = name(row.name);
    row.axes = axes(row.axes);
    row.where = map(row.where);
    row.reducer = reducer(row.reducer);
    for (ir::BufferId& b : row.writes) b = buffers_[b.value];
    ir::Equation next;
    next.reducer = reducer(eq.reducer);
    next.scan = eq.scan < 0 ? -1 : eq.scan + scans;
    for (ir::Assign a : eq.assigns) {
      a.buffer = buffers_[a.buffer.value];
      for (ir::Expr& s : a.subs) s = map(s);
      a.over = axes(a.over);
      a.value = map(a.value);
      next.assigns.push_back(std::move(a));
    }
    for (const ir::StmtForm& check : eq.checks) next.checks.push_back(statement(check));
    next.stage = to_.frame.add(std::move(row));
    out.push_back(std::move(next));
  }
  return out;
}

std::vector<ir::StmtForm> InlinedOp::first_checks() const {
  std::vector<ir::StmtForm> out;
  for (const ir::StmtForm& check : from_.checks) out.push_back(statement(check));
  return out;
}

void InlinedOp::locals() {
  for (size_t i = 0; i < symbols_.size(); ++i) {
    ir::Symbol s = from_.frame.symbols[i];
    const bool value =
        s.kind == ir::SymbolKind::dim || s.kind == ir::SymbolKind::constant || s.kind == ir::SymbolKind::scalar;
    if (value || symbols_[i].known()) continue;
    if (!s.owner.empty()) s.owner = name(s.owner);
    const ir::ScalarType type = s.type;
    symbols_[i] = ir::var(to_.frame.add(std::move(s)), type);
  }
}

void InlinedOp::temporaries() {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    if (buffers_[i].known()) continue;
    ir::Buffer b = from_.frame.buffers[i];
    b.name = name(b.name);
    for (ir::BoxDim& d : b.box) d.lo = map(d.lo), d.hi = map(d.hi);
    b.groups.clear();
    b.role = ir::Role::temporary;
    buffers_[i] = to_.frame.add(std::move(b));
  }
}

// A reducer that the caller has already, by its text and shape, serves both.
void InlinedOp::reducers() {
  for (const ir::Reducer& r : from_.frame.reducers) {
    if (r.builtin != ir::BuiltinReducer::none) continue;
    ir::Reducer mine = r;
    for (ir::ReducerField& f : mine.fields)
      for (ir::Expr& e : f.extents) e = map(e);
    for (auto* block : {&mine.identity, &mine.combine, &mine.whole})
      for (ir::ReducerLine& l : *block) l = line(std::move(l));
    auto equal = [&](const ir::Reducer& other) {
      if (other.place.source != mine.place.source || other.place.begin != mine.place.begin) return false;
      if (other.fields.size() != mine.fields.size()) return false;
      for (size_t f = 0; f < mine.fields.size(); ++f) {
        const ir::ReducerField &a = mine.fields[f], &b = other.fields[f];
        if (a.name != b.name || a.type != b.type || a.extents.size() != b.extents.size()) return false;
        for (size_t k = 0; k < a.extents.size(); ++k)
          if (!ir::same(a.extents[k], b.extents[k])) return false;
      }
      return true;
    };
    std::string free = r.name;
    bool known = false;
    for (int copy = 2; const ir::Reducer* other = to_.frame.reducer(free); ++copy) {
      // Those of argmax and argmin have no place: of one name and one type they are the same.
      if (equal(*other)) {
        known = true;
        break;
      }
      free = r.name + std::to_string(copy);
    }
    reducers_.emplace_back(r.name, free);
    mine.name = free;
    if (!known) to_.frame.reducers.push_back(std::move(mine));
  }
}

std::string InlinedOp::reducer(const std::string& own) const {
  for (const auto& [from, to] : reducers_)
    if (from == own) return to;
  return own;
}

ir::ReducerLine InlinedOp::line(ir::ReducerLine l) const {
  if (l.field < 0) l.local = symbol(l.local);
  for (ir::SymbolId& s : l.axes) s = symbol(s);
  l.value = map(l.value);
  return l;
}

std::vector<ir::Axis> InlinedOp::axes(std::vector<ir::Axis> list) const {
  for (ir::Axis& a : list) {
    a.symbol = symbol(a.symbol);
    a.lo = map(a.lo);
    a.hi = map(a.hi);
  }
  return list;
}

// A check, with the loops around it.
ir::StmtForm InlinedOp::statement(const ir::StmtForm& form) const {
  if (const auto* l = std::get_if<ir::For>(&form)) {
    ir::For next = *l;
    next.loop = symbol(l->loop);
    next.lo = map(l->lo);
    next.hi = map(l->hi);
    for (ir::StmtRef& s : next.body) s = ir::make_stmt(statement(s->form), s->place);
    return next;
  }
  ir::Check check = std::get<ir::Check>(form);
  check.condition = map(check.condition);
  for (ir::Expr& e : check.coordinates) e = map(e);
  return check;
}

}  // namespace heddle::frontend
