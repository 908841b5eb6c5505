// reorder L, M, .. (outermost first)
//
//   for M { for L { S } }  ->  for L { for M { S } }
//   a loop that a reduction is bound to passes the map loops, and the region widens over them:
//   for i { reduce s[i] by R { for p { S } } }  ->  reduce s[lo .. hi] by R { for p { for i { S } } }
//
// The named loops trade places; loops between them stay. Each region stands right around the outermost loop of its
// reduction.
//
// Refused: a loop is the condition of a case; the loops are not one nest, or another statement stands between them; a loop would come inside a vector
// loop; a bound depends on a loop that would come inside; two loops of one reduction trade order and the reducer does
// not commute, or is inexact without `allow reassociate`; a widened region would reset cells of other iterations, or pass a loop that is
// not over its cells and may have no iteration; one iteration reads what another writes; iterations that run at once would write a common
// cell.
#include <algorithm>

#include "ir/bound.h"
#include "ir/print.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

struct Chain {
  Path outer;                  // statements around
  std::vector<StmtRef> loops;  // from the outermost named loop to the innermost; regions right around them included
  struct Region {
    StmtRef stmt;
    size_t at = 0;  // loops of the chain before it
  };
  std::vector<Region> regions;
  Body inner;  // the innermost loop's body
};

std::string quoted_loop(const Step& step, const StmtRef& s) {
  return "`" + loop_name(step.program, std::get<For>(s->form).loop) + "`";
}

Result<Chain> chain_of(const Step& step, const std::vector<SymbolId>& named) {
  Path deepest;
  for (SymbolId id : named) {
    Path path = path_to_loop(step.program, id);
    if (path.size() > deepest.size()) deepest = path;
  }
  size_t first = deepest.size();
  for (SymbolId id : named) {
    Path path = path_to_loop(step.program, id);
    if (deepest[path.size() - 1] != path.back())
      return step
          .refusal(codes::not_nested, "`" + loop_name(step.program, id) + "` and " + quoted_loop(step, deepest.back()) +
                                          " are not one inside the other")
          .label(path.back()->place, "one loop")
          .label(deepest.back()->place, "the other");
    first = std::min(first, path.size() - 1);
  }
  for (size_t i = first; i < deepest.size(); ++i)
    if (Result<Done> moves = can_move(step, deepest[i]); !moves) return moves.errors();
  // A region right around the nest takes part: it may move inside.
  while (first > 0 && as<Reduce>(deepest[first - 1]) && children(deepest[first - 1]).size() == 1) --first;
  Chain chain;
  chain.outer.assign(deepest.begin(), deepest.begin() + first);
  for (size_t i = first; i < deepest.size(); ++i) {
    const StmtRef& s = deepest[i];
    if (as<For>(s)) chain.loops.push_back(s);
    else chain.regions.push_back({s, chain.loops.size()});
    const Body& body = children(s);
    if (i + 1 == deepest.size()) {
      chain.inner = body;
    } else if (body.size() != 1) {
      const StmtRef& other = body[0] == deepest[i + 1] ? body[1] : body[0];
      Diagnostic d =
          step.refusal(codes::not_nested, "another statement stands between " + quoted_loop(step, chain.loops.front()) +
                                              " and " + quoted_loop(step, deepest.back()));
      if (other->place.known()) d.labels.push_back({other->place, "this one"});
      d.help = "reorder before the step that placed it there";
      return d;
    }
  }
  return chain;
}

// Whether the loop carries a reduction whose region is `region` (any open region of the chain when none is given).
bool carries(const Program& p, const Chain& chain, size_t loop, const StmtRef& region) {
  SymbolId id = std::get<For>(chain.loops[loop]->form).loop;
  const Reduce& r = std::get<Reduce>(region->form);
  for (const LeafSite& site : leaves(chain.inner)) {
    if (region_of(site.path) >= 0) continue;  // its region opens inside the chain
    for (const Assign& a : site.leaf().assigns)
      for (const Window& w : r.windows)
        if (a.kind == AssignKind::combine && a.buffer == w.buffer && runs_a_reduction(p, site.leaf(), id)) return true;
  }
  return false;
}

// The regions that leaves of the innermost body combine into: those of the chain, and those around it.
std::vector<StmtRef> open_regions(const Chain& chain) {
  std::vector<StmtRef> out;
  for (const StmtRef& s : chain.outer)
    if (as<Reduce>(s)) out.push_back(s);
  for (const Chain::Region& r : chain.regions) out.push_back(r.stmt);
  return out;
}

Result<Done> order_is_free(Step& step, const Chain& chain, const std::vector<size_t>& order,
                           std::vector<BufferId>& reassociated) {
  for (const StmtRef& region : open_regions(chain)) {
    std::vector<size_t> now;
    for (size_t i : order)
      if (carries(step.program, chain, i, region)) now.push_back(i);
    if (std::is_sorted(now.begin(), now.end())) continue;
    Result<bool> leave =
        can_reassociate(step, std::get<Reduce>(region->form), true, "exchanging two loops of a reduction");
    if (!leave) return leave.errors();
    if (*leave) reassociated.push_back(std::get<Reduce>(region->form).windows.front().buffer);
  }
  return Done{};
}

