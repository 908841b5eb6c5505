// compute_at p, .. at L [in MEMORY]   (a list is applied left to right: consumers first)
//
//   alloc p[box] ; for i { .. p[i] .. } ; .. for L { S reads p } ..
//     ->  .. for L { alloc p[needed] ; for i over needed { .. p[i] .. } ; S } ..
//
// The needed box of an iteration is inferred; loops of one iteration disappear; where the box reaches outside of what p
// had computed, a condition stands at the leaf. Boxes of different iterations may overlap (a halo): then the leaf is
// `recomputed`.
// Memory: registers for a constant box up to the limit, else dram. A name in front of several, as `blk` of `blk.m` and `blk.o`, is
// all of them, consumers first.
//
// Refused: p is an output, or its loops were changed before; something outside L reads p, or nothing does; L is one of
// p's own loops or a vector loop; registers for a box that is not constant.
#include "schedule/names.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> compute_at_step(Step& step) {
  Result<SymbolId> loop = find_loop(step, step.call.with.at("at")[0]);
  if (!loop) return loop.errors();
  std::optional<Memory> memory;
  if (has(step.call, "in")) {
    Result<Memory> asked = memory_after(step, "in");
    if (!asked) return asked.errors();
    memory = *asked;
  }
  for (const Term& term : step.call.operands) {
    Result<std::vector<StageId>> stages = find_stages(step, term);
    if (!stages) return stages.errors();
    for (StageId stage : *stages) {
      Result<Done> done = compute_at_loop(step, stage, *loop, memory);
      if (!done) return done;
    }
  }
  return Done{};
}

}  // namespace heddle::schedule
