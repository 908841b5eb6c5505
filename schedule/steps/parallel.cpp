// parallel L, ..
//
//   for L in lo .. hi { S }  ->  for L in lo .. hi parallel { S }
//
// Refused: L is not serial or stands in a vector loop; a reduction, scan or scatter is bound to it whose region does
// not open inside; two iterations may touch one cell that one of them writes.
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> parallel_step(Step& step) {
  Result<std::vector<SymbolId>> loops = find_loops(step, step.call.operands);
  if (!loops) return loops.errors();
  for (SymbolId loop : *loops) {
    Result<Done> legal = can_parallel(step, path_to_loop(step.program, loop));
    if (!legal) return legal;
    set_kind(step, loop, LoopKind::parallel);
    step.relied_on("iterations of `" + loop_name(step.program, loop) + "` write different cells");
  }
  return Done{};
}

}  // namespace heddle::schedule
