#include "schedule/partial.h"

#include <algorithm>

#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

Result<Done> classify(const Step& step, Reduction& r) {
  const Stage& row = step.program.stage(r.stage);
  for (const For& l : r.loops) {
    bool reduces = false, maps = false;
    for (size_t i = 0; i < row.axes.size(); ++i) {
      if (!mentions(r.leaf().bindings[i], l.loop)) continue;
      (row.axes[i].cls == AxisClass::map ? maps : reduces) = true;
      if (row.axes[i].cls != AxisClass::map && row.axes[i].cls != AxisClass::reduce)
        return step.refusal(codes::not_a_reduction,
                            "`" + loop_name(step.program, l.loop) + "` drives a scan or a scatter");
    }
    if (reduces && maps)
      return step.refusal(codes::not_a_reduction, "`" + loop_name(step.program, l.loop) +
                                                      "` drives both an index of the result and one of the reduction");
    r.reduces.push_back(reduces);
  }
  r.mapped.assign(r.loops.size(), false);
  return Done{};
}

// The leaf below the loop that combines into an open region, with its whole path.
Result<Path> combining_path(const Step& step, const Path& path, bool open) {
  const Program& p = step.program;
  SymbolId loop = loop_of(path).loop;
  int carried = 0;
  Path whole;
  for (const LeafSite& site : leaves(loop_of(path).body)) {
    Path full = path;
    full.insert(full.end(), site.path.begin(), site.path.end());
    int region = region_of(full);
    bool wanted = open ? region >= 0 && region < static_cast<int>(path.size()) : carries_reduction(p, full, loop);
    if (!wanted) continue;
    ++carried;
    whole = full;
  }
  std::string name = "`" + loop_name(p, loop) + "`";
  if (carried == 1) {
    // The stage's row gets other axes, and it is the row of every part.
    const StageId stage = std::get<Leaf>(whole.back()->form).stage;
    if (leaves_of(p, stage).size() != 1)
      return step.refusal(codes::touched_producer, "`" + p.stage(stage).name + "` has several parts")
          .with_help("move this line above the step that copied its nest");
    if (region_of(whole) >= 0) return whole;
    return step.refusal(codes::not_a_reduction, name + " scatters; its cells are not known before it runs");
  }
  return step
      .refusal(codes::not_a_reduction, name + (carried ? " carries several reductions" : " carries no reduction"))
      .label(path.back()->place, "this loop");
}

SymbolId copy_symbol(Program& p, SymbolId from, const std::string& owner, SymbolKind kind) {
  Symbol s = p.symbol(from);
  s.owner = owner;
  s.kind = kind;
  return p.add(std::move(s));
}

// Axes that both stages of a split reduction have: their cells, and the step of a scan.
bool keeps(AxisClass cls) { return cls != AxisClass::reduce && cls != AxisClass::scatter; }

// An expression over loops as one over axes: a loop that a map axis is `loop + rest` of is `axis - rest`.
Expr over_axes(const Program& p, const Reduction& r, const Substitution& reduce_loops,
               const std::vector<Axis>& map_axes, Expr e) {
  e = tidy(substitute(e, reduce_loops));
  size_t axis = 0;
  const Stage& row = p.stage(r.stage);
  for (size_t i = 0; i < row.axes.size(); ++i) {
    if (!keeps(row.axes[i].cls)) continue;
    const Expr& binding = r.leaf().bindings[i];
    Expr value = var(map_axes[axis++].symbol);
    std::vector<SymbolId> inside;
    walk(binding, [&](const Expr& node) {
      if (const Var* v = node.as<Var>(); v && p.symbol(v->symbol).kind == SymbolKind::loop) inside.push_back(v->symbol);
      return true;
    });
    for (SymbolId loop : inside) {
      AffineIn a = affine_in(simplify(binding), loop);
      if (!a.ok || (a.coefficient != 1 && a.coefficient != -1)) continue;
      e = tidy(substitute(e, {{loop, a.coefficient == 1 ? value - a.rest : a.rest - value}}));
      break;
    }
  }
  return e;
}

