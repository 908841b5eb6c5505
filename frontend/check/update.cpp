// `cache[i, pos[i] + j] <- k[i, j]`: cells of an `inout` tensor get new values. Names of the left side that mean nothing else are its
// indices. Each point writes a cell of its own, which is shown here, and reads of the updated tensor no other cell than that one.
#include <algorithm>

#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/visit.h"

namespace heddle::frontend {

namespace {

// Every bare name that is read in an expression, in the order of the text.
void names_in(const ast::Expr& e, const std::function<void(const ast::Name&)>& f) {
  auto entries = [&](const ast::Entries& list) {
    for (const ast::Entry& x : list) {
      if (x.value) names_in(*x.value, f);
      if (x.hi) names_in(*x.hi, f);
    }
  };
  if (const auto* r = e.as<ast::Read>()) {
    if (r->ref.bare_name()) f(r->ref.path.names.front());
    entries(r->ref.subs);
    entries(r->ref.field_subs);
    if (r->otherwise) names_in(*r->otherwise, f);
  } else if (const auto* b = e.as<ast::Binary>()) {
    names_in(*b->left, f), names_in(*b->right, f);
  } else if (const auto* u = e.as<ast::Unary>()) {
    names_in(*u->value, f);
  } else if (const auto* i = e.as<ast::If>()) {
    names_in(*i->condition, f), names_in(*i->yes, f), names_in(*i->no, f);
  } else if (const auto* c = e.as<ast::Call>()) {
    entries(c->args);
  } else if (const auto* t = e.as<ast::Tuple>()) {
    entries(t->entries);
  }
}

}  // namespace

bool OpChecker::is_index_name(const std::string& name) const {
  if (names_.count(name) || later_.count(name) || packs_.count(name)) return false;
  return std::none_of(scope_.indices.begin(), scope_.indices.end(),
                      [&](const Index& i) { return i.active && i.name == name; });
}

// The cell that a point writes, as an access of the target: bare names become indices; composite subscripts are read by `finish_cell`,
// once all indices exist. With `all_names`, names inside them become indices too.
bool OpChecker::start_cell(const ast::Ref& left, int target, bool all_names, Cell& cell) {
  const Tensor& t = tensors_[target];
  Access& at = cell.access;
  at.tensor = target;
  at.buffer = t.buffers[0];
  at.place = left.place;
  at.visible = SIZE_MAX;
  auto one = [&](const ast::Entry& e) {
    const std::string* word = e.kind == ast::Entry::Kind::value && e.value ? e.value->as_name() : nullptr;
    at.sub_places.push_back(e.place);
    if (e.bound || (word && is_index_name(*word))) return left_index(e, at.subs);
    if (e.kind != ast::Entry::Kind::value || !e.value) {
      report(Diagnostic(codes::left_side, e.place, "a subscript of the left side is one index"));
      return false;
    }
    bool ok = true;
    if (all_names)
      names_in(*e.value, [&](const ast::Name& n) {
        if (is_index_name(n.text)) ok &= add_index(n, ir::AxisClass::map) >= 0;
      });
    cell.later.emplace_back(&e, at.subs.size());
    at.subs.emplace_back();
    return ok;
  };
  bool ok = true;
  for (const ast::Entry& e : left.subs) {
    const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr;
    if (e.kind == ast::Entry::Kind::pack) {
      size_t before = at.subs.size();
      ok &= left_pack(e, at.subs);
      for (size_t i = before; i < at.subs.size(); ++i) cell.groups.push_back(1), at.sub_places.push_back(e.place);
      continue;
    }
    if (!tuple) ok &= one(e);
    else
      for (const ast::Entry& part : tuple->entries) ok &= one(part);
    cell.groups.push_back(tuple ? static_cast<int>(tuple->entries.size()) : 1);
  }
  return ok && matches_shape(left, t, at.subs.size(), cell.groups);
}

bool OpChecker::finish_cell(Cell& cell) {
  for (const auto& [entry, at] : cell.later) {
    cell.access.subs[at] = index(*entry->value);
    if (!cell.access.subs[at].known()) return false;
  }
  return true;
}

// Axis by axis: a subscript that is affine in some axes that are still open, and otherwise made of axes already found, gives those
// axes, where each step of one jumps over all that the smaller ones span.
bool OpChecker::gives_axes(const ir::Expr& sub, std::vector<ir::SymbolId>& open) const {
  struct Stride {
    ir::SymbolId axis;
    int64_t step, extent;
  };
  std::vector<Stride> strides;
  for (ir::SymbolId axis : open) {
    if (!ir::mentions(sub, axis)) continue;
    ir::AffineIn form = ir::affine_in(sub, axis);
    if (!form.ok || form.coefficient == 0 || form.coefficient == INT64_MIN) return false;
    const Index& index = *index_of(ir::var(axis));
    ir::Expr extent = ir::simplify(index.hi - index.lo);
    const int64_t* n = ir::constant_value(extent);
    strides.push_back({axis, std::abs(form.coefficient), n ? std::max<int64_t>(*n, 1) : -1});
  }
  if (strides.empty()) return false;
  std::sort(strides.begin(), strides.end(), [](const Stride& a, const Stride& b) { return a.step < b.step; });
  int64_t span = 1;
  for (size_t i = 0; i < strides.size(); ++i) {
    if (strides[i].step < span) return false;
    if (i + 1 == strides.size()) break;
    int64_t reach;
    if (strides[i].extent < 0 || __builtin_mul_overflow(strides[i].step, strides[i].extent - 1, &reach) ||
        __builtin_add_overflow(span, reach, &span))
      return false;
  }
  for (const Stride& s : strides) std::erase(open, s.axis);
  return true;
}

bool OpChecker::injective(const Access& cell) {
  std::vector<ir::SymbolId> open;
  for (const Index& i : scope_.indices) open.push_back(i.symbol);
  for (bool changed = true; changed && !open.empty();) {
    changed = false;
    for (const ir::Expr& sub : cell.subs) changed |= gives_axes(sub, open);
  }
  if (open.empty()) return true;
  const Index& lost = *index_of(ir::var(open[0]));
  report(Diagnostic(codes::written_twice, cell.place,
                    "cannot show that each cell is updated once: several `" + lost.name +
                        "` may meet in one cell of `" + tensors_[cell.tensor].name + "`")
             .label(lost.place, "`" + lost.name + "` is an index of the update")
             .with_help("each index stands in a subscript of its own, plus what the others fix; contributions to one "
                        "cell are summed by "
                        "a stage such as `d[id[i], e] = sum[i] ..`"));
  return false;
}

// Reads of the updated tensor: only the cell that the point itself writes.
bool OpChecker::reads_own_cell(const Access& cell) {
  for (const Access& a : scope_.accesses) {
    if (a.buffer != cell.buffer || a.place.begin == cell.place.begin) continue;
    bool own = !a.tried;
    for (size_t i = 0; own && i < a.subs.size(); ++i)
      own = ir::same(a.subs[i], cell.subs[i]) || ir::same(ir::simplify(a.subs[i]), ir::simplify(cell.subs[i]));
    if (own) continue;
    report(Diagnostic(codes::stage_order, a.place,
                      "`" + excerpt(a.place) +
                          "` is another cell than the one that is updated, and may hold its old or its new value")
               .label(cell.place, "this cell is updated")
               .with_help("keep the old values in a stage of their own before the update"));
    return false;
  }
  return true;
}

void OpChecker::update(int target, const ast::Equation& eq) {
  const ast::Ref& left = eq.left[0];
  const std::string& name = tensors_[target].name;
  const ir::Buffer& buffer = frame_.buffer(tensors_[target].buffers[0]);
  scope_.stage = name;
  size_t before = found_.size();
  if (eq.right.reduction || (eq.right.value && op_called(*eq.right.value))) {
    report(Diagnostic(codes::left_side, eq.right.place(), "an update takes a value for each cell")
               .with_help("give the " + std::string(eq.right.reduction ? "reduction" : "call") +
                          " a stage of its own, and update with its cells"));
    return;
  }
  Cell written;
  if (!start_cell(left, target, true, written) || !finish_cell(written)) return;
  const Access cell = std::move(written.access);
  result_ranges(tensors_[target], cell.subs);
  ir::Expr v =
      value_of_type(*eq.right.value, buffer.type, "`" + name + "`", tensors_[target].place, tensors_[target].type_text);
  scope_.accesses.push_back(cell);
  if (!v.known() || found_.size() != before || !resolve_ranges() || !show_reads() || !injective(cell) ||
      !reads_own_cell(cell))
    return;
  Tensor row = tensors_[target];
  auto named = [&](const ir::Stage& s) { return s.name == row.name; };
  if (std::any_of(frame_.stages.begin(), frame_.stages.end(), named)) row.name = fresh_name(name + "_2");
  for (const Index& i : scope_.indices) frame_.symbols[i.symbol.value].owner = row.name;
  ir::Stage stage = stage_row(row, eq, "");
  stage.pure = false;
  ir::Equation equation;
  equation.stage = frame_.add(std::move(stage));
  ir::Assign assign;
  assign.buffer = cell.buffer;
  assign.subs = cell.subs;
  assign.kind = ir::AssignKind::update;
  assign.value = v;
  equation.assigns.push_back(std::move(assign));
  add_equation(std::move(equation));
}

}  // namespace heddle::frontend
