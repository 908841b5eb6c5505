#include "schedule/whole_range.h"

#include <algorithm>

#include "ir/print.h"
#include "schedule/names.h"
#include "schedule/nest.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

namespace {

struct Line {
  const ReducerLine* form = nullptr;
  std::string name;  // of the stage: "blk.m"
  Partial made;
  BufferId buffer;
};

std::string line_name(const Program& p, const Reducer& reducer, const ReducerLine& l) {
  return l.field >= 0 ? reducer.fields[l.field].name : p.symbol(l.local).name;
}

size_t own_dims(const Program& p, BufferId buffer) { return p.buffer(buffer).box.size() - p.buffer(buffer).field_dims; }

class Maker {
 public:
  Maker(Step& step, const Reduction& r, const Reducer& reducer)
      : step_(step), p_(step.program), r_(r), reducer_(reducer) {}

  Result<Done> add(const ReducerLine& form, const std::string& name, Body& out) {
    Line line;
    line.form = &form;
    line.name = name;
    Result<Partial> made = make_partial(step_, r_, name, 0);
    if (!made) return made.errors();
    line.made = *std::move(made);
    Substitution own;  // the line's own axes -> axes of the stage
    std::vector<For> own_loops = row(line, own);
    Result<Done> sized = buffer(line);
    if (!sized) return sized;
    out.push_back(make_stmt(Alloc{{line.buffer}}, step_.call.place));
    out.push_back(nest(line, own, own_loops));
    lines_.push_back(std::move(line));
    return Done{};
  }

  BufferId of_field(int field) const {
    for (const Line& l : lines_)
      if (l.form->field == field) return l.buffer;
    return {};
  }

 private:
  bool ranges_over(const Line& l) const { return l.form->each || !l.form->reducer.empty(); }

  // The axes of the line: cells and mapped loops; the range where elements are looked at; the field's own.
  std::vector<For> row(Line& line, Substitution& own) {
    Stage& row = p_.stages[line.made.stage.value];
    row.reducer = line.form->reducer;
    std::vector<SymbolId> range;
    for (Axis& a : row.axes)
      if (a.cls == AxisClass::reduce) range.push_back(a.symbol);
    auto of_range = [&](SymbolId s) { return std::find(range.begin(), range.end(), s) != range.end(); };
    if (line.form->each)
      for (Axis& a : row.axes)
        if (a.cls == AxisClass::reduce) a.cls = AxisClass::map;
    if (!ranges_over(line)) {
      std::erase_if(row.axes, [&](const Axis& a) { return of_range(a.symbol); });
      std::vector<Expr> parts;
      for (const Expr& part : conjuncts(row.where))
        if (std::none_of(range.begin(), range.end(), [&](SymbolId s) { return mentions(part, s); }))
          parts.push_back(part);
      row.where = conjoin(parts);
    }
    std::vector<For> loops;
    const std::vector<SymbolId> axes = line.form->axes;
    for (size_t k = 0; k < axes.size(); ++k) {
      Symbol symbol = p_.symbol(axes[k]);
      symbol.owner = line.name;
      symbol.kind = SymbolKind::axis;
      SymbolId axis = p_.add(symbol);
      symbol.kind = SymbolKind::loop;
      For l;
      l.loop = p_.add(symbol);
      l.lo = index_constant(0);
      l.hi = reducer_.fields[line.form->field].extents[k];
      p_.stages[line.made.stage.value].axes.push_back({axis, AxisClass::map, l.lo, l.hi});
      own.emplace_back(axes[k], var(axis));
      loops.push_back(std::move(l));
    }
    return loops;
  }

  std::vector<BoxDim> cells() const {
    const Window& w = r_.form().windows.front();
    const std::vector<Assign>& assigns = r_.leaf().assigns;
    auto assign = std::find_if(assigns.begin(), assigns.end(), [&](const Assign& a) { return a.buffer == w.buffer; });
    std::vector<BoxDim> out;
    for (size_t d = 0; d < own_dims(p_, w.buffer); ++d) {
      const Var* v = assign->subs[d].as<Var>();
      out.push_back({v ? p_.symbol(v->symbol).name : p_.buffer(w.buffer).box[d].name, w.ranges[d].lo, w.ranges[d].hi});
    }
    return out;
  }