Result<Done> bounds_hold(const Step& step, const Chain& chain, const std::vector<size_t>& order) {
  for (size_t i = 0; i < order.size(); ++i)
    for (size_t j = i; j < order.size(); ++j) {
      const For& outer = std::get<For>(chain.loops[order[i]]->form);
      const For& inner = std::get<For>(chain.loops[order[j]]->form);
      if (i == j || (!mentions(outer.lo, inner.loop) && !mentions(outer.hi, inner.loop))) continue;
      return step.refusal(codes::order_matters, "the bounds of " + quoted_loop(step, chain.loops[order[i]]) +
                                                    " depend on " + quoted_loop(step, chain.loops[order[j]]) +
                                                    ", which must stay outside it");
    }
  return Done{};
}

// Vector loops stay innermost, as `vectorize` made them.
Result<Done> vectors_stay(const Step& step, const Chain& chain, const std::vector<size_t>& order) {
  for (size_t i = 0; i + 1 < order.size(); ++i)
    if (std::get<For>(chain.loops[order[i]]->form).kind == LoopKind::vector)
      return step
          .refusal(codes::wrong_loop_kind,
                   quoted_loop(step, chain.loops[order[i]]) + " is a vector loop, and no loop may stand inside it")
          .label(chain.loops[order[i]]->place, "made so here")
          .with_help("name it last");
  return Done{};
}

// Map loops may run in any order unless an iteration reads what another one wrote; the loops that lead from the one to the other keep
// their order among themselves.
Result<Done> iterations_apart(const Step& step, const Chain& chain, const std::vector<size_t>& order) {
  std::vector<BufferId> own = allocated_in(chain.inner);
  std::vector<Access> list = accesses(step.program, chain.inner);
  std::vector<SymbolId> symbols;
  std::vector<For> loops;
  for (const StmtRef& l : chain.loops) {
    loops.push_back(std::get<For>(l->form));
    symbols.push_back(loops.back().loop);
  }
  const Facts at = facts_at(step.program, chain.outer);
  for (const Access& w : list) {
    if (!w.writes || std::find(own.begin(), own.end(), w.buffer) != own.end()) continue;
    for (const Access& r : list) {
      if (!r.reads || r.combines || r.buffer != w.buffer || steps_apart(r, w, symbols, at)) continue;
      std::vector<bool> apart(loops.size(), false);
      keep_apart(r, w, loops, at, apart);
      std::vector<size_t> carrying;
      for (size_t i : order)
        if (!apart[i]) carrying.push_back(i);
      if (std::is_sorted(carrying.begin(), carrying.end())) continue;
      return step.refusal(codes::order_matters,
                          "iterations read `" + buffer_name(step.program, w.buffer) + "`, which others of them write");
    }
  }
  return Done{};
}

// Where a region goes: around the outermost loop of its reduction; without one, inside the loops that it stood inside.
size_t place_of(const Program& p, const Chain& chain, const Chain::Region& region, const std::vector<size_t>& order) {
  for (size_t i = 0; i < order.size(); ++i)
    if (order[i] >= region.at && carries(p, chain, order[i], region.stmt)) return i;
  size_t place = 0;
  for (size_t i = 0; i < order.size(); ++i)
    if (order[i] < region.at) place = i + 1;
  return place;
}

// Whether the loop moves among the cells of the region.
bool moves_among_cells(const Program& p, const Chain& chain, const Reduce& region, SymbolId loop) {
  for (const LeafSite& site : leaves(chain.inner)) {
    const Substitution point = point_of(p, site.leaf());
    for (const Assign& a : site.leaf().assigns)
      for (const Window& w : region.windows)
        for (const Expr& sub : a.subs)
          if (a.buffer == w.buffer && mentions(substitute(sub, point), loop)) return true;
  }
  return false;
}

// A region that changes places with a loop begins the same cells as before: with a loop over its cells it has none where the loop has no
// iteration, another loop has one.
Result<Done> regions_begin_alike(const Step& step, const Chain& chain, const std::vector<size_t>& order) {
  const Facts at = facts_at(step.program, chain.outer);
  for (const Chain::Region& r : chain.regions) {
    const size_t place = place_of(step.program, chain, r, order);
    for (size_t i = 0; i < order.size(); ++i) {
      const For& l = std::get<For>(chain.loops[order[i]]->form);
      const bool was_inside = order[i] >= r.at, is_inside = i >= place;
      const Reduce& region = std::get<Reduce>(r.stmt->form);
      if (was_inside == is_inside || moves_among_cells(step.program, chain, region, l.loop) ||
          prove(at, less(l.lo, l.hi)))
        continue;
      return step.refusal(codes::not_shown, "cannot show that " + quoted_loop(step, chain.loops[order[i]]) +
                                                " has an iteration, without which cells of `" +
                                                buffer_name(step.program, region.windows.front().buffer) +
                                                "` would begin anew, or not at all");
    }
  }
  return Done{};
}

