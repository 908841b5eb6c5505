// One equation: its left side makes map axes, its reduction makes reduce axes, its right side is typed, then the ranges
// are resolved and every read is shown inside.
#include <algorithm>

#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/math.h"
#include "ir/random.h"
#include "ir/visit.h"
#include "support/limits.h"

namespace heddle::frontend {

using ir::ScalarType;

Diagnostic OpChecker::unsupported(const std::string& what, const Place& place) const {
  return Diagnostic(codes::not_supported, place, what + (what.back() == 's' ? " are" : " is") + " not supported yet");
}

void OpChecker::block(const ast::Block& block) {
  // `y = norm(x)` of whole tensors: a call of an op, whatever there is.
  auto of_tensors = [&](const ast::Equation& eq, const ast::Call& call) {
    const std::string name = call.callee.text();
    const bool function = math_arity(name) > 0 || type_word(name) || name == "widen" || name == "saturate" ||
                          name == "min" || name == "max" || name == "ceildiv" || name == ir::random_function;
    return !function && eq.kind == ast::AssignKind::define &&
           std::none_of(eq.left.begin(), eq.left.end(), [](const ast::Ref& left) { return left.subscripted; }) &&
           std::any_of(call.args.begin(), call.args.end(), [&](const ast::Entry& a) {
             const auto* read = a.value ? a.value->as<ast::Read>() : nullptr;
             return read && read->ref.bare_name() && is_tensor(read->ref.path.text());
           });
  };
  for (const ast::Stmt& s : block) {
    if (const auto* eq = std::get_if<ast::Equation>(&s.form)) {
      bool calls = eq->right.value && op_called(*eq->right.value) && eq->kind == ast::AssignKind::define;
      const auto* unknown = eq->right.value ? eq->right.value->as<ast::Call>() : nullptr;
      if (calls) call(*eq);
      else if (unknown && (!unknown->callee.bare() || of_tensors(*eq, *unknown))) unknown_callee(*eq, unknown->callee);
      else equation(*eq);
    }
    if (const auto* scan = std::get_if<ast::Scan>(&s.form)) this->scan(*scan);
  }
}

void OpChecker::equation(const ast::Equation& eq) {
  if (int target = target_of(eq); target >= 0) equation(eq, target);
}

void OpChecker::equation(const ast::Equation& eq, int target) {
  scope_ = Scope();
  stage_checks_.clear();
  if (result_.op.equations.size() >= limits::stages) {
    if (result_.op.equations.size() == limits::stages)
      report(Diagnostic(codes::too_large, eq.place, "an op has at most " + std::to_string(limits::stages) + " stages"));
    return;
  }
  if (eq.kind == ast::AssignKind::update) return update(target, eq);
  if (scatters(eq)) return scatter(target, eq);
  tensors_[target].state = Tensor::State::pending;
  scope_.stage = tensors_[target].name;
  size_t before = found_.size();
  auto good = [&] { return found_.size() == before; };
  std::vector<ir::Expr> subs;
  std::vector<int> groups;
  std::string reducer;
  ir::Expr value;
  if (left_side(eq.left[0], tensors_[target], subs, groups)) {
    result_ranges(tensors_[target], subs);
    value = right_side(eq.right, tensors_[target], reducer);
  }
  // From here on every index of the equation exists; a failed right side may still show an unbound index or a shape.
  const bool state = !scope_.fields.empty();
  const bool ranges = good() && (value.known() || state) && resolve_ranges();
  if (ranges) fill_box(tensors_[target], subs);
  if (ranges && covers(tensors_[target], subs, eq.left[0]) && show_reads() && good()) {
    bool done = true;
    if (state) done = finish_state(target, eq, subs, groups);
    else if (!scope_.extremum.empty()) done = finish_extremum(target, eq, subs, groups, value);
    else if (reduces_itself(target, reducer, value)) finish_reduced_itself(target, eq, subs, groups, value, reducer);
    else finish(target, eq, std::move(subs), groups, value, reducer);
    if (!done) tensors_[target].state = Tensor::State::broken;
  } else {
    tensors_[target].state = Tensor::State::broken;
  }
}

// The tensor that an equation defines: a pending result or a new stage. -1 after a diagnostic.
int OpChecker::target_of(const ast::Equation& eq, size_t which) {
  const ast::Ref& left = eq.left[which];
  const std::string& name = left.path.first();
  auto named = names_.find(name);
  bool known = named != names_.end();
  if (known && named->second.kind != Named::Kind::tensor) {
    report(Diagnostic(codes::duplicate_name, left.path.place, "`" + name + "` is not a tensor, so it has no equation")
               .label(named->second.place, "`" + name + "` is defined here"));
    return -1;
  }
  if (known && tensors_[named->second.tensor].defined.known()) {
    const Tensor& t = tensors_[named->second.tensor];
    report(Diagnostic(codes::written_twice, left.path.place, "`" + name + "` is written twice")
               .label(t.defined, "`" + name + "` is first written here")
               .with_help("each tensor has one equation: name the second one differently, or join both by `if .. then "
                          ".. else ..`"));
    return -1;
  }
  int id;
  if (known) {
    id = named->second.tensor;
  } else {
    Tensor t;
    t.name = name;
    t.place = left.path.place;
    id = static_cast<int>(tensors_.size());
    declare(name, {Named::Kind::tensor, {}, id, left.path.place});
    tensors_.push_back(std::move(t));
  }
  bool update = eq.kind == ast::AssignKind::update;
  if (tensors_[id].input && !(update && tensors_[id].inout)) {
    bool inout = tensors_[id].inout;
    report(
        Diagnostic(
            codes::left_side, left.path.place,
            "`" + name +
                (inout ? "` is `inout`: its cells are updated by `<-`" : "` is an input: inputs are not written"))
            .label(tensors_[id].place, "it is declared here")
            .with_help(
                inout
                    ? "write `" + excerpt(left.place) + " <- ..`"
                    : "give the stage another name; a tensor that is updated is declared `inout` and written by `<-`"));
    return -1;
  }
  if (update && !tensors_[id].inout) {
    report(Diagnostic(codes::left_side, left.path.place,
                      "`" + name + "` is no `inout` parameter, so it has no cells to update")
               .with_help("write `" + excerpt(left.place) + " = ..`, or declare `inout " + name + ": ..`"));
    return -1;
  }
  if (!update) {
    tensors_[id].defined = left.path.place;
    tensors_[id].state = Tensor::State::broken;
  }
  if (eq.right.value && op_called(*eq.right.value) && eq.kind == ast::AssignKind::define) {
    if (left.path.bare() && !left.field && !left.subscripted) return id;
    report(
        Diagnostic(codes::left_side, left.place, "a call of an op gives whole tensors: the left side has no subscripts")
            .with_help("write `" + name + " = " + excerpt(eq.right.value->place) + "`"));
  } else if (eq.left.size() != 1)
    report(Diagnostic(codes::left_side, eq.place, "only a call of an op has several left sides"));
  else if (eq.kind == ast::AssignKind::combine)
    report(Diagnostic(codes::left_side, eq.reducer.place, "an equation of an op is written with `=`")
               .with_help("write the reduction on the right: `" + excerpt(left.place) + " = " + eq.reducer.text +
                          "[..] ..`"));
  else if (!left.path.bare() || left.field)
    report(Diagnostic(codes::left_side, left.place, "the left side is a name with subscripts"));
  else return id;
  return -1;
}

// `nn.sotfmax(x)`
void OpChecker::unknown_callee(const ast::Equation& eq, const ast::Path& callee) {
  std::vector<std::string> known;
  for (const auto& op : module_.ops) known.push_back(op->name());
  std::string near = nearest(callee.text(), known);
  report(Diagnostic(codes::unknown_op, callee.place, "there is no op `" + callee.text() + "`")
             .with_help(!near.empty()   ? "did you mean `" + near + "`?"
                        : callee.bare() ? "an op of another file is imported: `import \"std/nn\"` brings `nn.softmax`"
                                        : ""));
  for (const ast::Ref& left : eq.left) {
    auto named = names_.find(left.path.first());
    if (named == names_.end()) declare(left.path.first(), {Named::Kind::broken, {}, -1, left.path.place});
    else if (named->second.kind == Named::Kind::tensor) {
      tensors_[named->second.tensor].defined = left.path.place;
      tensors_[named->second.tensor].state = Tensor::State::broken;
    }
  }
}

bool OpChecker::op_called(const ast::Expr& value) const {
  const auto* call = value.as<ast::Call>();
  return call && module_.op(call->callee.text());
}

int OpChecker::new_index(const std::string& name, const Place& place, ir::AxisClass cls) {
  Index i;
  i.name = name;
  i.cls = cls;
  i.place = place;
  i.symbol = frame_.add(ir::Symbol{name, ir::SymbolKind::axis, ScalarType::index, scope_.stage, place});
  scope_.indices.push_back(std::move(i));
  return static_cast<int>(scope_.indices.size()) - 1;
}

// -1 after a diagnostic: an index may not be named like anything else.
int OpChecker::add_index(const ast::Name& name, ir::AxisClass cls) {
  auto taken = [&](const Place& other, const std::string& what) {
    report(Diagnostic(codes::index_name_taken, name.place, "the index `" + name.text + "` is named like " + what)
               .label(other, "`" + name.text + "` is defined here")
               .with_help("choose another name for the index"));
    return -1;
  };
  if (scan_.item && name.text == scan_.item->axis.text && cls == ir::AxisClass::reduce)
    return taken(scan_.item->axis.place, "the index of the scan");
  for (const Index& i : scope_.indices)
    if (i.active && i.name == name.text) return taken(i.place, "another index of `" + scope_.stage + "`");
  if (auto named = names_.find(name.text); named != names_.end())
    return taken(named->second.place, named->second.kind == Named::Kind::tensor     ? "a tensor"
                                      : named->second.kind == Named::Kind::scalar   ? "a scalar"
                                      : named->second.kind == Named::Kind::constant ? "a const"
                                                                                    : "a dim");
  if (auto later = later_.find(name.text); later != later_.end()) return taken(later->second, "a stage");
  if (auto pack = packs_.find(name.text); pack != packs_.end()) return taken(pack->second.place, "a pack");
  if (scope_.indices.size() >= limits::rank) {
    report(Diagnostic(codes::too_large, name.place, "a stage has at most " + std::to_string(limits::rank) + " axes"));
    return -1;
  }
  return new_index(name.text, name.place, cls);
}

bool OpChecker::left_pack(const ast::Entry& e, std::vector<ir::Expr>& subs) {
  auto pack = packs_.find(e.pack.text);
  if (pack == packs_.end() || scope_.packs.count(e.pack.text)) {
    report(pack == packs_.end() ? Diagnostic(codes::unknown_name, e.place, "no input has dims `..." + e.pack.text + "`")
                                : Diagnostic(codes::left_side, e.place, "`..." + e.pack.text + "` is bound twice"));
    return false;
  }
  std::vector<int> positions;
  for (int i = 0; i < pack->second.rank; ++i) {
    // The innermost axis keeps the pack's name, so that a schedule's `y.r` serves every rank from 1.
    std::string name = i + 1 == pack->second.rank ? e.pack.text : e.pack.text + std::to_string(i);
    auto exists = [&] {
      return names_.count(name) || later_.count(name) ||
             std::any_of(scope_.indices.begin(), scope_.indices.end(), [&](const Index& x) { return x.name == name; });
    };
    while (exists()) name += "_";
    positions.push_back(new_index(name, e.place, ir::AxisClass::map));
    subs.push_back(ir::var(scope_.indices.back().symbol));
  }
  scope_.packs[e.pack.text] = positions;
  return true;
}

// `i`, or `i in lo .. hi`.
bool OpChecker::left_index(const ast::Entry& e, std::vector<ir::Expr>& subs) {
  const std::string* word = e.kind == ast::Entry::Kind::value && e.value ? e.value->as_name() : nullptr;
  const ast::Name name = e.bound ? *e.bound : word ? ast::Name{*word, e.place} : ast::Name{};
  bool range = e.kind == ast::Entry::Kind::range;
  if (name.text.empty() || (range && !e.bound)) {
    report(
        Diagnostic(codes::left_side, e.place, "a left subscript that is no bare index needs a reduction on the right")
            .with_help("each subscript of the left side is an index of its own, such as `i` or `i in 0 .. n`; "
                       "contributions to "
                       "computed cells are combined: `y[id[i]] = sum[i] ..`"));
    return false;
  }
  if (scan_.item && name.text == scan_.item->axis.text) return scan_index(e, name, subs);
  int at = add_index(name, ir::AxisClass::map);
  if (at < 0) return false;
  if (range) {
    scope_.visible = 0;
    bool ok = written_range(e, scope_.indices[at]);
    scope_.visible = SIZE_MAX;
    if (!ok) return false;
    if (depends_on_data(scope_.indices[at].lo) || depends_on_data(scope_.indices[at].hi)) {
      report(unsupported("a left range that depends on data", e.place));
      return false;
    }
  }
  subs.push_back(ir::var(scope_.indices[at].symbol));
  return true;
}

bool OpChecker::left_side(const ast::Ref& left, const Tensor& target, std::vector<ir::Expr>& subs,
                          std::vector<int>& groups) {
  bool ok = true;
  for (const ast::Entry& e : left.subs) {
    size_t before = subs.size();
    const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr;
    if (e.kind == ast::Entry::Kind::pack) {
      ok &= left_pack(e, subs);
      for (size_t i = before; i < subs.size(); ++i) groups.push_back(1);
      continue;
    }
    if (!tuple) ok &= left_index(e, subs);
    else
      for (const ast::Entry& part : tuple->entries) ok &= left_index(part, subs);
    groups.push_back(tuple ? static_cast<int>(tuple->entries.size()) : 1);
  }
  if (!ok) return false;
  if (std::all_of(groups.begin(), groups.end(), [](int g) { return g == 1; })) groups.clear();
  return !target.result || matches_shape(left, target, subs.size(), groups);
}

bool OpChecker::matches_shape(const ast::Ref& left, const Tensor& target, size_t subs, std::vector<int> groups) {
  if (std::all_of(groups.begin(), groups.end(), [](int g) { return g == 1; })) groups.clear();
  const ir::Buffer& buffer = frame_.buffer(target.buffers[0]);
  if (subs == buffer.box.size() && groups == target.groups) return true;
  size_t axes = target.groups.empty() ? buffer.box.size() : target.groups.size();
  report(Diagnostic(codes::wrong_rank, left.place,
                    "the left side does not match the shape of `" + target.name + "`, which has " +
                        std::to_string(axes) + (axes == 1 ? " dim" : " dims") +
                        (target.groups.empty() ? "" : ", some of them composite"))
             .label(target.place, "`" + target.name + "` is declared here")
             .with_help("one index for each dim, and a tuple such as `(r, q)` for each composite one"));
  return false;
}

// The left index of a declared result, or of a tensor that is updated, takes its dim as range.
void OpChecker::result_ranges(const Tensor& target, const std::vector<ir::Expr>& subs) {
  if (!target.result && !target.inout) return;
  const ir::Buffer& buffer = frame_.buffer(target.buffers[0]);
  for (size_t i = 0; i < subs.size(); ++i)
    for (Index& index : scope_.indices)
      if (const auto* v = subs[i].as<ir::Var>(); v && index.symbol == v->symbol && !index.lo.known()) {
        index.lo = buffer.box[i].lo;
        index.hi = buffer.box[i].hi;
        index.range_place = target.place;
      }
}

bool OpChecker::written_range(const ast::Entry& e, Index& index) {
  ir::Expr lo = this->index(*e.value), hi = this->index(*e.hi);
  if (e.max) report(Diagnostic(codes::left_side, e.place, "`<=` limits the window of an instruction, not a range"));
  if (!lo.known() || !hi.known() || e.max) return false;
  index.lo = lo;
  index.hi = hi;
  index.range_place = e.place;
  return true;
}

bool OpChecker::binder(const ast::Entry& e) {
  if (e.kind == ast::Entry::Kind::pack) {
    std::vector<ir::Expr> ignored;
    size_t first = scope_.indices.size();
    if (!left_pack(e, ignored)) return false;
    for (size_t i = first; i < scope_.indices.size(); ++i) scope_.indices[i].cls = ir::AxisClass::reduce;
    return true;
  }
  const std::string* word = e.kind == ast::Entry::Kind::value && e.value ? e.value->as_name() : nullptr;
  bool range = e.kind == ast::Entry::Kind::range && e.bound;
  if (!word && !range) {
    report(Diagnostic(codes::left_side, e.place, "the brackets of a reduction hold indices: `p`, or `p in 0 .. n`"));
    return false;
  }
  int at = add_index(range ? *e.bound : ast::Name{*word, e.place}, ir::AxisClass::reduce);
  if (at < 0) return false;
  if (!range) return true;
  scope_.visible = at;
  bool ok = written_range(e, scope_.indices[at]);
  scope_.visible = SIZE_MAX;
  return ok;
}

bool OpChecker::binders(const ast::Reduction& r) {
  bool ok = true;
  for (const ast::Entry& e : r.binders) ok &= binder(e);
  if (!ok) return false;
  if (!r.condition) return true;
  scope_.where = condition(*r.condition);
  return scope_.where.known();
}

// The value of the right side; `reducer` is its reducer, or empty. None after a diagnostic.
ir::Expr OpChecker::right_side(const ast::Right& right, const Tensor& target, std::string& reducer) {
  const ast::Expr* body = right.value.get();
  if (right.reduction) {
    const ast::Reduction& r = *right.reduction;
    std::string name = r.reducer.text();
    if (!is_builtin_reducer(name)) {
      const ast::ReducerItem* item = module_.reducer(name);
      if (module_.broken_reducers.count(name)) result_.broken = true;
      else if (!item)
        report(unknown(name, r.reducer.place).with_help("the reducers are `sum prod max min argmax argmin any all`"));
      else if (target.result)
        report(Diagnostic(codes::left_side, target.defined, "a result holds numbers, and `" + name + "` gives a state")
                   .with_help("give the state a stage of its own, and read its fields"));
      else if (binders(r)) fields(r, *item);
      return {};
    }
    if (name == "argmax" || name == "argmin") return extremum(r, target);
    reducer = name;
    if (!binders(r)) return {};
    body = r.body.get();
    if (!body) {
      report(Diagnostic(codes::wrong_operand, r.place, "`" + name + "` has no fields: it takes one value"));
      return {};
    }
  }
  ir::Expr v;
  if (!target.buffers.empty())
    v = value_of_type(*body, frame_.buffer(target.buffers[0]).type, "`" + target.name + "`", target.place,
                      target.type_text);
  else v = value(*body);
  if (!v.known()) return v;
  if (v.type() == ScalarType::index) {
    report(Diagnostic(codes::silent_conversion, body->place,
                      "`" + excerpt(body->place) + "` is an index, and a stage holds data")
               .with_help("convert it: `i64(" + excerpt(body->place) + ")`"));
    return {};
  }
  return reducer.empty() || reducible(reducer, *body, v) ? v : ir::Expr();
}

bool OpChecker::reducible(const std::string& reducer, const ast::Expr& body, const ir::Expr& value) {
  bool logic = reducer == "any" || reducer == "all";
  if (logic == (value.type() == ScalarType::boolean)) return true;
  report(Diagnostic(codes::wrong_operand, body.place,
                    "`" + reducer + "` takes " + (logic ? "conditions" : "numbers") + ", and this is `" +
                        std::string(ir::scalar_type_name(value.type())) + "`")
             .with_help(logic ? "compare it: `" + excerpt(body.place) + " != 0`"
                              : "use `any` or `all`, or `if .. then 1 else 0` with a type"));
  return false;
}

// A result is covered when each of its dims has an index of its own that runs over the whole dim.
bool OpChecker::covers(const Tensor& target, const std::vector<ir::Expr>& subs, const ast::Ref& left) {
  if (!target.result) return true;
  const ir::Buffer& buffer = frame_.buffer(target.buffers[0]);
  for (size_t i = 0; i < subs.size(); ++i) {
    const Index* index = index_of(subs[i]);
    const ir::BoxDim& box = buffer.box[i];
    if (!index || (ir::same(index->lo, box.lo) && ir::same(index->hi, box.hi))) continue;
    if (ir::equal(index->lo, box.lo, facts_) && ir::equal(index->hi, box.hi, facts_)) continue;
    report(Diagnostic(codes::not_covered, index->place,
                      "`" + target.name + "` is not covered: `" + index->name + "` runs over `" + text(index->lo) +
                          " .. " + text(index->hi) + "`, and the dim over `" + text(box.lo) + " .. " + text(box.hi) +
                          "`")
               .label(target.place, "`" + target.name + "` is declared here")
               .with_help("leave the range out: the left index of a result takes its dim"));
    return false;
  }
  (void)left;
  return true;
}

ir::Stage OpChecker::stage_row(const Tensor& t, const ast::Equation& eq, const std::string& reducer) {
  ir::Stage stage;
  stage.name = t.name;
  for (const Index& i : scope_.indices)
    if (!i.own) stage.axes.push_back({i.symbol, i.cls, i.lo, i.hi});
  stage.where = scope_.where;
  stage.writes = t.buffers;
  stage.reducer = reducer;
  stage.place = eq.place;
  return stage;
}

void OpChecker::finish(int target, const ast::Equation& eq, std::vector<ir::Expr> subs, const std::vector<int>& groups,
                       ir::Expr value, const std::string& reducer) {
  Tensor& t = tensors_[target];
  if (t.buffers.empty()) {
    ir::Buffer buffer;
    buffer.name = t.name;
    buffer.type = value.type();
    buffer.place = t.place;
    for (const ir::Expr& sub : subs) {
      const Index* index = index_of(sub);
      buffer.box.push_back({index->name, index->lo, index->hi});
    }
    t.buffers = {frame_.add(std::move(buffer))};
    t.groups = groups;
  }
  ir::Stage stage = stage_row(t, eq, reducer);
  ir::Assign assign;
  assign.buffer = t.buffers[0];
  assign.subs = std::move(subs);
  assign.kind = reducer.empty() ? ir::AssignKind::define : ir::AssignKind::combine;
  assign.value = std::move(value);
  ir::Equation equation;
  equation.stage = frame_.add(std::move(stage));
  equation.assigns.push_back(std::move(assign));
  equation.reducer = reducer;
  add_equation(std::move(equation));
  t.state = Tensor::State::readable;
}

void OpChecker::undefined_results() {
  for (const Tensor& t : tensors_)
    if (t.result && !t.defined.known())
      report(Diagnostic(codes::undefined_result, t.place, "the result `" + t.name + "` has no equation")
                 .with_help("add `" + t.name + "[..] = ..` to the body"));
}

}  // namespace heddle::frontend
