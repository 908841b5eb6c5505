// specialize S when COND
//
//   for y.i .. { S }
//     ->  for y@case.once in 0 .. if COND then 1 else 0 { for y@case.i .. { S@case } }
//         for y.once in 0 .. if COND then 0 else 1 { for y.i .. { S } }
//
// The nest is made twice: the part `y@case` runs where the condition holds, the main part elsewhere. A loop of one
// iteration or none is the condition, so that everything below - regions, temporaries, instructions - comes or stays
// away as a whole. Inside, the condition is a fact: guards that it decides are gone at once, later steps rely on it.
// The nest is the outermost loop (or region) that is named as the stage, inside the cases that it already has.
//
// Refused: no condition over dims, constants and loops around; one that always or never holds there; a nest inside a
// vector loop.
#include <algorithm>

#include "ir/parts.h"
#include "ir/print.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// Conditions that the facts around decide, gone; bounds and windows in the form that they take there.
Body settled(const Program& p, const Body& body, const Facts& at) {
  Body out;
  for (const StmtRef& s : body) {
    Facts inside = at;
    if (const Leaf* leaf = as<Leaf>(s)) {
      Leaf next = *leaf;
      std::vector<Expr> parts = conjuncts(leaf->predicate);
      std::erase_if(parts, [&](const Expr& e) { return !mentions_load(e) && prove(at, e); });
      next.predicate = conjoin(parts);
      out.push_back(make_stmt(std::move(next), s->place));
    } else if (const For* l = as<For>(s)) {
      For next = *l;
      inside.add_range(l->loop, l->lo, l->hi);
      next.body = settled(p, l->body, inside);
      out.push_back(make_stmt(std::move(next), s->place));
    } else if (const Reduce* r = as<Reduce>(s)) {
      Reduce next = *r;
      for (Window& w : next.windows)
        for (Range& range : w.ranges) {
          if (range.lo.as<Select>() && !mentions_load(range.lo)) range.lo = simplify(range.lo, at);
          if (range.hi.as<Select>() && !mentions_load(range.hi)) range.hi = simplify(range.hi, at);
        }
      next.body = settled(p, r->body, at);
      out.push_back(make_stmt(std::move(next), s->place));
    } else {
      out.push_back(s);
    }
  }
  return out;
}

std::string free_name(const Program& p, const std::string& owner, const std::string& base) {
  auto taken = [&](const std::string& name) {
    return std::any_of(p.symbols.begin(), p.symbols.end(),
                       [&](const Symbol& s) { return s.name == name && (s.owner == owner || s.owner.empty()); }) ||
           std::any_of(p.buffers.begin(), p.buffers.end(), [&](const Buffer& b) { return b.name == name; });
  };
  std::string name = base;
  for (int i = 2; taken(name); ++i) name = base + std::to_string(i);
  return name;
}

}  // namespace

Result<Done> specialize_step(Step& step) {
  Program& p = step.program;
  Result<Nest> nest = find_nest(step, step.call.operands[0]);
  if (!nest) return nest.errors();
  const Path& path = nest->path;
  const Path around(path.begin(), path.end() - 1);
  if (Result<Done> holds = can_hold(step, around); !holds) return holds;
  std::vector<SymbolId> loops;
  for (const StmtRef& s : around)
    if (const For* l = as<For>(s)) loops.push_back(l->loop);
  const Term& term = step.call.with.at("when")[0];
  Result<Expr> read = index_expr(p, term, loops);
  if (!read) return read.errors();
  if (read->type() != ScalarType::boolean)
    return Diagnostic(codes::wrong_operands, term.place, "`when` needs a condition, such as `rows % 8 == 0`");
  const Expr condition = tidy(*read);
  Facts facts = facts_at(p, around);
  const std::string text = print(p, condition);
  const Expr otherwise = unary(UnaryOp::logical_not, condition);
  for (bool always : {true, false})
    if (prove(facts, always ? condition : otherwise))
      return Diagnostic(codes::bad_value, term.place,
                        "`" + text + "` " + (always ? "always" : "never") + " holds here, so there is one case only");

  const std::string owner = nest->owner;
  Part special = copy_part(step.program, step.call.place, {path.back()}, "case", owner, {});
  const std::string case_owner = part_name(owner, special.name);
  SymbolId yes =
      p.add(Symbol{free_name(p, case_owner, "once"), SymbolKind::loop, ScalarType::index, case_owner, step.call.place});
  SymbolId no = p.add(Symbol{free_name(p, owner, "once"), SymbolKind::loop, ScalarType::index, owner, step.call.place});
  const Expr zero = index_constant(0), one = index_constant(1);
  For first{yes, zero, select(condition, one, zero), LoopKind::serial, {}, 0, {}};
  For second{no, zero, select(condition, zero, one), LoopKind::serial, {}, 0, {path.back()}};
  facts.add_range(yes, first.lo, first.hi);
  first.body = settled(p, special.body, facts);
  replace(p, path.back(),
          {make_stmt(std::move(first), step.call.place), make_stmt(std::move(second), step.call.place)});
  step.relied_on("one of the two parts runs: `" + text + "` holds or not");
  return Done{};
}

}  // namespace heddle::schedule