  // Cells, mapped loops, then the range or the field's own axes.
  Result<Done> buffer(Line& line) {
    Buffer b;
    b.name = line.name;
    b.box = cells();
    b.type = line.form->value.type();
    b.place = step_.call.place;
    for (size_t i = 0; i < r_.loops.size(); ++i)
      if (r_.mapped[i]) b.box.push_back({p_.symbol(r_.loops[i].loop).name, r_.loops[i].lo, r_.loops[i].hi});
    for (size_t i = 0; line.form->each && i < r_.loops.size(); ++i)
      if (r_.reduces[i] && !r_.mapped[i])
        b.box.push_back({p_.symbol(r_.loops[i].loop).name, r_.loops[i].lo, r_.loops[i].hi});
    for (size_t k = 0; k < line.form->axes.size(); ++k)
      b.box.push_back(
          {p_.symbol(line.form->axes[k]).name, index_constant(0), reducer_.fields[line.form->field].extents[k]});
    for (const BoxDim& d : b.box)
      for (const For& l : r_.loops)
        if (mentions(d.lo, l.loop) || mentions(d.hi, l.loop))
          return step_.refusal(codes::not_shown,
                               "the size of `" + line.name + "` depends on `" + loop_name(p_, l.loop) + "`");
    line.buffer = p_.add(std::move(b));
    p_.stages[line.made.stage.value].writes = {line.buffer};
    Result<Memory> memory = memory_for(step_, {line.buffer}, std::nullopt);
    if (!memory) return memory.errors();
    p_.buffers[line.buffer.value].memory = *memory;
    return Done{};
  }

  // The subscripts of a line's buffer in the axes of another stage of the same partial results.
  std::vector<Expr> cell(const Line& of, const Line& in, const std::vector<Expr>& own) const {
    const Assign& assign = r_.leaf().assigns.front();
    std::vector<Expr> subs;
    for (size_t d = 0; d < own_dims(p_, assign.buffer); ++d) subs.push_back(substitute(assign.subs[d], in.made.body));
    for (size_t i = 0; i < r_.loops.size(); ++i)
      if (r_.mapped[i]) subs.push_back(substitute(var(r_.loops[i].loop), in.made.to_axes));
    for (size_t i = 0; of.form->each && i < r_.loops.size(); ++i)
      if (r_.reduces[i] && !r_.mapped[i]) subs.push_back(substitute(var(r_.loops[i].loop), in.made.to_axes));
    subs.insert(subs.end(), own.begin(), own.end());
    return subs;
  }

  // The line's value: fields of the element become what the old stage combined, earlier lines become reads.
  Expr value(const Line& line, const Substitution& own) const {
    return rewrite(substitute(line.form->value, own), [&](const Expr& e) {
      if (const Var* v = e.as<Var>())
        for (const Line& before : lines_)
          if (before.form->field < 0 && before.form->local == v->symbol)
            return load(e.type(), before.buffer, cell(before, line, {}));
      const StateField* s = e.as<StateField>();
      if (!s) return e;
      if (s->side == 2) {
        for (const Line& before : lines_)
          if (before.form->field == s->field) return load(e.type(), before.buffer, cell(before, line, s->subs));
        return e;
      }
      const Assign& a = r_.leaf().assigns[s->field];
      Substitution body = line.made.body;
      for (size_t k = 0; k < a.over.size(); ++k) body.emplace_back(a.over[k].symbol, s->subs[k]);
      return substitute(a.value, body);
    });
  }

