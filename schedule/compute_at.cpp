#include <algorithm>

#include "ir/print.h"
#include "schedule/legality.h"
#include "schedule/nest.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// Every reader stands below the loop.
Result<Done> readers_below(const Step& step, const ProducerNest& nest, SymbolId loop) {
  const Program& p = step.program;
  const std::string& name = p.stage(nest.stage).name;
  Diagnostics outside;
  bool any = false;
  walk_paths(p.body, [&](const Path& path) {
    if (!reads_itself(path.back(), nest.buffers)) return;
    any = true;
    for (size_t i = 0; i + 1 < path.size(); ++i)
      if (const For* l = as<For>(path[i]); l && l->loop == loop) return;
    if (!outside.empty()) return;
    const Leaf* leaf = as<Leaf>(path.back());
    if (leaf && leaf->stage == nest.stage) {
      outside.push_back(step.refusal(codes::reader_outside, "`" + name + "` reads itself at other steps of its scan"));
      outside[0].labels.push_back({path.back()->place, "read here"});
      outside[0].help =
          "a scan runs as a whole: `fuse` its loop with that of its reader where each step reads what is there by then";
      return;
    }
    std::string reader = leaf ? "`" + p.stage(leaf->stage).name + "`" : "a bound or a check";
    outside.push_back(
        step.refusal(codes::reader_outside, reader + " reads `" + name + "` outside `" + loop_name(p, loop) + "`"));
    if (path.back()->place.known()) outside[0].labels.push_back({path.back()->place, "read here"});
    outside[0].help = "place `" + name + "` at a loop around all of its readers, or place this reader first";
  });
  if (!outside.empty()) return outside;
  if (!any)
    return step.refusal(codes::reader_outside, "nothing reads `" + name + "`, so there is no box to compute")
        .with_help("stages that are placed are read somewhere: leave this one out");
  return Done{};
}

// What the producer reads is the same wherever it is computed.
Result<Done> reads_nothing_updated(const Step& step, const ProducerNest& nest) {
  const Program& p = step.program;
  std::vector<BufferId> read;
  for (const Access& a : accesses(p, {nest.chain.front()}))
    if (a.reads && !a.combines) read.push_back(a.buffer);
  for (const LeafSite& site : leaves(p.body))
    for (const Assign& a : site.leaf().assigns) {
      if (a.kind != AssignKind::update || std::find(read.begin(), read.end(), a.buffer) == read.end()) continue;
      return step
          .refusal(codes::touched_producer, "`" + p.stage(nest.stage).name + "` reads `" + buffer_name(p, a.buffer) +
                                                "`, which is updated in place: it stays before or after the update")
          .label(site.path.back()->place, "updated here");
    }
  return Done{};
}

// What the producer reads is there where it will stand: not made by a later statement of the loop, whose tensor `store_at` put outside.
Result<Done> operands_before(const Step& step, const ProducerNest& nest, const Body& after, SymbolId loop) {
  const Program& p = step.program;
  for (const Access& a : accesses(p, {nest.chain.front()})) {
    if (!a.reads || a.combines) continue;
    for (const Access& other : accesses(p, after, a.buffer))
      if (other.writes)
        return step
            .refusal(codes::order_matters, "`" + p.stage(nest.stage).name + "` reads `" + buffer_name(p, a.buffer) +
                                               "`, which is made further inside `" + loop_name(p, loop) + "`")
            .label(other.by ? other.by->place : step.call.place, "made here")
            .with_help("place `" + buffer_name(p, a.buffer) + "` at `" + loop_name(p, loop) +
                       "` or outside of it first");
  }
  return Done{};
}

// The box of cells that one iteration reads, over all fields of a state; own dims first, as in the field with the
// fewest.
TouchedBox box_read(const Program& p, const ProducerNest& nest, const Body& body, const Facts& at) {
  BufferId least = nest.buffers[0];
  for (BufferId id : nest.buffers)
    if (p.buffer(id).field_dims < p.buffer(least).field_dims) least = id;
  size_t own = p.buffer(least).box.size() - p.buffer(least).field_dims;
  std::vector<Access> reads;
  for (BufferId id : nest.buffers)
    for (Access a : accesses(p, body, id)) {
      if (!a.reads || a.combines) continue;
      a.window.resize(own);
      for (size_t d = own; d < p.buffer(least).box.size(); ++d)
        a.window.push_back({p.buffer(least).box[d].lo, p.buffer(least).box[d].hi});
      a.buffer = least;
      reads.push_back(std::move(a));
    }
  return box_of(p, reads, at);
}

struct Placed {
  Substitution moved;                     // old loop -> its value in the new nest
  std::vector<Expr> guards;               // where the box reaches outside of what the stage had computed
  std::vector<std::optional<For>> loops;  // as nest.loops: the new loop, or none where one point is left
};

