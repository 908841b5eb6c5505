// store_at S at L [in MEMORY]
//
//   for L { .. for M { alloc s[box of M] ; S ; reads of s } .. }
//     ->  for L { alloc s[box of L] ; .. for M { S ; reads of s } .. }
//   and where M is serial, right around S, and the boxes of its iterations overlap in one direction:
//         for M { S without what the iteration before has left ; reads of s }
//
// The buffer of the stage is allocated at L, its box is what an iteration of L touches. L is a loop around all that
// touches the buffer, or a stage: then the buffer stands right before the nest of that stage. Inwards it shrinks,
// outwards it grows, and a serial loop computes only what is new (a sliding window).
//
// Refused: something outside L touches the buffer; inwards, an iteration reads what an earlier one wrote; it is allocated there already; it is an output; a loop between the
// two places runs its iterations at once and they would share cells; registers for a box that is not constant.
#include <algorithm>

#include "ir/print.h"
#include "ir/region.h"
#include "ir/safety_races.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/nest.h"
#include "schedule/order.h"
#include "schedule/place.h"
#include "schedule/slide.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// Where the buffer goes: the statements around, and the first statement of the body that touches it.
struct Target {
  Path around;
  std::string name;
};

Result<Target> target_of(const Step& step, const Term& term) {
  Result<SymbolId> loop = find_loop(step, term);
  if (loop) return Target{path_to_loop(step.program, *loop), "`" + loop_name(step.program, *loop) + "`"};
  if (!find_stage(step, term) && term.text.find('@') == std::string::npos) return loop.errors();
  Result<Nest> nest = find_nest(step, term);
  if (!nest) return nest.errors();
  Path around = nest->path;
  around.pop_back();
  while (!around.empty() && as<Reduce>(around.back())) around.pop_back();
  return Target{std::move(around), "the nest of `" + nest->owner + "`"};
}

const Body& body_of(const Program& p, const Path& around) { return around.empty() ? p.body : children(around.back()); }

bool begins_with(const Path& path, const Path& start) {
  return path.size() >= start.size() && std::equal(start.begin(), start.end(), path.begin());
}

// Everything that touches the buffers stands below.
Result<Done> all_below(const Step& step, const std::vector<BufferId>& buffers, const Target& target) {
  const Program& p = step.program;
  Diagnostics outside;
  walk_paths(p.body, [&](const Path& path) {
    const StmtRef& at = path.back();
    if (!outside.empty() || as<Alloc>(at) || begins_with(path, target.around)) return;
    bool uses = reads_itself(at, buffers);
    if (const Reduce* r = as<Reduce>(at))
      for (const Window& w : r->windows) uses |= std::find(buffers.begin(), buffers.end(), w.buffer) != buffers.end();
    if (children(at).empty()) uses |= touches(p, {at}, buffers);
    if (!uses) return;
    const Leaf* leaf = as<Leaf>(path.back());
    outside.push_back(step.refusal(
        codes::reader_outside, (leaf ? "`" + p.stage(leaf->stage).name + "`" : std::string("a statement")) + " uses `" +
                                   p.buffer(buffers[0]).name + "` outside " + target.name));
    if (path.back()->place.known()) outside[0].labels.push_back({path.back()->place, "used here"});
    outside[0].help = "name a loop around all that uses it";
  });
  if (!outside.empty()) return outside;
  return Done{};
}