Expr kept_parts(const Expr& condition, const std::function<bool(const Expr&)>& spoils) {
  std::vector<Expr> parts;
  for (const Expr& part : conjuncts(condition))
    if (!spoils(part)) parts.push_back(part);
  return conjoin(parts);
}

size_t window_of(const Reduction& r, BufferId buffer) {
  size_t i = 0;
  while (r.form().windows[i].buffer != buffer) ++i;
  return i;
}

size_t own_dims(const Program& p, BufferId buffer) { return p.buffer(buffer).box.size() - p.buffer(buffer).field_dims; }

}  // namespace

Result<Reduction> reduction_of(const Step& step, SymbolId loop, bool open) {
  const Program& p = step.program;
  Path path = path_to_loop(p, loop);
  Result<Path> found = combining_path(step, path, open);
  if (!found) return found.errors();
  const Path& whole = *found;
  int region = region_of(whole);
  Reduction r;
  r.region = whole[region];
  r.leaf_stmt = whole.back();
  r.stage = r.leaf().stage;
  for (size_t i = region; i + 1 < whole.size(); ++i) {
    const Body& body = children(whole[i]);
    bool other_region = static_cast<int>(i) > region && as<Reduce>(whole[i]);
    if (body.size() != 1 || other_region) {
      const StmtRef& other = other_region ? whole[i] : body[0] == whole[i + 1] ? body[1] : body[0];
      Diagnostic d = step.refusal(codes::touched_producer,
                                  "another statement stands inside the reduction of `" + p.stage(r.stage).name + "`");
      if (other->place.known()) d.labels.push_back({other->place, "this one"});
      d.help = "move this line above the step that placed it there";
      return d;
    }
    if (const For* l = as<For>(whole[i])) {
      if (l->loop == loop) r.at = r.loops.size();
      r.loops.push_back(*l);
    }
  }
  Result<Done> serial = can_rewrite(step, path);
  if (!serial) return serial.errors();
  Result<Done> classes = classify(step, r);
  if (!classes) return classes.errors();
  return r;
}

Result<bool> can_make_partials(Step& step, const Reduction& r) {
  bool outer = false,
       inner = false;  // reduce loops outside and inside of the innermost mapped one, left to the partial results
  size_t last = 0;
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.mapped[i]) last = i;
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.reduces[i] && !r.mapped[i]) (i < last ? outer : inner) = true;
  const bool regroups = outer || inner;
  // Those of one term each still begin from the identity: of the built-in reducers that is exact.
  if (!regroups && step.program.reducer(r.form().reducer)->builtin != BuiltinReducer::none) return false;
  return can_reassociate(step, r.form(), outer,
                         regroups ? "making partial results over `" + loop_name(step.program, r.loops[last].loop) + "`"
                                  : "beginning each partial result from the identity");
}

