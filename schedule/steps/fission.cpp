// fission L after S
//
//   for y.L in lo .. hi { A ; S ; B }
//     ->  for y@head.L in lo .. hi { A ; S } ; for y.L in lo .. hi { B }          where B holds the leaves of `y`
//     ->  for y.L in lo .. hi { A ; S } ; for y@rest.L in lo .. hi { B }          elsewhere
//
// The loop is made twice, once for the statements down to the one that holds S and once for those after it. The name
// stays with the stage that it is named after. Temporaries that only B uses go with B.
//
// Refused: L is not serial; S does not stand in L, or nothing stands after it; a temporary inside L is used on both
// sides; B at an iteration and A at a later one touch a common cell that one of them writes; a check on data in A.
#include <algorithm>

#include "ir/parts.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/order.h"

namespace heddle::schedule {

using namespace ir;

namespace {

bool holds_stage(const Program& p, const Body& body, const std::string& name) {
  for (const LeafSite& site : leaves(body))
    if (main_part(p.stage(site.leaf().stage).name) == name) return true;
  return false;
}

// The loop's body, before and after the place where it is cut.
struct Halves {
  Body first, second;
};

Result<Halves> cut(const Step& step, const For& l, StageId stage) {
  const Program& p = step.program;
  const std::string loop = "`" + loop_name(p, l.loop) + "`", name = "`" + p.stage(stage).name + "`";
  size_t end = 0;
  for (size_t i = 0; i < l.body.size(); ++i)
    for (const LeafSite& site : leaves({l.body[i]}))
      if (site.leaf().stage == stage) end = i + 1;
  if (end == 0) return step.refusal(codes::unknown_name, "no statement of " + name + " stands in " + loop);
  if (end == l.body.size()) {
    Diagnostic d = step.refusal(codes::not_nested, "nothing stands after " + name + " in " + loop);
    if (l.body.back()->place.known()) d.labels.push_back({l.body.back()->place, "the last statement"});
    d.help = "name a stage that is computed before another one in the loop";
    return d;
  }
  Halves out{{l.body.begin(), l.body.begin() + static_cast<std::ptrdiff_t>(end)},
             {l.body.begin() + static_cast<std::ptrdiff_t>(end), l.body.end()}};
  Body stays, moves;
  for (const StmtRef& s : out.first) {
    const Alloc* a = as<Alloc>(s);
    if (!a || !touches(p, out.second, a->buffers)) {
      stays.push_back(s);
      continue;
    }
    if (touches(p, out.first, a->buffers))
      return step
          .refusal(codes::order_matters, "`" + p.buffer(a->buffers[0]).name + "` is allocated in each iteration of " +
                                             loop + " and used on both sides of the cut")
          .label(s->place, "allocated here")
          .with_help("keep it over the whole loop first: `store_at " + p.buffer(a->buffers[0]).name +
                     " at ..` a loop around, or cut elsewhere");
    moves.push_back(s);
  }
  out.first = std::move(stays);
  out.second.insert(out.second.begin(), moves.begin(), moves.end());
  return out;
}

}  // namespace

Result<Done> fission_step(Step& step) {
  Program& p = step.program;
  Result<SymbolId> loop = find_loop(step, step.call.operands[0]);
  if (!loop) return loop.errors();
  Result<StageId> stage = find_stage(step, step.call.with.at("after")[0]);
  if (!stage) return stage.errors();
  Path path = path_to_loop(p, *loop);
  if (Result<Done> serial = can_rewrite(step, path); !serial) return serial;
  const For l = loop_of(path);
  Result<Halves> halves = cut(step, l, *stage);
  if (!halves) return halves.errors();
  const Facts facts = facts_at(p, Path(path.begin(), path.end() - 1));
  for (Result<Done> check :
       {no_checks(step, halves->first), iterations_commute(step, l, halves->first, halves->second, facts)})
    if (!check) return check;

  const Symbol symbol = p.symbol(*loop);
  const std::string own = main_part(symbol.owner);
  const bool head_is_new = holds_stage(p, halves->second, own) && !holds_stage(p, halves->first, own);
  const std::string part = free_part(p, {symbol.owner}, head_is_new ? "head" : "rest");
  SymbolId made =
      p.add(Symbol{symbol.name, SymbolKind::loop, ScalarType::index, part_name(symbol.owner, part), step.call.place});
  auto moved = [&](const Expr& e) { return mentions(e, *loop) ? tidy(substitute(e, {{*loop, var(made)}})) : e; };
  Body& other = head_is_new ? halves->first : halves->second;
  for (BufferId id : allocated_in(other))
    for (BoxDim& d : p.buffers[id.value].box) d.lo = moved(d.lo), d.hi = moved(d.hi);
  for (StmtRef& s : other) s = map_loop_exprs(s, moved);
  For first = l, second = l;
  first.body = std::move(halves->first);
  second.body = std::move(halves->second);
  (head_is_new ? first : second).loop = made;
  replace(p, path.back(),
          {make_stmt(std::move(first), path.back()->place), make_stmt(std::move(second), step.call.place)});
  step.relied_on("no iteration of `" + loop_name(p, *loop) + "` touches what the other half does in a later one");
  return Done{};
}

}  // namespace heddle::schedule