// The new loops run over the box; each axis value stays within the old range of its loop.
Placed place_loops(Step& step, const ProducerNest& nest, const TouchedBox& box, Facts facts) {
  Placed out;
  struct Check {
    Expr value, lo, hi;
  };
  std::vector<Check> checks;
  for (const ProducerNest::Loop& l : nest.loops) {
    if (step.program.stage(nest.stage).axes[l.axis].cls != AxisClass::map) {
      out.loops.emplace_back(l.form);
      continue;
    }
    Range range = range_of(box, l.dim);
    Expr old_lo = simplify(l.rest + l.form.lo), old_hi = simplify(l.rest + l.form.hi);
    if (equal(range.lo, old_lo, facts) && equal(range.hi, old_hi, facts)) {
      out.loops.emplace_back(l.form);
      facts.add_range(l.form.loop, l.form.lo, l.form.hi);
      continue;
    }
    Expr extent = simplify(range.hi - range.lo, facts), value = range.lo;
    if (is_constant(extent, 1)) {
      out.loops.emplace_back(std::nullopt);
    } else {
      For next = l.form;
      next.lo = index_constant(0);
      next.hi = extent;
      out.loops.emplace_back(next);
      facts.add_range(next.loop, next.lo, next.hi);
      value = simplify(range.lo + var(next.loop));
    }
    out.moved.emplace_back(l.form.loop, simplify(value - l.rest));
    checks.push_back({value, old_lo, old_hi});
  }
  for (Check& c : checks) {
    c.lo = simplify(substitute(c.lo, out.moved));
    c.hi = simplify(substitute(c.hi, out.moved));
    if (!prove(facts, less_equal(c.lo, c.value))) out.guards.push_back(less_equal(c.lo, c.value));
    if (!prove(facts, less(c.value, c.hi))) out.guards.push_back(less(c.value, c.hi));
  }
  return out;
}

// The nest again, over the new loops. `at`: the facts where it will stand.
Result<StmtRef> rebuilt(Step& step, const ProducerNest& nest, const Placed& placed, bool recomputed, const Facts& at) {
  auto put = [&](const Expr& e) { return e.known() ? tidy(substitute(e, placed.moved)) : e; };
  Leaf leaf = nest.leaf();
  for (Expr& b : leaf.bindings) b = put(b);
  std::vector<Expr> parts = placed.guards;
  for (const Expr& part : conjuncts(leaf.predicate)) {
    Expr moved = put(part);
    bool known = std::any_of(parts.begin(), parts.end(), [&](const Expr& e) { return same(e, moved); });
    if (!known) parts.push_back(moved);
  }
  leaf.predicate = conjoin(parts);
  leaf.recomputed |= recomputed;
  StmtRef inner = make_stmt(std::move(leaf), nest.chain.back()->place);
  size_t next = nest.loops.size();
  for (size_t i = nest.chain.size() - 1; i-- > 0;) {
    const StmtRef& s = nest.chain[i];
    if (as<For>(s)) {
      std::optional<For> l = placed.loops[--next];
      if (!l) continue;
      l->lo = put(l->lo);
      l->hi = put(l->hi);
      l->body = {inner};
      inner = make_stmt(*std::move(l), s->place);
      continue;
    }
    Reduce region = std::get<Reduce>(s->form);
    region.body = {inner};
    Facts facts = at;
    for (size_t j = 0; j < next; ++j)
      if (placed.loops[j]) facts.add_range(placed.loops[j]->loop, put(placed.loops[j]->lo), put(placed.loops[j]->hi));
    Result<std::vector<Window>> windows = region_windows(step, region, facts);
    if (!windows) return windows.errors();
    region.windows = *std::move(windows);
    inner = make_stmt(std::move(region), s->place);
  }
  return inner;
}

// `p[s] or d` asks whether s is inside p's old box, which the new one may pass.
Result<Done> keep_tried_reads(Step& step, const ProducerNest& nest, SymbolId loop, const std::vector<BoxDim>& old_box,
                              const std::vector<bool>& grows) {
  bool refused = false;
  Path path = path_to_loop(step.program, loop);
  For l = loop_of(path);
  Body body = map_loads(l.body, nest.buffers, [&](const Expr& e, const Load& read) {
    if (!read.otherwise.known()) return e;
    Expr in = bool_constant(true);
    for (size_t d = 0; d < grows.size(); ++d) {
      if (!grows[d]) continue;
      refused |= mentions_loops(step.program, old_box[d].lo) || mentions_loops(step.program, old_box[d].hi);
      in = both(in, both(less_equal(old_box[d].lo, read.subs[d]), less(read.subs[d], old_box[d].hi)));
    }
    if (constant_value(in)) return e;
    return select(in, e, read.otherwise);  // the other dims are still tried
  });
  if (refused)
    return step.refusal(codes::not_shown,
                        "`" + step.program.stage(nest.stage).name + "` is read by `or`, and its box depends on loops");
  l.body = std::move(body);
  replace(step.program, path.back(), {make_stmt(std::move(l), path.back()->place)});
  return Done{};
}