// The whole box that a stage's axes give a buffer, free of loops: what a box is cut to.
Result<Done> widest_box(Step& step, BufferId id, const Leaf& leaf, const Facts& at) {
  Program& p = step.program;
  const Stage& row = p.stage(leaf.stage);
  Buffer& b = p.buffers[id.value];
  for (size_t a = 0; a < row.axes.size(); ++a) {
    std::optional<size_t> d = dim_of_axis(p, leaf, a);
    if (!d || row.axes[a].cls != AxisClass::map) continue;
    std::vector<SymbolRange> before;
    for (size_t i = 0; i < a; ++i) before.push_back({row.axes[i].symbol, row.axes[i].lo, row.axes[i].hi});
    Bounds lo = bounds_over(row.axes[a].lo, before, at), hi = bounds_over(row.axes[a].hi - 1, before, at);
    if (!lo.ok || !hi.ok || mentions_load(lo.lo) || mentions_load(hi.hi))
      return step.refusal(codes::not_shown, "cannot write the box of `" + row.name + "` over `" +
                                                p.symbol(row.axes[a].symbol).name + "` at this place");
    b.box[*d].lo = simplify(lo.lo);
    b.box[*d].hi = simplify(hi.hi + 1);
  }
  return Done{};
}

// Inwards the buffer is fresh in each iteration of the loops between, so none may read what an earlier one wrote.
Result<Done> nothing_carried(const Step& step, const std::vector<BufferId>& buffers, const Path& around, size_t from) {
  const Program& p = step.program;
  for (size_t i = from; i < around.size(); ++i) {
    const For* l = as<For>(around[i]);
    if (!l) continue;
    const Facts at = facts_at(p, Path(around.begin(), around.begin() + static_cast<std::ptrdiff_t>(i)));
    for (BufferId id : buffers) {
      std::vector<Access> list = accesses(p, l->body, id);
      for (const Access& w : list)
        for (const Access& r : list) {
          if (!w.writes || !r.reads || r.combines || never_meet_later(p, *l, at, w, r)) continue;
          Diagnostic d = step.refusal(codes::order_matters, "iterations of `" + loop_name(p, l->loop) +
                                                                "` may read cells of `" + p.buffer(id).name +
                                                                "` that earlier ones wrote, so it is kept outside");
          if (r.by && r.by->place.known()) d.labels.push_back({r.by->place, "read here"});
          return d;
        }
    }
  }
  return Done{};
}

// `s[i] or d` asks whether i is inside the box: the box may not grow past what the stage computes, but along dims in which every such
// read stays inside anyway.
Result<Done> tried_reads_hold(const Step& step, const Body& inside, BufferId id, const Box& widest, const Facts& at) {
  const Program& p = step.program;
  auto asks_the_same = [&](const Access& a) {
    Facts there = at;
    for (const SymbolRange& r : a.free) there.add_range(r.symbol, r.lo, r.hi);
    if (a.condition.known()) there.add(a.condition);
    for (size_t d = 0; d < widest.dims.size(); ++d) {
      const BoxDim &now = p.buffer(id).box[d], &whole = widest.dims[d];
      const bool grows = !prove(at, less_equal(whole.lo, now.lo)) || !prove(at, less_equal(now.hi, whole.hi));
      if (grows &&
          (!prove(there, less_equal(whole.lo, a.window[d].lo)) || !prove(there, less_equal(a.window[d].hi, whole.hi))))
        return false;
    }
    return true;
  };
  for (const Access& a : accesses(p, inside, id))
    if (a.tried && !asks_the_same(a)) {
      Diagnostic d =
          step.refusal(codes::not_shown, "`" + p.buffer(id).name +
                                             "` is read by `or`, and its box here would reach past what is computed");
      if (a.by && a.by->place.known()) d.labels.push_back({a.by->place, "read here"});
      return d;
    }
  return Done{};
}

// Loops that the buffer is moved out of and whose iterations run at once.
Result<Done> shared_without_races(const Step& step, const Path& inside, size_t from) {
  const Program& p = step.program;
  for (size_t i = from; i < inside.size(); ++i) {
    const For* l = as<For>(inside[i]);
    if (!l || l->kind == LoopKind::serial || l->kind == LoopKind::unrolled) continue;
    Path path = path_to_loop(p, l->loop);
    Facts at = facts_at(p, Path(path.begin(), path.end() - 1));
    if (l->kind != LoopKind::pipelined && check_races(p, loop_of(path), step.call.place, at).empty()) continue;
    Diagnostic d = step.refusal(codes::overlapping_writes, "iterations of `" + loop_name(p, l->loop) +
                                                               "` run at the same time and would share the buffer");
    if (inside[i]->place.known()) d.labels.push_back({inside[i]->place, "made so here"});
    d.help = "keep the buffer inside that loop";
    return d;
  }
  return Done{};
}

}  // namespace