Result<Partial> make_partial(Step& step, const Reduction& r, const std::string& name, size_t own) {
  Program& p = step.program;
  const Stage old = p.stage(r.stage);
  Partial out;
  Stage row = old;
  row.name = name;
  row.axes.clear();
  row.place = step.call.place;
  for (const Axis& a : old.axes) {
    if (!keeps(a.cls)) continue;
    Axis next = a;
    next.symbol = copy_symbol(p, a.symbol, name, SymbolKind::axis);
    next.lo = substitute(next.lo, out.body);
    next.hi = substitute(next.hi, out.body);
    out.body.emplace_back(a.symbol, var(next.symbol));
    row.axes.push_back(std::move(next));
  }
  const std::vector<Axis> map_axes = row.axes;
  for (size_t i = 0; i < r.loops.size(); ++i) {
    const For& l = r.loops[i];
    out.loops.emplace_back(l.loop, var(i < own ? l.loop : copy_symbol(p, l.loop, name, SymbolKind::loop)));
    if (!r.reduces[i]) continue;
    Axis next;
    next.symbol = copy_symbol(p, l.loop, name, SymbolKind::axis);
    next.cls = r.mapped[i] ? AxisClass::map : AxisClass::reduce;
    next.lo = over_axes(p, r, out.to_axes, map_axes, l.lo);
    next.hi = over_axes(p, r, out.to_axes, map_axes, l.hi);
    if (mentions_loops(p, next.lo) || mentions_loops(p, next.hi))
      return step.refusal(codes::not_shown, "the bounds of `" + loop_name(p, l.loop) +
                                                "` cannot be written in the indices of `" + old.name + "`");
    out.to_axes.emplace_back(l.loop, var(next.symbol));
    if (r.mapped[i]) out.axes.push_back(next.symbol);
    row.axes.push_back(std::move(next));
  }
  for (size_t i = 0; i < old.axes.size(); ++i) {
    if (keeps(old.axes[i].cls)) continue;
    Expr value = over_axes(p, r, out.to_axes, map_axes, r.leaf().bindings[i]);
    if (mentions_loops(p, value))
      return step.refusal(codes::not_shown, "`" + p.symbol(old.axes[i].symbol).name + "` of `" + old.name +
                                                "` cannot be written in the loops of its reduction");
    out.body.emplace_back(old.axes[i].symbol, value);
  }
  if (row.where.known()) row.where = tidy(substitute(row.where, out.body));
  row.writes.clear();
  out.stage = p.add(std::move(row));
  return out;
}

void make_buffers(Step& step, const Reduction& r, const std::string& name, const std::vector<Window>& windows,
                  const std::vector<Range>& ranges, Partial& made) {
  Program& p = step.program;
  for (const Window& w : windows) {
    Buffer b = p.buffer(w.buffer);
    size_t own = own_dims(p, w.buffer);
    const std::vector<Assign>& assigns = r.leaf().assigns;
    auto assign = std::find_if(assigns.begin(), assigns.end(), [&](const Assign& a) { return a.buffer == w.buffer; });
    for (size_t d = 0; d < own; ++d) {
      const Var* v = assign->subs[d].as<Var>();
      b.box[d] = {v ? p.symbol(v->symbol).name : b.box[d].name, w.ranges[d].lo, w.ranges[d].hi};
    }
    for (size_t i = 0; i < ranges.size(); ++i)
      b.box.insert(b.box.begin() + own + i, BoxDim{p.symbol(made.axes[i]).name, ranges[i].lo, ranges[i].hi});
    b.name = name;
    b.groups.clear();
    b.layout.reset();
    b.pad = {};
    b.copies = 1;
    b.role = Role::temporary;
    b.memory = Memory::dram;
    b.place = step.call.place;
    made.buffers.push_back(p.add(std::move(b)));
  }
  p.stages[made.stage.value].writes = made.buffers;
}

StmtRef partial_leaf(Program& p, const Reduction& r, const Partial& made) {
  Leaf leaf = r.leaf();
  leaf.stage = made.stage;
  std::vector<Expr> bindings;
  const Stage& old = p.stage(r.stage);
  for (size_t i = 0; i < old.axes.size(); ++i)
    if (keeps(old.axes[i].cls)) bindings.push_back(substitute(leaf.bindings[i], made.loops));
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.reduces[i]) bindings.push_back(made.loops[i].second);
  leaf.bindings = std::move(bindings);
  if (leaf.predicate.known()) leaf.predicate = substitute(leaf.predicate, made.loops);
  for (Assign& a : leaf.assigns) {
    size_t own = own_dims(p, a.buffer);
    for (Expr& s : a.subs) s = substitute(s, made.body);
    for (size_t i = 0; i < made.axes.size(); ++i) a.subs.insert(a.subs.begin() + own + i, var(made.axes[i]));
    // Each leaf has indices of a field's own, so that printed programs read back to equal ones.
    Substitution body = made.body;
    for (Axis& x : a.over) {
      SymbolId own_index = copy_symbol(p, x.symbol, p.symbol(x.symbol).owner, p.symbol(x.symbol).kind);
      x.lo = substitute(x.lo, body);
      x.hi = substitute(x.hi, body);
      body.emplace_back(x.symbol, var(own_index));
      x.symbol = own_index;
    }
    for (Expr& e : a.subs) e = substitute(e, body);
    a.value = substitute(a.value, body);
    a.buffer = made.buffers[window_of(r, a.buffer)];
  }
  return make_stmt(std::move(leaf), r.leaf_stmt->place);
}

