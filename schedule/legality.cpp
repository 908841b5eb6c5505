#include "schedule/legality.h"

#include <algorithm>

#include "ir/layout.h"
#include "ir/print.h"
#include "ir/region.h"
#include "ir/safety_races.h"
#include "schedule/names.h"
#include "support/limits.h"

namespace heddle::schedule {

using namespace ir;

namespace {

std::string quoted(const std::string& text) { return "`" + text + "`"; }

const char* kind_word(LoopKind kind) {
  switch (kind) {
    case LoopKind::serial: return "serial";
    case LoopKind::parallel: return "parallel";
    case LoopKind::vector: return "a vector loop";
    case LoopKind::unrolled: return "unrolled";
    case LoopKind::pipelined: return "pipelined";
    case LoopKind::bound: return "bound to a hardware axis";
  }
  return "";
}

}  // namespace

Result<Done> can_move(const Step& step, const StmtRef& s) {
  const For* l = as<For>(s);
  if (!l || !is_case_loop(*l)) return Done{};
  Diagnostic d = step.refusal(codes::wrong_loop_kind, quoted(loop_name(step.program, l->loop)) +
                                                          " is the condition of a case, and stays as it is");
  if (s->place.known()) d.labels.push_back({s->place, "made here"});
  d.help = "name a loop inside it";
  return d;
}

Result<Done> can_rewrite(const Step& step, const Path& path) {
  const For& l = loop_of(path);
  if (is_case_loop(l)) return can_move(step, path.back());
  std::string name = quoted(loop_name(step.program, l.loop));
  if (step.program.symbol(l.loop).owner.find("@check") != std::string::npos)
    return step.refusal(codes::wrong_loop_kind, name + " checks data before a stage reads it, and stays as it is");
  if (l.kind == LoopKind::serial && l.prefetch.empty()) return Done{};
  Diagnostic d =
      step.refusal(codes::wrong_loop_kind,
                   l.kind == LoopKind::serial
                       ? name + " asks for " + quoted(step.program.buffer(l.prefetch[0].buffer).name) + " ahead"
                       : name + " is already " + kind_word(l.kind));
  if (path.back()->place.known()) d.labels.push_back({path.back()->place, "made so here"});
  d.help = "move this line above the one that made it so";
  return d;
}

// Running at once
// -------------------------------------------------------------------------------------------------------

namespace {

// The path of a leaf from the program's root, given the path below a loop's body.
Path joined(const Path& loop, const Path& below) {
  Path out = loop;
  out.insert(out.end(), below.begin(), below.end());
  return out;
}

Result<Done> carries_no_reduction(const Step& step, const Path& loop, const LeafSite& site) {
  const Program& p = step.program;
  Path path = joined(loop, site.path);
  SymbolId id = loop_of(loop).loop;
  if (!carries_reduction(p, path, id)) return Done{};
  const Stage& stage = p.stage(site.leaf().stage);
  std::string name = loop_name(p, id), at;
  AxisClass cls = AxisClass::reduce;
  for (size_t i = 0; i < stage.axes.size(); ++i)
    if (stage.axes[i].cls != AxisClass::map && mentions(site.leaf().bindings[i], id)) {
      at = p.symbol(stage.axes[i].symbol).name;
      cls = stage.axes[i].cls;
    }
  const bool scan = cls == AxisClass::scan || cls == AxisClass::scan_reverse;
  Diagnostic d =
      step.refusal(codes::runs_a_reduction, quoted(name) + " carries the " + (scan ? "scan" : "reduction") + " of " +
                                                quoted(stage.name) +
                                                (scan ? ": each iteration reads what the one before it computed"
                                                      : ": its iterations combine into the same cells"));
  if (stage.place.known())
    d.labels.push_back(
        {stage.place, quoted(stage.name) + (scan ? " runs along " : " is reduced over ") + quoted(at) + " here"});
  d.help = scan ? "run a loop inside it at once"
           : cls == AxisClass::scatter
               ? "several of its iterations may hit one cell: run a loop of another index at once"
               : "make partial results first: `rfactor " + name + " by ..`";
  return d;
}

bool is_bare(const Expr& e, SymbolId symbol) {
  const Var* v = e.as<Var>();
  return v && v->symbol == symbol;
}

// A leaf that may run a point twice: one coordinate of what it writes must move with the loop alone, c * loop + what is
// fixed around it.
bool coordinate_of_its_own(const Program& p, const Leaf& leaf, const For& l) {
  const Stage& stage = p.stage(leaf.stage);
  for (size_t i = 0; i < stage.axes.size(); ++i) {
    if (stage.axes[i].cls != AxisClass::map) continue;
    AffineIn at = affine_in(leaf.bindings[i], l.loop);
    if (!at.ok || at.coefficient == 0) continue;
    bool fixed = true;
    walk(l.body, [&](const StmtRef& s) {
      if (const For* inner = as<For>(s)) fixed = fixed && !mentions(at.rest, inner->loop);
      return fixed;
    });
    auto bare = [&](const Assign& a) {
      return std::any_of(a.subs.begin(), a.subs.end(), [&](const Expr& e) { return is_bare(e, stage.axes[i].symbol); });
    };
    if (fixed && std::all_of(leaf.assigns.begin(), leaf.assigns.end(), bare)) return true;
  }
  return false;
}

// The leaf map is a bijection on the stage's domain, so two iterations reach different points; they write different
// cells when each map axis that the loop drives stands bare in the left side.
bool writes_apart(const Program& p, const Leaf& leaf, const For& l) {
  SymbolId loop = l.loop;
  if (leaf.recomputed) return coordinate_of_its_own(p, leaf, l);
  const Stage& stage = p.stage(leaf.stage);
  bool drives = false;
  for (size_t i = 0; i < stage.axes.size(); ++i) {
    if (!mentions(leaf.bindings[i], loop)) continue;
    if (stage.axes[i].cls != AxisClass::map) return false;
    drives = true;
    for (const Assign& a : leaf.assigns) {
      bool bare =
          std::any_of(a.subs.begin(), a.subs.end(), [&](const Expr& e) { return is_bare(e, stage.axes[i].symbol); });
      if (!bare && a.kind != AssignKind::update) return false;
    }
  }
  return drives;
}

// `w[i] <- w[i] - g[i]`: a point reads the cell that it writes, and no other point does.
bool own_cell(const Access& read, const Access& write) {
  const Leaf* leaf = write.by ? as<Leaf>(write.by) : nullptr;
  if (!leaf || read.by != write.by || leaf->recomputed || leaf->assigns.size() != 1) return false;
  for (size_t d = 0; d < read.window.size(); ++d)
    if (!same(read.window[d].lo, write.window[d].lo)) return false;
  return true;
}

// Statements of one region and what stands in it touch its cells in one and the same iteration of a loop around.
bool in_one_region(const Access& a, const Access& b) {
  if (!a.by || !b.by || a.by == b.by) return true;
  for (const auto& [outer, inner] : {std::pair{a.by, b.by}, std::pair{b.by, a.by}})
    if (as<Reduce>(outer) && !path_to({outer}, [&](const StmtRef& s) { return s == inner; }).empty()) return true;
  return false;
}

// Different points of a stage are different cells, and each is computed once.
bool points_of_one_stage(const Access& a, const Access& b) {
  const Leaf *x = a.by ? as<Leaf>(a.by) : nullptr, *y = b.by ? as<Leaf>(b.by) : nullptr;
  return x && y && x->stage == y->stage && !x->recomputed && !y->recomputed && !a.combines && !b.combines;
}

struct Stride {
  size_t loop;
  int64_t coefficient;
};

// Loops of one dim by ascending stride: each step jumps over all that the smaller ones and the window's length span.
void dim_apart(const Range& range, const std::vector<For>& loops, const Facts& facts, std::vector<bool>& apart) {
  std::vector<Stride> strides;
  for (size_t i = 0; i < loops.size(); ++i) {
    if (!mentions(range.lo, loops[i].loop) && !mentions(range.hi, loops[i].loop)) continue;
    AffineIn a = affine_in(simplify(range.lo), loops[i].loop);
    if (!a.ok || a.coefficient == 0) return;
    strides.push_back({i, a.coefficient < 0 ? -a.coefficient : a.coefficient});
  }
  if (strides.empty()) return;
  std::sort(strides.begin(), strides.end(),
            [](const Stride& a, const Stride& b) { return a.coefficient < b.coefficient; });
  int64_t span = 0;
  if (!constant_upper_bound(simplify(range.hi - range.lo, facts), facts, span)) return;
  for (size_t i = 0; i < strides.size(); ++i) {
    if (strides[i].coefficient < span) return;
    if (i + 1 == strides.size()) break;
    int64_t n = 0, reach = 0;
    const For& l = loops[strides[i].loop];
    if (!constant_upper_bound(simplify(l.hi - l.lo, facts), facts, n)) return;
    if (__builtin_mul_overflow(strides[i].coefficient, std::max<int64_t>(n - 1, 0), &reach)) return;
    if (__builtin_add_overflow(span, reach, &span)) return;
  }
  for (const Stride& s : strides) apart[s.loop] = true;
}

}  // namespace

bool steps_apart(const Access& read, const Access& write, const std::vector<SymbolId>& loops, const Facts& at) {
  auto still = [&](const Range& range) {
    auto moves = [&](SymbolId s) { return mentions(range.lo, s) || mentions(range.hi, s); };
    for (const Access* a : {&read, &write})
      for (const SymbolRange& r : a->free)
        if (moves(r.symbol)) return false;
    return std::none_of(loops.begin(), loops.end(), moves) && !mentions_load(range.lo) && !mentions_load(range.hi);
  };
  for (size_t d = 0; d < read.window.size() && d < write.window.size(); ++d) {
    const Range &r = read.window[d], &w = write.window[d];
    if (still(r) && still(w) && (prove(at, less_equal(r.hi, w.lo)) || prove(at, less_equal(w.hi, r.lo)))) return true;
  }
  return false;
}

void keep_apart(const Access& read, const Access& write, const std::vector<For>& loops, const Facts& at,
                std::vector<bool>& apart) {
  std::vector<For> all = loops;
  for (const SymbolRange& r : write.free)
    if (std::none_of(loops.begin(), loops.end(), [&](const For& l) { return l.loop == r.symbol; })) {
      For inner;
      inner.loop = r.symbol;
      inner.lo = r.lo;
      inner.hi = r.hi;
      all.push_back(std::move(inner));
    }
  for (size_t d = 0; d < read.window.size() && d < write.window.size(); ++d) {
    const Range &r = read.window[d], &w = write.window[d];
    if (!same(r.lo, w.lo) || !same(r.hi, w.hi) || !same(w.hi, w.lo + 1) || mentions_load(w.lo)) continue;
    std::vector<bool> found(all.size(), false);
    dim_apart(w, all, at, found);
    for (size_t i = 0; i < loops.size(); ++i) apart[i] = apart[i] || found[i];
  }
}

namespace {

// Whether the coordinate depends on the loop, by loops inside too.
bool moves_with(const Access& a, size_t d, SymbolId loop) {
  if (mentions(a.window[d].lo, loop) || mentions(a.window[d].hi, loop)) return true;
  return std::any_of(a.free.begin(), a.free.end(), [&](const SymbolRange& r) {
    return mentions(a.window[d].lo, r.symbol) && (mentions(r.lo, loop) || mentions(r.hi, loop));
  });
}

// That an update at places of data hits each cell once says nothing of how that is seen: it is asked as the compiler will.
Result<Done> updates_apart(const Step& step, const For& l, const Facts& at) {
  StmtRef at_data;
  walk(l.body, [&](const StmtRef& s) {
    if (const Leaf* leaf = as<Leaf>(s))
      for (const Assign& a : leaf->assigns)
        if (a.kind == AssignKind::update && std::any_of(a.subs.begin(), a.subs.end(), mentions_load)) at_data = s;
    return true;
  });
  if (!at_data || check_races(step.program, l, at_data->place, at).empty()) return Done{};
  Diagnostic d = step.refusal(codes::overlapping_writes, "cannot show that iterations of " +
                                                             quoted(loop_name(step.program, l.loop)) +
                                                             " update cells of their own: data says which");
  if (at_data->place.known()) d.labels.push_back({at_data->place, "updated here"});
  d.help = "run a loop at once that one coordinate of the cell moves with alone";
  return d;
}

}  // namespace

Result<Done> touches_apart(const Step& step, const Path& loop) {
  const Program& p = step.program;
  const For& l = loop_of(loop);
  const Facts at = facts_at(p, Path(loop.begin(), loop.end() - 1));
  std::vector<BufferId> own = allocated_in(l.body);
  std::string name = quoted(loop_name(p, l.loop));
  std::vector<Access> list = accesses(p, l.body);
  auto outer = [&](BufferId b) { return std::find(own.begin(), own.end(), b) == own.end(); };
  auto never_meet = [&](const Access& a, const Access& b) {
    return never_meet_later(p, l, at, a, b) && never_meet_later(p, l, at, b, a);
  };
  for (const Access& w : list) {
    if (!w.writes || !outer(w.buffer)) continue;
    for (const Access& r : list) {
      if (!r.reads || r.combines || r.buffer != w.buffer || own_cell(r, w) || never_meet(r, w)) continue;
      if (steps_apart(r, w, {l.loop}, at)) continue;
      std::vector<bool> apart(1, false);
      keep_apart(r, w, {l}, at, apart);
      if (apart[0]) continue;
      Diagnostic d = step.refusal(
          codes::overlapping_writes,
          "iterations of " + name + " read " + quoted(buffer_name(p, w.buffer)) + ", which others of them write");
      if (r.by && r.by->place.known()) d.labels.push_back({r.by->place, "read here"});
      return d;
    }
    const Leaf* leaf = w.by ? as<Leaf>(w.by) : nullptr;
    // Of a point that is computed again elsewhere, what is around the loop does not matter.
    bool apart = w.initialises || (leaf && (writes_apart(p, *leaf, l) || (leaf->recomputed && never_meet(w, w))));
    for (size_t d = 0; d < w.window.size(); ++d)  // along a folded dim, other cells may lie in the same place
      apart = apart && !(folds(p.buffer(w.buffer), d) && moves_with(w, d, l.loop));
    for (const Access& x : list)
      if (x.writes && x.buffer == w.buffer && !in_one_region(w, x) && !points_of_one_stage(w, x))
        apart = apart && never_meet(w, x);
    if (!apart) {
      Diagnostic d = step.refusal(codes::overlapping_writes, "iterations of " + name + " may write the same cells of " +
                                                                 quoted(buffer_name(p, w.buffer)));
      if (w.by && w.by->place.known()) d.labels.push_back({w.by->place, "written here"});
      return d;
    }
  }
  return updates_apart(step, l, at);
}

Result<Done> can_run_at_once(const Step& step, const Path& loop) {
  Result<Done> serial = can_rewrite(step, loop);
  if (!serial) return serial;
  for (const LeafSite& site : leaves(loop_of(loop).body)) {
    Result<Done> free = carries_no_reduction(step, loop, site);
    if (!free) return free;
  }
  return touches_apart(step, loop);
}

Result<Done> can_parallel(const Step& step, const Path& loop) {
  for (size_t i = 0; i + 1 < loop.size(); ++i)
    if (const For* outer = as<For>(loop[i]); outer && outer->kind == LoopKind::vector)
      return step.refusal(codes::wrong_loop_kind, "a parallel loop cannot stand inside the vector loop " +
                                                      quoted(loop_name(step.program, outer->loop)));
  return can_run_at_once(step, loop);
}

// `reorder s.p, s.j`, where the loops of a nest stand alone in each other below that one; in the words of the line: with `by 8` it is
// `s.j` that was written, and `s.jv` that is to be innermost.
std::string reordering(const Step& step, const Path& path) {
  std::string name = loop_name(step.program, loop_of(path).loop), line;
  for (StmtRef s = path.back(); !as<Leaf>(s); s = children(s)[0]) {
    if (children(s).size() != 1 || as<Alloc>(s)) return "";
    if (const For* l = as<For>(s); l && s != path.back()) line += loop_name(step.program, l->loop) + ", ";
  }
  for (const Term& written : step.call.operands)
    if (written.text + "v" == name && step.call.with.count("by")) name = written.text;
  return "`reorder " + line + name + "`";
}

Result<Done> can_vectorize(const Step& step, const Path& path) {
  const For& l = loop_of(path);
  std::string name = loop_name(step.program, l.loop);
  Result<Done> free = can_run_at_once(step, path);
  if (!free) return free;
  for (const StmtRef& s : l.body) {
    if (as<Leaf>(s)) continue;
    const For* inner = as<For>(s);
    std::string what = inner           ? quoted(loop_name(step.program, inner->loop))
                       : as<Reduce>(s) ? "a reduction"
                                       : "an allocation";
    Diagnostic d =
        step.refusal(codes::not_nested, quoted(name) + " is not an innermost loop: " + what + " stands inside it");
    const std::string line = reordering(step, path);
    d.help = line.empty() ? "vectorize the loops inside it, or place elsewhere what is computed there"
                          : "bring it inside first: " + line;
    return d;
  }
  Expr extent = simplify(l.hi - l.lo, facts_at(step.program, Path(path.begin(), path.end() - 1)));
  const int64_t* n = constant_value(extent);
  if (!n)
    return step
        .refusal(codes::not_constant,
                 quoted(name) + " has " + quoted(print(step.program, extent)) + " iterations, not a constant number")
        .with_help("split it on the way: `vectorize " + name + " by lanes(f32)`");
  if (*n > limits::vector_extent)
    return step
        .refusal(codes::too_large, quoted(name) + " has " + std::to_string(*n) +
                                       " iterations; a vector loop has at most " +
                                       std::to_string(limits::vector_extent))
        .with_help("split it on the way: `vectorize " + name + " by lanes(f32)`");
  return Done{};
}

// Reductions
// ------------------------------------------------------------------------------------------------------------

Result<bool> can_reassociate(Step& step, const Reduce& region, bool commutes, const std::string& what) {
  const Reducer* reducer = step.program.reducer(region.reducer);
  const Buffer& buffer = step.program.buffer(region.windows.front().buffer);
  if (commutes && !reducer->commutes)
    return step
        .refusal(codes::needs_leave, what + " changes the order of terms, and the reducer " + quoted(reducer->name) +
                                         " is not declared `commutes`")
        .label(reducer->place, "declared here");
  bool exact = exact_on(*reducer, buffer.type);
  std::string law = quoted(reducer->name) + (reducer->builtin == BuiltinReducer::none ? " is declared " : " is ") +
                    (commutes ? "commutative and associative" : "associative");
  if (exact) {
    step.relied_on(law + ", exactly on " + std::string(scalar_type_name(buffer.type)));
    return false;
  }
  if (!step.program.allow.reassociate) {
    Diagnostic d = step.refusal(codes::needs_leave, what + " changes the order in which " + quoted(buffer.name) +
                                                        " is summed up, and with it the rounding");
    if (reducer->builtin == BuiltinReducer::prod)
      d.message =
          what + " changes the order in which " + quoted(buffer.name) + " is multiplied up, and with it the rounding";
    d.help = "write `allow reassociate` in the schedule's header";
    return d;
  }
  step.relied_on(law + " up to rounding: leave `reassociate`");
  return true;
}

namespace {

// Whether terms are scattered along the dim: cells between them that nothing hits hold the identity, too.
bool scattered(const Program& p, const Body& body, BufferId buffer, size_t dim) {
  for (const LeafSite& site : leaves(body))
    for (const Assign& a : site.leaf().assigns)
      for (const Axis& axis : p.stage(site.leaf().stage).axes)
        if (a.buffer == buffer && axis.cls == AxisClass::scatter && mentions(a.subs[dim], axis.symbol)) return true;
  return false;
}

bool mentions_inside(const Range& range, const Body& body) {
  bool found = false;
  walk(body, [&](const StmtRef& s) {
    const For* l = as<For>(s);
    found |= l && (mentions(range.lo, l->loop) || mentions(range.hi, l->loop));
    return !found;
  });
  return found;
}

}  // namespace

Result<std::vector<Window>> region_windows(const Step& step, const Reduce& region, const Facts& at) {
  std::vector<Window> out;
  for (const Window& old : region.windows) {
    std::vector<Access> list = accesses(step.program, region.body, old.buffer);
    // An inner region of the same buffer keeps to its own window; the cells that leaves reach are what matters.
    std::erase_if(list, [](const Access& a) { return !a.combines; });
    if (list.empty()) {
      out.push_back(old);
      continue;
    }
    for (Access& a : list) a.condition = {};  // cells whose terms are all skipped hold the identity
    TouchedBox box = box_of(step.program, list, at);
    Window w{old.buffer, {}};
    const Buffer& buffer = step.program.buffer(old.buffer);
    for (size_t d = 0; d < old.ranges.size(); ++d) {
      const BoxDim& cover = box.cover.dims[d];
      if (d + buffer.field_dims >= old.ranges.size()) w.ranges.push_back({buffer.box[d].lo, buffer.box[d].hi});
      else if (scattered(step.program, region.body, old.buffer, d) && !mentions_inside(old.ranges[d], region.body))
        w.ranges.push_back(old.ranges[d]);
      else if (box.extents[d] > 0) w.ranges.push_back({simplify(cover.lo), simplify(cover.lo + box.extents[d])});
      else w.ranges.push_back({box.exact.dims[d].lo, box.exact.dims[d].hi});
    }
    out.push_back(std::move(w));
  }
  return out;
}

bool disjoint_over(const Window& window, const std::vector<For>& outside, const Facts& facts) {
  std::vector<bool> apart(outside.size(), false);
  for (const Range& range : window.ranges) dim_apart(range, outside, facts, apart);
  return std::all_of(apart.begin(), apart.end(), [](bool b) { return b; });
}

Result<Done> windows_apart(const Step& step, const Path& path) {
  const Program& p = step.program;
  const Reduce& region = std::get<Reduce>(path.back()->form);
  Facts facts = facts_at(p, Path(path.begin(), path.end() - 1));
  for (const Window& w : region.windows) {
    Path alloc = path_to_alloc(p, w.buffer);
    std::vector<For> outside;
    for (size_t i = 0; i + 1 < path.size(); ++i) {
      bool around_alloc = i + 1 < alloc.size() && alloc[i] == path[i];
      if (const For* l = as<For>(path[i]); l && !around_alloc) outside.push_back(*l);
    }
    if (disjoint_over(w, outside, facts) || fills_window(step, path, w)) continue;
    return step.refusal(codes::not_shown, "cannot show that the blocks of " + quoted(buffer_name(p, w.buffer)) +
                                              " that different iterations reduce into do not overlap");
  }
  return Done{};
}

}  // namespace heddle::schedule
