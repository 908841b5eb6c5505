// collapse L, M into z
//
//   for L in a .. b { for M in c .. d { S } }   (d - c = n, a constant)
//     ->  for z in 0 .. (b - a)*n { S[L := a + z/n, M := c + z%n] }
//
// Refused: M does not stand alone and directly inside L; M's number of iterations is not a constant, or depends on L;
// one of the two is not serial; one drives a reduction that the other does not.
#include <algorithm>

#include "ir/print.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

Result<Done> can_collapse(const Step& step, const Path& outer, const Path& inner) {
  const Program& p = step.program;
  const For& l = loop_of(outer);
  const For& m = loop_of(inner);
  std::string first = "`" + loop_name(p, l.loop) + "`", second = "`" + loop_name(p, m.loop) + "`";
  for (const Path* path : {&outer, &inner})
    if (Result<Done> serial = can_rewrite(step, *path); !serial) return serial;
  const bool turned = std::find(inner.begin(), inner.end(), outer.back()) == inner.end() &&
                      std::find(outer.begin(), outer.end(), inner.back()) != outer.end();
  if (l.body.size() != 1 || l.body[0] != inner.back())
    return step.refusal(codes::not_nested, second + " does not stand alone inside " + first)
        .label(inner.back()->place, "this loop")
        .with_help(turned ? first + " stands inside " + second + ": name the outer one first"
                          : "bring the two together with `reorder` first");
  if (mentions(m.lo, l.loop) || mentions(m.hi, l.loop))
    return step.refusal(codes::order_matters, "the bounds of " + second + " depend on " + first);
  for (const LeafSite& site : leaves(m.body)) {
    const Leaf& leaf = site.leaf();
    if (runs_a_reduction(p, leaf, l.loop) != runs_a_reduction(p, leaf, m.loop))
      return step
          .refusal(codes::order_matters, "one of " + first + " and " + second + " drives the reduction of `" +
                                             p.stage(leaf.stage).name + "`, the other does not")
          .with_help("collapse two loops over which it is reduced, or two over its cells");
  }
  return Done{};
}

}  // namespace

Result<Done> collapse_step(Step& step) {
  Program& p = step.program;
  Result<std::vector<SymbolId>> loops = find_loops(step, step.call.operands);
  if (!loops) return loops.errors();
  if (loops->size() != 2) return step.refusal(codes::wrong_operands, "`collapse` takes two loops, the outer one first");
  Path outer = path_to_loop(p, (*loops)[0]), inner = path_to_loop(p, (*loops)[1]);
  Result<Done> legal = can_collapse(step, outer, inner);
  if (!legal) return legal;
  const For l = loop_of(outer), m = loop_of(inner);
  Facts facts = facts_at(p, Path(outer.begin(), outer.end() - 1));
  Expr rows = simplify(l.hi - l.lo, facts), columns = simplify(m.hi - m.lo, facts);
  const int64_t* n = constant_value(columns);
  if (!n || *n < 1)
    return step
        .refusal(codes::not_constant,
                 "`" + loop_name(p, m.loop) + "` has `" + print(p, columns) + "` iterations, not a constant number")
        .with_help("`fix` the dim, or split the loop by a constant and collapse the inner one");
  const std::string owner = p.symbol(l.loop).owner;
  Result<std::vector<std::string>> name = names_after(step, "into", {p.symbol(l.loop).name + p.symbol(m.loop).name});
  if (!name) return name.errors();
  legal = free_loop_name(step, owner, (*name)[0], l.loop);
  if (!legal) return legal;

  SymbolId z = p.add(Symbol{(*name)[0], SymbolKind::loop, ScalarType::index, owner, step.call.place});
  Substitution map{{l.loop, simplify(l.lo + binary(BinaryOp::div, var(z), columns))},
                   {m.loop, simplify(m.lo + binary(BinaryOp::mod, var(z), columns))}};
  auto put = [&](const Expr& e) { return mentions(e, l.loop) || mentions(e, m.loop) ? tidy(substitute(e, map)) : e; };
  for (BufferId id : allocated_in(m.body))
    for (BoxDim& d : p.buffers[id.value].box) d.lo = put(d.lo), d.hi = put(d.hi);
  For made{z, index_constant(0), simplify(rows * columns), LoopKind::serial, {}, 0, m.body};
  for (StmtRef& s : made.body) s = map_loop_exprs(s, put);
  replace(p, outer.back(), {make_stmt(std::move(made), step.call.place)});
  for (SymbolId loop : *loops) consume(step, loop_name(p, loop), "collapsed into `" + (*name)[0] + "`");
  return Done{};
}

}  // namespace heddle::schedule