StmtRef in_partial_loops(const Reduction& r, const Partial& made, size_t from, StmtRef inner) {
  for (size_t i = r.loops.size(); i-- > from;) {
    For l = r.loops[i];
    l.loop = made.loops[i].second.as<Var>()->symbol;
    l.lo = substitute(l.lo, made.loops);
    l.hi = substitute(l.hi, made.loops);
    l.body = {inner};
    inner = make_stmt(std::move(l), r.region->place);
  }
  return inner;
}

StmtRef partial_region(const Program& p, const Reduction& r, const Partial& made, const std::vector<Window>& windows,
                       const std::vector<Range>& ranges, StmtRef inner) {
  Reduce region = r.form();
  region.windows = windows;
  for (size_t i = 0; i < region.windows.size(); ++i) {
    Window& w = region.windows[i];
    size_t own = own_dims(p, w.buffer);
    w.ranges.insert(w.ranges.begin() + static_cast<std::ptrdiff_t>(own), ranges.begin(), ranges.end());
    w.buffer = made.buffers[i];
  }
  region.reassociated = false;
  region.body = {std::move(inner)};
  return make_stmt(std::move(region), r.region->place);
}

Leaf combining_leaf(Step& step, const Reduction& r, const Partial& made) {
  Program& p = step.program;
  const Stage old = p.stage(r.stage);
  Leaf leaf = r.leaf();
  leaf.bindings.clear();
  std::vector<Axis> axes;
  for (size_t i = 0; i < old.axes.size(); ++i) {
    if (!keeps(old.axes[i].cls)) continue;
    axes.push_back(old.axes[i]);
    leaf.bindings.push_back(r.leaf().bindings[i]);
  }
  const std::vector<Axis> map_axes = axes;
  std::vector<Expr> taken;
  Substitution before;  // mapped loops outside of the next one
  for (size_t i = 0; i < r.loops.size(); ++i) {
    if (!r.mapped[i]) continue;
    SymbolId axis = copy_symbol(p, r.loops[i].loop, old.name, SymbolKind::axis);
    axes.push_back(Axis{axis, AxisClass::reduce, over_axes(p, r, before, map_axes, r.loops[i].lo),
                        over_axes(p, r, before, map_axes, r.loops[i].hi)});
    before.emplace_back(r.loops[i].loop, var(axis));
    leaf.bindings.push_back(var(r.loops[i].loop));
    taken.push_back(var(axis));
  }
  leaf.predicate = kept_parts(leaf.predicate, [&](const Expr& e) {
    for (size_t i = 0; i < r.loops.size(); ++i)
      if (r.reduces[i] && mentions(e, r.loops[i].loop)) return true;
    return false;
  });
  Stage& row = p.stages[r.stage.value];
  row.where = kept_parts(row.where, [&](const Expr& e) {
    return std::any_of(old.axes.begin(), old.axes.end(),
                       [&](const Axis& a) { return !keeps(a.cls) && mentions(e, a.symbol); });
  });
  row.axes = std::move(axes);
  for (Assign& a : leaf.assigns) {
    std::vector<Expr> subs = a.subs;
    subs.insert(subs.begin() + static_cast<std::ptrdiff_t>(own_dims(p, a.buffer)), taken.begin(), taken.end());
    a.value = load(p.buffer(a.buffer).type, made.buffers[window_of(r, a.buffer)], std::move(subs));
  }
  return leaf;
}

}  // namespace heddle::schedule