// Windows of the regions above the loop and of the `below` right inside it, from depth `from` on, fitted to the loops that now stand
// around and inside them.
Result<Done> fit_regions(Step& step, SymbolId innermost, size_t below, size_t from,
                         const std::vector<BufferId>& reassociated) {
  size_t depth = path_to_loop(step.program, innermost).size() + below;
  for (size_t i = 0; i < depth; ++i) {
    Path path = path_to_loop(step.program, innermost);
    while (path.size() <= i) path.push_back(children(path.back()).front());
    if (!as<Reduce>(path[i])) continue;
    path.resize(i + 1);
    Reduce region = std::get<Reduce>(path[i]->form);
    BufferId buffer = region.windows.front().buffer;
    region.reassociated |= std::find(reassociated.begin(), reassociated.end(), buffer) != reassociated.end();
    if (i >= from) {
      Result<std::vector<Window>> windows =
          region_windows(step, region, facts_at(step.program, Path(path.begin(), path.end() - 1)));
      if (!windows) return windows.errors();
      region.windows = *std::move(windows);
    }
    StmtRef next = make_stmt(std::move(region), path[i]->place);
    replace(step.program, path[i], {next});
    if (i < from) continue;
    Path made = path_to_stmt(step.program, next);
    for (Result<Done> check : {windows_apart(step, made), combines_once(step, made)})
      if (!check) return check;
  }
  return Done{};
}

// Loops whose iterations run at once, with another loop inside than before: that one may lead several of them to one cell.
Result<Done> still_apart(const Step& step, const Chain& chain, const std::vector<size_t>& order) {
  for (size_t i = 0; i < order.size(); ++i) {
    const Path path = path_to_loop(step.program, std::get<For>(chain.loops[order[i]]->form).loop);
    if (!runs_at_once(step.program, loop_of(path)) || std::none_of(order.begin() + static_cast<std::ptrdiff_t>(i),
                                                                   order.end(), [&](size_t j) { return j < order[i]; }))
      continue;
    if (Result<Done> apart = touches_apart(step, path); !apart) return apart;
  }
  return Done{};
}

}  // namespace

Result<Done> reorder_step(Step& step) {
  Result<std::vector<SymbolId>> named = find_loops(step, step.call.operands);
  if (!named) return named.errors();
  if (named->size() < 2) return step.refusal(codes::wrong_operands, "`reorder` takes at least two loops");
  Result<Chain> found = chain_of(step, *named);
  if (!found) return found.errors();
  const Chain& chain = *found;

  std::vector<size_t> order(chain.loops.size());
  size_t next = 0;
  auto index_of = [&](SymbolId id) {
    for (size_t i = 0; i < chain.loops.size(); ++i)
      if (std::get<For>(chain.loops[i]->form).loop == id) return i;
    return chain.loops.size();
  };
  for (size_t i = 0; i < chain.loops.size(); ++i) {
    SymbolId id = std::get<For>(chain.loops[i]->form).loop;
    bool moves = std::find(named->begin(), named->end(), id) != named->end();
    order[i] = moves ? index_of((*named)[next++]) : i;
  }
  if (std::is_sorted(order.begin(), order.end())) return Done{};

  std::vector<BufferId> reassociated;
  for (Result<Done> check :
       {bounds_hold(step, chain, order), vectors_stay(step, chain, order), iterations_apart(step, chain, order),
        order_is_free(step, chain, order, reassociated), regions_begin_alike(step, chain, order)})
    if (!check) return check;

  // Inside out: the innermost body, then loops and regions in their new order.
  std::vector<Body> regions_at(order.size() + 1);
  for (const Chain::Region& r : chain.regions) regions_at[place_of(step.program, chain, r, order)].push_back(r.stmt);
  Body inner = chain.inner;
  for (size_t i = order.size() + 1; i-- > 0;) {
    if (i < order.size()) inner = {with_children(chain.loops[order[i]], std::move(inner))};
    for (auto r = regions_at[i].rbegin(); r != regions_at[i].rend(); ++r) inner = {with_children(*r, std::move(inner))};
  }
  bool starts_with_region = !chain.regions.empty() && chain.regions.front().at == 0;
  replace(step.program, starts_with_region ? chain.regions.front().stmt : chain.loops.front(), inner);
  SymbolId innermost = std::get<For>(chain.loops[order.back()]->form).loop;
  if (Result<Done> fitted = fit_regions(step, innermost, regions_at.back().size(), chain.outer.size(), reassociated);
      !fitted)
    return fitted;
  return still_apart(step, chain, order);
}

}  // namespace heddle::schedule
