// Stages of a user reducer: `st[r] = welford[c] (n = 1, mean = x[r, c], m2 = 0)`. One stage with a buffer for each
// field; the dims in the shapes of the reducer's fields stand for the ranges of the fields' own indices.
#include <algorithm>

#include "frontend/check/op_checker.h"
#include "frontend/check/rows.h"
#include "frontend/codes.h"

namespace heddle::frontend {

bool OpChecker::fields(const ast::Reduction& r, const ast::ReducerItem& item) {
  if (r.body) {
    report(
        Diagnostic(codes::bad_reducer, r.body->place, "`" + item.name.text + "` takes a value for each of its fields")
            .with_help("such as `" + item.name.text + "[..] (" + item.fields[0].name.text + " = .., ..)`"));
    return false;
  }
  bool ok = true;
  scope_.fields.resize(item.fields.size());
  std::vector<const ast::Entry*> entries;
  for (const ast::Param& row : item.fields) {
    const ast::Entry* given = nullptr;
    for (const ast::Entry& e : r.fields) {
      if (!e.target || e.target->path.text() != row.name.text) continue;
      if (given) report(Diagnostic(codes::written_twice, e.place, "the field `" + row.name.text + "` is given twice"));
      ok &= !given;
      given = &e;
    }
    if (!given) {
      report(Diagnostic(codes::bad_reducer, r.place,
                        "the field `" + row.name.text + "` of `" + item.name.text + "` has no value"));
      scope_.fields.clear();
      return false;
    }
    entries.push_back(given);
  }
  // Values that have a type of their own say what a generic type stands for; then literals take it.
  for (bool literals : {false, true})
    for (size_t f = 0; ok && f < entries.size(); ++f)
      if (untyped(*entries[f]->value) == literals) ok &= field(item, *entries[f], item.fields[f], scope_.fields[f]);
  for (const ast::Entry& e : r.fields) {
    auto named = [&](const ast::Param& row) { return e.target && e.target->path.text() == row.name.text; };
    if (std::any_of(item.fields.begin(), item.fields.end(), named)) continue;
    report(Diagnostic(codes::unknown_name, e.place, "this names no field of `" + item.name.text + "`"));
    ok = false;
  }
  if (!ok) scope_.fields.clear();
  return ok;
}

// `o[e] = v[j, e]`: `e` is an index of this field alone.
bool OpChecker::field(const ast::ReducerItem& item, const ast::Entry& entry, const ast::Param& row, FieldValue& out) {
  if (entry.target->subs.size() != row.type.dims.size()) {
    report(Diagnostic(codes::wrong_rank, entry.target->place,
                      "the field `" + row.name.text + "` has " + std::to_string(row.type.dims.size()) + " axes")
               .label(row.name.place, "it is declared here"));
    return false;
  }
  out.place = entry.place;
  bool ok = true;
  for (const ast::Entry& e : entry.target->subs) {
    std::vector<ir::Expr> ignored;
    size_t at = scope_.indices.size();
    ok &= left_index(e, ignored);
    if (scope_.indices.size() == at) continue;
    scope_.indices[at].own = true;
    out.own.push_back(at);
  }
  if (ok) out.value = field_value(item, entry, row);
  for (size_t i : out.own) scope_.indices[i].active = false;
  return ok && out.value.known();
}

ir::Expr OpChecker::field_value(const ast::ReducerItem& item, const ast::Entry& entry, const ast::Param& row) {
  const std::string& word = row.type.name.text;
  auto is_type = [&](const ast::Generic& g) { return g.name.text == word; };
  auto generic = std::find_if(item.generics.begin(), item.generics.end(), is_type);
  auto chosen = scope_.types.find(word);
  if (generic == item.generics.end() || chosen != scope_.types.end()) {
    const auto type = chosen != scope_.types.end() ? chosen->second : ir::parse_scalar_type(word);
    return value_of_type(*entry.value, type.value_or(ir::ScalarType::f32), "`" + row.name.text + "`", row.name.place);
  }
  ir::Expr v = value(*entry.value);
  if (!v.known()) return v;
  const std::string cls = generic->cls.text.empty() ? "any" : generic->cls.text;
  const auto members = ir::class_members(cls);
  if (std::find(members.begin(), members.end(), v.type()) == members.end()) {
    const bool index = v.type() == ir::ScalarType::index;
    Diagnostic d(codes::silent_conversion, entry.value->place,
                 index ? "`" + excerpt(entry.value->place) + "` is an index, and a field holds data"
                       : "`" + std::string(ir::scalar_type_name(v.type())) + "` is no `" + cls + "`, as `" + word +
                             "` of `" + item.name.text + "` must be");
    if (index) d.help = "convert it: `i64(" + excerpt(entry.value->place) + ")`";
    report(std::move(d).label(row.name.place, "the field is declared here"));
    return {};
  }
  scope_.types[word] = v.type();
  return v;
}

bool OpChecker::bind_extent(const std::string& dim, const ir::Expr& extent, const Place& place) {
  auto [at, added] = scope_.extents.try_emplace(dim, extent);
  if (added || ir::same(at->second, extent) || ir::equal(at->second, extent, facts_)) return true;
  report(
      Diagnostic(codes::range_conflict, place,
                 "`" + dim + "` is `" + text(at->second) + "` for one field and `" + text(extent) + "` for this one")
          .with_help("if they are equal, say so: `require " + text(at->second) + " == " + text(extent) + ", \"..\"`"));
  return false;
}

// The ranges are resolved: each axis of a field runs from 0 over its extent.
bool OpChecker::field_extents(const ast::ReducerItem& item) {
  for (size_t f = 0; f < item.fields.size(); ++f)
    for (size_t k = 0; k < scope_.fields[f].own.size(); ++k) {
      const Index& index = scope_.indices[scope_.fields[f].own[k]];
      const ast::Entry& dim = item.fields[f].type.dims[k];
      const std::string* name = dim.value ? dim.value->as_name() : nullptr;
      if (!ir::is_constant(index.lo, 0)) {
        report(Diagnostic(codes::left_side, index.place, "an axis of a field begins at 0"));
        return false;
      }
      if (name && !bind_extent(*name, index.hi, index.place)) return false;
    }
  return true;
}

// The row of the reducer for these types and extents: one row for each choice of them.
std::string OpChecker::state_reducer(const ast::ReducerItem& item) {
  auto extent_of = [&](const std::string& dim) {
    auto bound = scope_.extents.find(dim);
    return bound == scope_.extents.end() ? ir::Expr() : bound->second;
  };
  Result<ir::Reducer> row = reducer_row(item, frame_, extent_of, scope_.types);
  if (!row.ok()) {
    report_all(row.errors());
    return "";
  }
  auto same_fields = [&](const ir::Reducer& other) {
    for (size_t f = 0; f < row->fields.size(); ++f)
      if (other.fields[f].type != row->fields[f].type) return false;
    for (size_t f = 0; f < row->fields.size(); ++f)
      for (size_t k = 0; k < row->fields[f].extents.size(); ++k)
        if (!ir::same(other.fields[f].extents[k], row->fields[f].extents[k])) return false;
    return true;
  };
  std::string name = item.name.text;
  for (int copy = 2; frame_.reducer(name); ++copy) {
    if (same_fields(*frame_.reducer(name))) return name;
    name = item.name.text + std::to_string(copy);
  }
  row->name = name;
  frame_.reducers.push_back(std::move(*row));
  return name;
}

bool OpChecker::finish_state(int target, const ast::Equation& eq, const std::vector<ir::Expr>& subs,
                             const std::vector<int>& groups) {
  const ast::ReducerItem& item = *module_.reducer(eq.right.reduction->reducer.text());
  if (!field_extents(item)) return false;
  std::string reducer = state_reducer(item);
  if (reducer.empty()) return false;
  Tensor& t = tensors_[target];
  t.reducer = &item;
  t.groups = groups;
  const std::vector<ir::ReducerField> rows = frame_.reducer(reducer)->fields;
  ir::Equation equation;
  equation.reducer = reducer;
  for (size_t f = 0; f < rows.size(); ++f) {
    ir::Buffer buffer;
    buffer.name = t.name;
    buffer.field = rows[f].name;
    buffer.field_dims = static_cast<int>(rows[f].extents.size());
    buffer.type = rows[f].type;
    buffer.place = t.place;
    ir::Assign assign;
    assign.subs = subs;
    assign.kind = ir::AssignKind::combine;
    assign.value = scope_.fields[f].value;
    for (const ir::Expr& sub : subs) {
      const Index* index = index_of(sub);
      buffer.box.push_back({index->name, index->lo, index->hi});
    }
    for (size_t k = 0; k < rows[f].extents.size(); ++k) {
      const Index& own = scope_.indices[scope_.fields[f].own[k]];
      if (!ir::equal(own.hi, rows[f].extents[k], facts_)) {
        report(Diagnostic(codes::range_conflict, own.place,
                          "`" + own.name + "` runs over `0 .. " + text(own.hi) +
                              "`, and the axis of the field over `0 .. " + text(rows[f].extents[k]) + "`"));
        return false;
      }
      buffer.box.push_back({"", ir::index_constant(0), rows[f].extents[k]});
      assign.subs.push_back(ir::var(own.symbol));
      assign.over.push_back({own.symbol, ir::AxisClass::map, own.lo, own.hi});
    }
    assign.buffer = frame_.add(std::move(buffer));
    t.buffers.push_back(assign.buffer);
    equation.assigns.push_back(std::move(assign));
  }
  equation.stage = frame_.add(stage_row(t, eq, reducer));
  add_equation(std::move(equation));
  t.state = Tensor::State::readable;
  return true;
}

}  // namespace heddle::frontend
