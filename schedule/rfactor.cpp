#include <algorithm>

#include "ir/print.h"
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

namespace {

/// The reduction that a loop carries: region, chain of loops down to the only leaf.
struct Reduction {
  StageId stage;
  StmtRef region;
  Path outer;                 // statements around the region
  std::vector<For> loops;     // of the region, outermost first
  std::vector<bool> reduces;  // whether each drives a reduce axis
  size_t at = 0;              // the loop that becomes a map axis
  StmtRef leaf_stmt;

  const Leaf& leaf() const { return std::get<Leaf>(leaf_stmt->form); }
  const Reduce& form() const { return std::get<Reduce>(region->form); }
};

Result<Done> classify(const Step& step, Reduction& r) {
  const Stage& row = step.program.stage(r.stage);
  for (const For& l : r.loops) {
    bool reduces = false, maps = false;
    for (size_t i = 0; i < row.axes.size(); ++i) {
      if (!mentions(r.leaf().bindings[i], l.loop)) continue;
      (row.axes[i].cls == AxisClass::map ? maps : reduces) = true;
      if (row.axes[i].cls != AxisClass::map && row.axes[i].cls != AxisClass::reduce)
        return step.refusal(codes::not_a_reduction, "`" + loop_name(step.program, l.loop) + "` drives a scan or a scatter");
    }
    if (reduces && maps)
      return step.refusal(codes::not_a_reduction, "`" + loop_name(step.program, l.loop) + "` drives both an index of the result and one of the reduction");
    r.reduces.push_back(reduces);
  }
  for (size_t i = 0; i < r.loops.size(); ++i) {
    auto depends = [&](const For& a, const For& b) { return mentions(a.lo, b.loop) || mentions(a.hi, b.loop); };
    bool kept = i == r.at || !r.reduces[i];  // loops that the combining nest keeps
    for (size_t j = 0; j < i; ++j)
      if (kept && depends(r.loops[i], r.loops[j]) && (r.reduces[j] || i == r.at))
        return step.refusal(codes::order_matters, "the bounds of `" + loop_name(step.program, r.loops[i].loop) + "` depend on `" +
                                                      loop_name(step.program, r.loops[j].loop) + "`, a loop of the same reduction");
  }
  return Done{};
}

Result<Reduction> reduction_of(const Step& step, SymbolId loop) {
  const Program& p = step.program;
  std::string name = "`" + loop_name(p, loop) + "`";
  Path path = path_to_loop(p, loop);
  std::vector<LeafSite> sites = leaves(loop_of(path).body);
  Reduction r;
  int carried = 0;
  Path whole;
  for (const LeafSite& site : sites) {
    Path full = path;
    full.insert(full.end(), site.path.begin(), site.path.end());
    if (!carries_reduction(p, full, loop)) continue;
    ++carried;
    whole = full;
  }
  if (carried != 1) return step.refusal(codes::not_a_reduction, name + (carried ? " carries several reductions" : " carries no reduction"))
                        .label(path.back()->place, "this loop");
  int region = region_of(whole);
  if (region < 0) return step.refusal(codes::not_a_reduction, name + " scatters; its cells are not known before it runs");
  r.region = whole[region];
  r.outer.assign(whole.begin(), whole.begin() + region);
  r.leaf_stmt = whole.back();
  r.stage = r.leaf().stage;
  for (size_t i = region; i + 1 < whole.size(); ++i) {
    const Body& body = children(whole[i]);
    bool other_region = static_cast<int>(i) > region && as<Reduce>(whole[i]);
    if (body.size() != 1 || other_region) {
      const StmtRef& other = other_region ? whole[i] : body[0] == whole[i + 1] ? body[1] : body[0];
      Diagnostic d = step.refusal(codes::touched_producer, "another statement stands inside the reduction of `" + p.stage(r.stage).name + "`");
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

/// The stage of partial results while it is made.
struct Partial {
  StageId stage;
  Substitution loops;    // loops of the region -> the new stage's loops
  Substitution to_axes;  // the same loops, where they drive reductions -> axes of the new stage
  Substitution body;     // axes of the old stage -> expressions over axes of the new one
  std::vector<BufferId> buffers;
  SymbolId axis;         // the new map axis
};

// An expression over loops as one over axes: a loop that a map axis is `loop + rest` of is `axis - rest`.
Expr over_axes(const Program& p, const Reduction& r, const Substitution& reduce_loops, const std::vector<Axis>& map_axes, Expr e) {
  e = tidy(substitute(e, reduce_loops));
  size_t axis = 0;
  const Stage& row = p.stage(r.stage);
  for (size_t i = 0; i < row.axes.size(); ++i) {
    if (row.axes[i].cls != AxisClass::map) continue;
    const Expr& binding = r.leaf().bindings[i];
    Expr value = var(map_axes[axis++].symbol);
    std::vector<SymbolId> inside;
    walk(binding, [&](const Expr& node) {
      if (const Var* v = node.as<Var>(); v && p.symbol(v->symbol).kind == SymbolKind::loop) inside.push_back(v->symbol);
      return true;
    });
    for (SymbolId loop : inside) {
      AffineIn a = affine_in(simplify(binding), loop);
      if (!a.ok || a.coefficient != 1) continue;
      e = tidy(substitute(e, {{loop, value - a.rest}}));
      break;
    }
  }
  return e;
}

bool mentions_loops(const Program& p, const Expr& e) {
  bool found = false;
  walk(e, [&](const Expr& node) {
    if (const Var* v = node.as<Var>()) found |= p.symbol(v->symbol).kind == SymbolKind::loop;
    return !found;
  });
  return found;
}

SymbolId copy_symbol(Program& p, SymbolId from, const std::string& owner, SymbolKind kind) {
  Symbol s = p.symbol(from);
  s.owner = owner;
  s.kind = kind;
  return p.add(std::move(s));
}

// The new row: the old map axes, then one axis for each reduce loop of the region; the loop itself is a map axis now.
Result<Done> make_row(Step& step, const Reduction& r, const std::string& name, Partial& out) {
  Program& p = step.program;
  const Stage old = p.stage(r.stage);
  Stage row = old;
  row.name = name;
  row.axes.clear();
  row.place = step.call.place;
  for (const Axis& a : old.axes) {
    if (a.cls != AxisClass::map) continue;
    Axis next = a;
    next.symbol = copy_symbol(p, a.symbol, name, SymbolKind::axis);
    next.lo = substitute(next.lo, out.body);
    next.hi = substitute(next.hi, out.body);
    out.body.emplace_back(a.symbol, var(next.symbol));
    row.axes.push_back(std::move(next));
  }
  const std::vector<Axis> map_axes = row.axes;
  for (size_t i = 0; i < r.loops.size(); ++i) {
    SymbolId loop = copy_symbol(p, r.loops[i].loop, name, SymbolKind::loop);
    out.loops.emplace_back(r.loops[i].loop, var(loop));
    if (!r.reduces[i]) continue;
    Axis next;
    next.symbol = copy_symbol(p, r.loops[i].loop, name, SymbolKind::axis);
    next.cls = i == r.at ? AxisClass::map : AxisClass::reduce;
    next.lo = over_axes(p, r, out.to_axes, map_axes, r.loops[i].lo);
    next.hi = over_axes(p, r, out.to_axes, map_axes, r.loops[i].hi);
    if (mentions_loops(p, next.lo) || mentions_loops(p, next.hi))
      return step.refusal(codes::not_shown, "the bounds of `" + loop_name(p, r.loops[i].loop) + "` cannot be written in the indices of `" + old.name + "`");
    out.to_axes.emplace_back(r.loops[i].loop, var(next.symbol));
    if (i == r.at) out.axis = next.symbol;
    row.axes.push_back(std::move(next));
  }
  for (size_t i = 0; i < old.axes.size(); ++i) {
    if (old.axes[i].cls == AxisClass::map) continue;
    Expr value = over_axes(p, r, out.to_axes, map_axes, r.leaf().bindings[i]);
    if (mentions_loops(p, value))
      return step.refusal(codes::not_shown, "`" + p.symbol(old.axes[i].symbol).name + "` of `" + old.name + "` cannot be written in the loops of its reduction");
    out.body.emplace_back(old.axes[i].symbol, value);
  }
  if (row.where.known()) row.where = tidy(substitute(row.where, out.body));
  row.writes.clear();
  out.stage = p.add(std::move(row));
  return Done{};
}

// One buffer for each field: the region's window, then the loop's range, then the field's own dims.
void make_buffers(Program& p, const Reduction& r, const std::string& name, const Place& place, Partial& out) {
  const For& at = r.loops[r.at];
  for (const Window& w : r.form().windows) {
    Buffer b = p.buffer(w.buffer);
    size_t own = b.box.size() - b.field_dims;
    const Assign* assign = nullptr;
    for (const Assign& a : r.leaf().assigns)
      if (a.buffer == w.buffer) assign = &a;
    for (size_t d = 0; d < own; ++d) {
      const Var* v = assign ? assign->subs[d].as<Var>() : nullptr;
      b.box[d] = {v ? p.symbol(v->symbol).name : b.box[d].name, w.ranges[d].lo, w.ranges[d].hi};
    }
    b.box.insert(b.box.begin() + own, BoxDim{p.symbol(at.loop).name, at.lo, at.hi});
    b.name = name;
    b.groups.clear();
    b.layout.reset();
    b.pad = {};
    b.copies = 1;
    b.role = Role::temporary;
    b.memory = Memory::dram;
    b.place = place;
    out.buffers.push_back(p.add(std::move(b)));
  }
  p.stages[out.stage.value].writes = out.buffers;
}

size_t window_of(const Reduction& r, BufferId buffer) {
  size_t i = 0;
  while (r.form().windows[i].buffer != buffer) ++i;
  return i;
}

// reduce p[.., L] by R { loops { p[.., L] R= body } }
StmtRef partial_nest(const Program& p, const Reduction& r, const Partial& made) {
  Leaf leaf = r.leaf();
  leaf.stage = made.stage;
  std::vector<Expr> bindings;
  const Stage& old = p.stage(r.stage);
  for (size_t i = 0; i < old.axes.size(); ++i)
    if (old.axes[i].cls == AxisClass::map) bindings.push_back(substitute(leaf.bindings[i], made.loops));
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.reduces[i]) bindings.push_back(made.loops[i].second);
  leaf.bindings = std::move(bindings);
  if (leaf.predicate.known()) leaf.predicate = substitute(leaf.predicate, made.loops);
  for (Assign& a : leaf.assigns) {
    const Buffer& b = p.buffer(a.buffer);
    for (Expr& s : a.subs) s = substitute(s, made.body);
    a.subs.insert(a.subs.begin() + (b.box.size() - b.field_dims), var(made.axis));
    for (Axis& x : a.over) x.lo = substitute(x.lo, made.body), x.hi = substitute(x.hi, made.body);
    a.value = substitute(a.value, made.body);
    a.buffer = made.buffers[window_of(r, a.buffer)];
  }
  StmtRef inner = make_stmt(std::move(leaf), r.leaf_stmt->place);
  for (size_t i = r.loops.size(); i-- > 0;) {
    For l = r.loops[i];
    l.loop = made.loops[i].second.as<Var>()->symbol;
    l.lo = substitute(l.lo, made.loops);
    l.hi = substitute(l.hi, made.loops);
    l.body = {inner};
    inner = make_stmt(std::move(l), r.region->place);
  }
  Reduce region = r.form();
  const For& at = r.loops[r.at];
  for (size_t i = 0; i < region.windows.size(); ++i) {
    Window& w = region.windows[i];
    const Buffer& b = p.buffer(w.buffer);
    w.ranges.insert(w.ranges.begin() + (b.box.size() - b.field_dims), Range{at.lo, at.hi});
    w.buffer = made.buffers[i];
  }
  region.body = {inner};
  return make_stmt(std::move(region), r.region->place);
}

// reduce S[..] by R { for L { map loops { S[..] R= p[.., L] } } }
StmtRef combining_nest(Step& step, const Reduction& r, const Partial& made, bool reassociated) {
  Program& p = step.program;
  const For& at = r.loops[r.at];
  Stage& row = p.stages[r.stage.value];
  Leaf leaf = r.leaf();
  std::vector<Axis> axes;
  leaf.bindings.clear();
  for (size_t i = 0; i < row.axes.size(); ++i) {
    if (row.axes[i].cls != AxisClass::map) continue;
    axes.push_back(row.axes[i]);
    leaf.bindings.push_back(r.leaf().bindings[i]);
  }
  const std::string owner = row.name;
  SymbolId axis = copy_symbol(p, at.loop, owner, SymbolKind::axis);
  Stage& old = p.stages[r.stage.value];
  const std::vector<Axis> map_axes = axes;
  axes.push_back(Axis{axis, AxisClass::reduce, over_axes(p, r, {}, map_axes, at.lo), over_axes(p, r, {}, map_axes, at.hi)});
  leaf.bindings.push_back(var(at.loop));
  // Conditions on the reduction were met when the partial results were made; an empty one holds the identity.
  auto kept = [&](const Expr& condition, auto&& spoils) {
    std::vector<Expr> parts;
    for (const Expr& part : conjuncts(condition))
      if (!spoils(part)) parts.push_back(part);
    return conjoin(parts);
  };
  leaf.predicate = kept(leaf.predicate, [&](const Expr& e) {
    for (size_t i = 0; i < r.loops.size(); ++i)
      if (r.reduces[i] && mentions(e, r.loops[i].loop)) return true;
    return false;
  });
  old.where = kept(old.where, [&](const Expr& e) {
    for (const Axis& a : old.axes)
      if (a.cls != AxisClass::map && mentions(e, a.symbol)) return true;
    return false;
  });
  old.axes = axes;
  for (Assign& a : leaf.assigns) {
    const Buffer& b = p.buffer(a.buffer);
    std::vector<Expr> subs = a.subs;
    subs.insert(subs.begin() + (b.box.size() - b.field_dims), var(axis));
    a.value = load(b.type, made.buffers[window_of(r, a.buffer)], std::move(subs));
  }
  StmtRef inner = make_stmt(std::move(leaf), r.leaf_stmt->place);
  for (size_t i = r.loops.size(); i-- > 0;) {
    if (r.reduces[i] && i != r.at) continue;
    For l = r.loops[i];
    l.kind = LoopKind::serial;
    l.body = {inner};
    inner = make_stmt(std::move(l), r.region->place);
  }
  Reduce region = r.form();
  region.reassociated |= reassociated;
  region.body = {inner};
  return make_stmt(std::move(region), r.region->place);
}

}  // namespace

Result<StageId> rfactor_loop(Step& step, SymbolId loop, const std::string& name) {
  Program& p = step.program;
  Result<Reduction> found = reduction_of(step, loop);
  if (!found) return found.errors();
  const Reduction& r = *found;
  const Reducer* reducer = p.reducer(r.form().reducer);
  if (reducer->builtin == BuiltinReducer::argmax || reducer->builtin == BuiltinReducer::argmin)
    return step.refusal(codes::step_not_built, "`rfactor` of `" + reducer->name + "` is not built yet");
  Result<Done> free = free_stage_name(step, name);
  if (!free) return free.errors();

  // Partial results of blocks in order need no more than associativity; of interleaved blocks, also that terms commute.
  bool outer = false, inner = false;
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.reduces[i] && i != r.at) (i < r.at ? outer : inner) = true;
  bool reassociated = false;
  if (outer || inner) {
    Result<bool> leave = can_reassociate(step, r.form(), outer, "making partial results over `" + loop_name(p, loop) + "`");
    if (!leave) return leave.errors();
    reassociated = *leave;
  }
  const std::string owner = p.stage(r.stage).name;
  for (size_t i = 0; i < r.loops.size(); ++i)
    if (r.reduces[i] && i != r.at) consume(step, loop_name(p, r.loops[i].loop), "moved to `" + name + "." + p.symbol(r.loops[i].loop).name + "`");

  Partial made;
  Result<Done> row = make_row(step, r, name, made);
  if (!row) return row.errors();
  make_buffers(p, r, name, step.call.place, made);
  Result<Memory> memory = memory_for(step, made.buffers, std::nullopt);
  if (!memory) return memory.errors();
  for (BufferId id : made.buffers) p.buffers[id.value].memory = *memory;
  StmtRef partial = partial_nest(p, r, made);
  StmtRef combining = combining_nest(step, r, made, reassociated);
  replace(p, r.region, {make_stmt(Alloc{made.buffers}, step.call.place), partial, combining});
  return made.stage;
}

}  // namespace heddle::schedule
