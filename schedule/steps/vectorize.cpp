// vectorize L, .. [by n]
//
//   for L in lo .. hi { leaves }  ->  for L in 0 .. hi - lo vector { leaves }
//   with `by n`: splits L into Lo, Lv first; Lv is the vector loop
//
// Refused: L is not serial or not innermost; its extent is not a constant within the limit; what `parallel` refuses.
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> vectorize_step(Step& step) {
  Result<std::vector<SymbolId>> loops = find_loops(step, step.call.operands);
  if (!loops) return loops.errors();
  Result<int64_t> n = integer_after(step, "by", 1);
  if (!n) return n.errors();
  for (SymbolId loop : *loops) {
    // Asked of the whole loop first, so that a refusal names the loop that the user named.
    Result<Done> legal = can_run_at_once(step, path_to_loop(step.program, loop));
    if (!legal) return legal;
    Result<SymbolId> inner = split_off(step, loop, *n, "v");
    if (!inner) return inner.errors();
    legal = can_vectorize(step, path_to_loop(step.program, *inner));
    if (!legal) return legal;
    start_at_zero(step, *inner);
    set_kind(step, *inner, LoopKind::vector);
    step.relied_on("iterations of `" + loop_name(step.program, *inner) + "` write different cells");
  }
  return Done{};
}

}  // namespace heddle::schedule