  StmtRef nest(const Line& line, const Substitution& own, const std::vector<For>& own_loops) {
    const Stage row = p_.stage(line.made.stage);
    Leaf leaf = r_.leaf();
    leaf.stage = line.made.stage;
    leaf.reducer = line.form->reducer;
    leaf.bindings.clear();
    const Stage& old = p_.stage(r_.stage);
    for (size_t i = 0; i < old.axes.size(); ++i)
      if (old.axes[i].cls != AxisClass::reduce && old.axes[i].cls != AxisClass::scatter)
        leaf.bindings.push_back(substitute(r_.leaf().bindings[i], line.made.loops));
    for (size_t i = 0; i < r_.loops.size(); ++i)
      if (r_.reduces[i] && (r_.mapped[i] || ranges_over(line))) leaf.bindings.push_back(line.made.loops[i].second);
    for (const For& l : own_loops) leaf.bindings.push_back(var(l.loop));
    std::vector<Expr> parts;
    for (const Expr& part : conjuncts(leaf.predicate)) {
      bool needs_range = false;
      for (size_t i = 0; i < r_.loops.size(); ++i)
        needs_range |= r_.reduces[i] && !r_.mapped[i] && mentions(part, r_.loops[i].loop);
      if (!needs_range || ranges_over(line)) parts.push_back(substitute(part, line.made.loops));
    }
    leaf.predicate = conjoin(parts);
    std::vector<Expr> own_axes;
    for (const auto& [from, to] : own) own_axes.push_back(to);
    Assign a;
    a.buffer = line.buffer;
    a.subs = cell(line, line, own_axes);
    a.kind = line.form->reducer.empty() ? AssignKind::define : AssignKind::combine;
    a.value = value(line, own);
    leaf.assigns = {std::move(a)};
    StmtRef inner = make_stmt(std::move(leaf), r_.leaf_stmt->place);
    for (auto l = own_loops.rbegin(); l != own_loops.rend(); ++l) {
      For own_loop = *l;
      own_loop.body = {inner};
      inner = make_stmt(std::move(own_loop), r_.region->place);
    }
    for (size_t i = r_.loops.size(); i-- > 0;) {
      if (r_.reduces[i] && !r_.mapped[i] && !ranges_over(line)) continue;
      For l = plain_loop(r_.loops[i]);
      l.loop = line.made.loops[i].second.as<Var>()->symbol;
      l.lo = substitute(l.lo, line.made.loops);
      l.hi = substitute(l.hi, line.made.loops);
      l.body = {inner};
      inner = make_stmt(std::move(l), r_.region->place);
    }
    if (line.form->reducer.empty()) return inner;
    Reduce region;
    region.reducer = line.form->reducer;
    Window w{line.buffer, {}};
    for (const BoxDim& d : p_.buffer(line.buffer).box) w.ranges.push_back({d.lo, d.hi});
    region.windows = {std::move(w)};
    region.body = {inner};
    return make_stmt(std::move(region), r_.region->place);
  }

  Step& step_;
  Program& p_;
  const Reduction& r_;
  const Reducer& reducer_;
  std::vector<Line> lines_;
};

}  // namespace

Result<WholeRange> whole_range(Step& step, const Reduction& r, const std::string& name) {
  Program& p = step.program;
  const Reducer reducer = *p.reducer(r.form().reducer);
  if (reducer.whole.empty()) {
    Diagnostic d = step.refusal(codes::not_a_reduction, "`" + reducer.name + "` has no whole-range form");
    if (reducer.place.known()) d.labels.push_back({reducer.place, "declared here"});
    d.help = reducer.builtin == BuiltinReducer::none
                 ? "add `of[j] x { .. }`, which gives the state of a range, or leave out `with of`"
                 : "leave out `with of`: a built-in reducer needs none";
    return d;
  }
  WholeRange out;
  Maker maker(step, r, reducer);
  for (const ReducerLine& l : reducer.whole) {
    const std::string stage = name + "." + line_name(p, reducer, l);
    Result<Done> done = free_stage_name(step, stage);
    if (!done) return done.errors();
    done = maker.add(l, stage, out.statements);
    if (!done) return done.errors();
  }
  for (size_t f = 0; f < reducer.fields.size(); ++f) out.fields.buffers.push_back(maker.of_field(static_cast<int>(f)));
  step.relied_on("`" + reducer.name +
                 "` gives the state of a range by its form `of`: declared, and tried by `heddle check`");
  return out;
}

}  // namespace heddle::schedule
