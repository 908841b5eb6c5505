// unroll L, .. [by n]
//
//   for L in lo .. hi { S }  ->  for L in lo .. hi unrolled { S }
//   with `by n`: splits L into Lo, Lu first; Lu is the unrolled loop
//
// Its extent is a constant, or one that the facts decide.
//
// Refused: L is not serial; its extent is not known; with the unrolled loops around and below, the copies pass the
// limit.
#include <algorithm>

#include "ir/print.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"
#include "support/limits.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// The most copies that unrolled loops of a body make of one leaf.
int64_t copies(const Body& body) {
  int64_t most = 1;
  for (const StmtRef& s : body) {
    int64_t here = copies(children(s));
    const For* l = as<For>(s);
    if (l && l->kind == LoopKind::unrolled) {
      const Expr count = simplify(l->hi - l->lo);
      if (const int64_t* n = constant_value(count))
        if (__builtin_mul_overflow(here, std::max<int64_t>(*n, 1), &here)) here = INT64_MAX;
    }
    most = std::max(most, here);
  }
  return most;
}

void end_at(Step& step, SymbolId loop, int64_t n) {
  const Path path = path_to_loop(step.program, loop);
  For l = loop_of(path);
  if (constant_value(l.hi)) return;
  l.hi = index_constant(n);
  replace(step.program, path.back(), {make_stmt(std::move(l), path.back()->place)});
}

}  // namespace

Result<Done> unroll_step(Step& step) {
  Result<std::vector<SymbolId>> loops = find_loops(step, step.call.operands);
  if (!loops) return loops.errors();
  Result<int64_t> n = integer_after(step, "by", 1);
  if (!n) return n.errors();
  for (SymbolId loop : *loops) {
    Result<SymbolId> inner = split_off(step, loop, *n, "u");
    if (!inner) return inner.errors();
    Path path = path_to_loop(step.program, *inner);
    Result<Done> serial = can_rewrite(step, path);
    if (!serial) return serial;
    std::string name = loop_name(step.program, *inner);
    const For& l = loop_of(path);
    const Facts facts = facts_at(step.program, Path(path.begin(), path.end() - 1));
    Expr extent = simplify(l.hi - l.lo, facts);
    // A count that the facts decide, as that of the blocks of a row that is shorter than one.
    int64_t count = 0;
    if (const int64_t* n = constant_value(extent)) count = *n;
    else if (!constant_upper_bound(extent, facts, count) || !prove(facts, less_equal(index_constant(count), extent)))
      return step
          .refusal(codes::not_constant,
                   "`" + name + "` has `" + print(step.program, extent) + "` iterations, not a constant number")
          .with_help("split it on the way: `unroll " + name + " by 4`");
    start_at_zero(step, *inner);
    end_at(step, *inner, count);
    set_kind(step, *inner, LoopKind::unrolled);
    if (int64_t all = copies(step.program.body); all > limits::unroll_product)
      return step.refusal(codes::too_large, "unrolling `" + name + "` makes " + std::to_string(all) +
                                                " copies of a statement, more than " +
                                                std::to_string(limits::unroll_product));
  }
  return Done{};
}

}  // namespace heddle::schedule