Result<Done> store_at_step(Step& step) {
  Program& p = step.program;
  Result<StageId> stage = find_stage(step, step.call.operands[0]);
  if (!stage) return stage.errors();
  const std::string name = p.stage(*stage).name;
  Result<Target> target = target_of(step, step.call.with.at("at")[0]);
  if (!target) return target.errors();
  const Leaf leaf = leaves_of(p, *stage).front().leaf();
  std::vector<BufferId> buffers;
  for (const Assign& a : leaf.assigns) {
    buffers.push_back(a.buffer);
    if (p.buffer(a.buffer).role != Role::temporary)
      return step.refusal(codes::touched_producer,
                          "`" + name + "` is an output of the op; only temporaries have a place of their own");
  }
  Path old = path_to_alloc(p, buffers[0]);
  const StmtRef alloc = old.back();
  old.pop_back();
  if (old == target->around)
    return step.refusal(codes::wrong_operands, "`" + name + "` is stored there already").label(alloc->place, "here");
  const bool outwards = begins_with(old, target->around);
  if (Result<Done> holds = can_hold(step, target->around); !holds) return holds;
  if (Result<Done> below = all_below(step, buffers, *target); !below) return below;

  if (!outwards)
    if (Result<Done> apart = nothing_carried(step, buffers, target->around, old.size()); !apart) return apart;

  std::optional<StmtRef> sliding;
  StmtRef nest_now;
  const For* around = outwards && !old.empty() ? as<For>(old.back()) : nullptr;
  if (Result<ProducerNest> nest = untouched_nest(step, *stage); nest && around) {
    nest_now = nest->chain.front();
    sliding = slid(step, *nest, *around);
  }

  const Facts at = facts_at(p, target->around);
  const Body inside = body_of(p, target->around);
  for (BufferId id : buffers) {
    if (p.buffer(id).layout)
      return step.refusal(codes::bad_layout, "`" + name + "` has a layout already").with_help("store it first");
    if (Result<Done> wide = widest_box(step, id, leaf, at); !wide) return wide;
    const Box widest{p.buffer(id).box};
    TouchedBox box = touched_box(p, id, inside, at);
    Buffer& b = p.buffers[id.value];
    for (size_t d = 0; d + b.field_dims < b.box.size(); ++d) {
      Range range = range_of(box, d);
      b.box[d].lo = range.lo;
      b.box[d].hi = range.hi;
    }
    if (Result<Done> tried = tried_reads_hold(step, inside, id, widest, at); !tried) return tried;
  }
  std::optional<Memory> asked = p.buffer(buffers[0]).memory;
  if (asked == Memory::registers) asked.reset();
  if (has(step.call, "in")) {
    Result<Memory> written = memory_after(step, "in");
    if (!written) return written.errors();
    asked = *written;
  }
  Result<Memory> memory = memory_for(step, buffers, asked);
  if (!memory) return memory.errors();
  for (BufferId id : buffers) p.buffers[id.value].memory = *memory;

  size_t first = *first_with(inside, [&](const StmtRef& s) { return s == alloc || touches(p, {s}, buffers); });
  insert_before(p, inside[first], {make_stmt(alloc->form, alloc->place)});
  replace(p, alloc, {});
  if (sliding) {
    replace(p, nest_now, {*sliding});
    step.relied_on("`" + loop_name(p, around->loop) +
                   "` is serial: an iteration computes only what the one before has " + "not left of `" + name + "`");
  }
  if (outwards)
    if (Result<Done> races = shared_without_races(step, old, target->around.size()); !races) return races;
  step.relied_on("everything that uses `" + name + "` stands below " + target->name);
  return Done{};
}

}  // namespace heddle::schedule
