// inline p, ..
//
//   for i { p[i] = V(i) } ; .. p[s] ..  ->  .. V(s) ..
//   a read `p[s] or d` becomes `if s inside p's box then V(s) else d`
//
// Refused: p is an output, a reduction, a scan or an update; an instruction reads p; a tensor that p reads is not alive where
// p is read, or is updated in place; something else is computed inside p's loops.
#include <algorithm>

#include "schedule/names.h"
#include "schedule/nest.h"
#include "support/limits.h"

namespace heddle::schedule {

using namespace ir;

namespace {

bool is_scan(AxisClass cls) { return cls == AxisClass::scan || cls == AxisClass::scan_reverse; }

Result<Done> can_inline(const Step& step, StageId stage, const LeafSite& site) {
  const Program& p = step.program;
  const Stage& row = p.stage(stage);
  const Leaf& leaf = site.leaf();
  std::string name = "`" + row.name + "`";
  auto refuse = [&](std::string why) {
    Diagnostic d = step.refusal(codes::cannot_inline, name + " " + std::move(why));
    if (row.place.known()) d.labels.push_back({row.place, name + " is defined here"});
    return d;
  };
  if (!row.reducer.empty() || !leaf.reducer.empty())
    return refuse("is a reduction, which stands only at the root of a right side")
        .with_help("compute it where it is read: `compute_at " + row.name + " at ..`");
  if (leaf.assigns.size() != 1 || leaf.assigns[0].kind != AssignKind::define || !row.pure)
    return refuse("is no plain equation");
  if (p.buffer(leaf.assigns[0].buffer).role != Role::temporary) return refuse("is an output of the op");
  // Allocated inside the loop of its scan, it is read at its own step only.
  bool one_step = false;
  const Path alloc_path = path_to_alloc(p, leaf.assigns[0].buffer);
  for (const StmtRef& s : alloc_path)
    if (const For* l = as<For>(s))
      for (size_t i = 0; i < row.axes.size(); ++i)
        one_step |= is_scan(row.axes[i].cls) && mentions(leaf.bindings[i], l->loop);
  for (size_t i = 0; i < row.axes.size(); ++i)
    if (is_scan(row.axes[i].cls) && !one_step) return refuse("is read by its scan at other steps");
  for (size_t i = 0; i < row.axes.size(); ++i)
    if ((row.axes[i].cls != AxisClass::map && !is_scan(row.axes[i].cls)) || !dim_of_axis(p, leaf, i))
      return refuse("does not define its cells by plain indices");
  for (size_t i = 0; i + 1 < site.path.size(); ++i)
    if (children(site.path[i]).size() != 1 && !path_to_alloc(p, leaf.assigns[0].buffer).empty()) {
      Path alloc = path_to_alloc(p, leaf.assigns[0].buffer);
      if (i + 1 >= alloc.size()) return refuse("has something else computed inside its loops");
    }
  return Done{};
}

// What p reads must be alive, and the same, wherever p is read.
Result<Done> reads_stay(const Step& step, StageId stage, const Leaf& leaf) {
  const Program& p = step.program;
  const std::string& name = p.stage(stage).name;
  Path own = path_to_alloc(p, leaf.assigns[0].buffer);
  Diagnostics found;
  walk(leaf.assigns[0].value, [&](const Expr& node) {
    const Load* l = node.as<Load>();
    if (!l) return true;
    std::string other = "`" + buffer_name(p, l->buffer) + "`";
    Path alloc = path_to_alloc(p, l->buffer);
    bool alive = alloc.size() <= own.size();
    for (size_t i = 0; alive && i + 1 < alloc.size(); ++i) alive = alloc[i] == own[i];
    if (!alive)
      found.push_back(
          step.refusal(codes::cannot_inline, "`" + name + "` reads " + other + ", which is computed inside its loops")
              .label(alloc.back()->place, other + " lives only here")
              .with_help("inline " + other + " first"));
    for (const LeafSite& site : leaves(p.body))
      for (const Assign& a : site.leaf().assigns)
        if (a.kind == AssignKind::update && a.buffer == l->buffer)
          found.push_back(
              step.refusal(codes::cannot_inline, "`" + name + "` reads " + other + ", which is updated in place")
                  .label(site.path.back()->place, "updated here"));
    return true;
  });
  if (!found.empty()) return Diagnostics{found[0]};
  return Done{};
}

// Each read becomes the whole value: a stage that is read twice, in a chain of such, doubles with each.
Result<Done> stays_small(const Step& step, StageId stage, BufferId buffer, const Expr& value) {
  int64_t n = size_of(step.program);
  const int64_t grows = size_of(value);
  map_loads(step.program.body, {buffer}, [&](const Expr& read, const Load&) {
    n += grows;
    return read;
  });
  if (n <= limits::program_nodes) return Done{};
  return step.refusal(codes::too_large, "with `" + step.program.stage(stage).name +
                                            "` in place of each read of it the program would have more than " +
                                            std::to_string(limits::program_nodes) + " nodes");
}

Result<Done> inline_one(Step& step, StageId stage) {
  Program& p = step.program;
  std::vector<LeafSite> sites = leaves_of(p, stage);
  if (sites.size() != 1) return step.refusal(codes::cannot_inline, "`" + p.stage(stage).name + "` has several parts");
  const LeafSite site = sites[0];
  Result<Done> legal = can_inline(step, stage, site);
  if (!legal) return legal;
  const Leaf leaf = site.leaf();
  legal = reads_stay(step, stage, leaf);
  if (!legal) return legal;
  const Assign& equation = leaf.assigns[0];
  const BufferId buffer = equation.buffer;
  const Stage row = p.stage(stage);
  for (const Stage& other : p.stages)
    for (const Axis& a : other.axes)
      if (loads_from(a.lo, {buffer}) || loads_from(a.hi, {buffer}))
        return step.refusal(codes::cannot_inline, "the range of `" + other.name + "` is read from `" + row.name + "`");

  legal = no_instruction_reads(step, buffer);
  if (!legal) return legal;
  legal = stays_small(step, stage, buffer, equation.value);
  if (!legal) return legal;

  // The nest and its alloc go first, so that only readers are left.
  Path alloc = path_to_alloc(p, buffer);
  StmtRef nest = site.path[alloc.size() - 1];
  for (const StmtRef& s : site.path)
    if (const For* l = as<For>(s); l && p.symbol(l->loop).owner == row.name)
      consume(step, loop_name(p, l->loop), "inlined with `" + row.name + "`");
  replace(p, nest, {});
  replace(p, alloc.back(), {});
  consume(step, row.name, "inlined");
  p.stages[stage.value].writes.clear();  // its buffer is gone

  std::vector<BoxDim> box = p.buffer(buffer).box;
  p.body = map_loads(p.body, {buffer}, [&](const Expr&, const Load& l) {
    Substitution axes;
    for (size_t i = 0; i < row.axes.size(); ++i)
      axes.emplace_back(row.axes[i].symbol, l.subs[*dim_of_axis(p, leaf, i)]);
    Expr value = substitute(equation.value, axes);
    if (!l.otherwise.known()) return value;
    Expr in = bool_constant(true);
    for (size_t d = 0; d < box.size(); ++d)
      in = both(in, both(less_equal(box[d].lo, l.subs[d]), less(l.subs[d], box[d].hi)));
    return select(in, value, l.otherwise);
  });
  step.relied_on("`" + row.name + "` is pure: each read of it may be computed anew");
  return Done{};
}

}  // namespace

Result<Done> inline_step(Step& step) {
  for (const Term& term : step.call.operands) {
    Result<StageId> stage = find_stage(step, term);
    if (!stage) return stage.errors();
    Result<Done> done = inline_one(step, *stage);
    if (!done) return done;
  }
  return Done{};
}

}  // namespace heddle::schedule