// Beyond the producer's domain leaves are guarded, but the ends of a loop are read before any guard.
Result<Done> ranges_of_data_stay_inside(const Step& step, const ProducerNest& nest, SymbolId loop,
                                        const std::vector<bool>& grows) {
  if (std::none_of(grows.begin(), grows.end(), [](bool g) { return g; })) return Done{};
  for (const ProducerNest::Loop& l : nest.loops)
    if (mentions_load(l.form.lo) || mentions_load(l.form.hi))
      return step
          .refusal(codes::not_shown, "cannot show that every `" + loop_name(step.program, loop) + "` is inside `" +
                                         step.program.stage(nest.stage).name + "`, and the range of `" +
                                         loop_name(step.program, l.form.loop) + "` is read from data there")
          .with_help("place it at a loop without a partial block: outside of the split, or split `with exact`");
  return Done{};
}

}  // namespace

Result<Done> compute_at_loop(Step& step, StageId stage, SymbolId loop, std::optional<Memory> memory) {
  Program& p = step.program;
  const std::string name = p.stage(stage).name;
  Result<ProducerNest> found = untouched_nest(step, stage);
  if (!found) return found.errors();
  const ProducerNest& nest = *found;
  Path path = path_to_loop(p, loop);
  for (const StmtRef& s : nest.chain)
    if (s == path.back())
      return step.refusal(codes::wrong_operands, "`" + loop_name(p, loop) + "` is a loop of `" + name + "` itself");
  Result<Done> legal = can_hold(step, path);
  if (!legal) return legal;
  legal = readers_below(step, nest, loop);
  if (!legal) return legal;
  legal = reads_nothing_updated(step, nest);
  if (!legal) return legal;

  Facts at = facts_at(p, path);
  TouchedBox box = box_read(p, nest, loop_of(path).body, at);
  std::vector<BoxDim> old_box = p.buffer(nest.buffers[0]).box;
  Window window{nest.buffers[0], {}};
  std::vector<bool> grows(old_box.size(), false);
  for (const ProducerNest::Loop& l : nest.loops) {
    if (p.stage(stage).axes[l.axis].cls != AxisClass::map) continue;
    Range range = range_of(box, l.dim);
    window.ranges.push_back(range);
    grows[l.dim] = !prove(at, both(less_equal(old_box[l.dim].lo, range.lo), less_equal(range.hi, old_box[l.dim].hi)));
    for (BufferId id : nest.buffers) {
      BoxDim& dim = p.buffers[id.value].box[l.dim];
      dim.lo = range.lo;
      dim.hi = range.hi;
    }
  }
  legal = ranges_of_data_stay_inside(step, nest, loop, grows);
  if (!legal) return legal;
  legal = keep_tried_reads(step, nest, loop, old_box, grows);
  if (!legal) return legal;
  Result<Memory> chosen = memory_for(step, nest.buffers, memory);
  if (!chosen) return chosen.errors();
  for (BufferId id : nest.buffers) p.buffers[id.value].memory = *chosen;

  std::vector<For> between;  // loops that the stage stood outside of
  for (size_t i = nest.outer.size(); i < path.size(); ++i)
    if (const For* l = as<For>(path[i])) between.push_back(*l);
  bool recomputed = !disjoint_over(window, between, at);
  if (recomputed)
    step.relied_on("`" + name + "` is pure: what several iterations of `" + loop_name(p, loop) +
                   "` read is computed in each");
  Placed placed = place_loops(step, nest, box, at);
  Result<StmtRef> inner = rebuilt(step, nest, placed, recomputed, at);
  if (!inner) return inner.errors();

  replace(p, nest.chain.front(), {});
  replace(p, nest.alloc, {});
  path = path_to_loop(p, loop);
  For l = loop_of(path);
  size_t first = *first_with(l.body, [&](const StmtRef& s) { return reads_itself(s, nest.buffers); });
  legal = operands_before(step, nest, Body(l.body.begin() + static_cast<std::ptrdiff_t>(first), l.body.end()), loop);
  if (!legal) return legal;
  l.body.insert(l.body.begin() + first, {nest.alloc, *inner});
  replace(p, path.back(), {make_stmt(std::move(l), path.back()->place)});
  step.relied_on("everything that reads `" + name + "` stands below `" + loop_name(p, loop) + "`");
  return Done{};
}

}  // namespace heddle::schedule
