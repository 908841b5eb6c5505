// rfactor S.L [by n [into o, v]] [as p] [with of]
//
//   reduce S[i] by R { for K { for L { S[i] R= body } } }
//     ->  alloc p[i, L] ; reduce p[i, lo .. hi] by R { for K { for L { p[i, L] R= body } } }
//         reduce S[i] by R { for L { S[i] R= p[i, L] } }
//
// `by n` splits L into o, v first (by default `Lo`, `Lv`) and takes v. p (by default `S_part`) has the map axes of S,
// then one axis for each loop of the reduction, L among them as a map axis; its loops carry the names of S's. p stands
// just before S and counts as untouched.
//
// `with of` computes the partial results by the reducer's whole-range form: each line of `of[j] x { .. }` becomes a stage `p.line`
// with a nest of its own, and S combines the fields of each block.
//
// Refused: L carries no reduction, or is not serial; the reducer does not commute and L is not the outermost loop of
// the reduction; the reducer is inexact and the header does not allow `reassociate`; `with of`, and the reducer has no such form; something else is computed inside
// the reduction.
#include "ir/parts.h"
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> rfactor_step(Step& step) {
  Result<SymbolId> loop = find_loop(step, step.call.operands[0]);
  if (!loop) return loop.errors();
  Result<int64_t> n = integer_after(step, "by", 1);
  if (!n) return n.errors();
  const Symbol symbol = step.program.symbol(*loop);
  Result<std::vector<std::string>> made = names_after(step, "into", {symbol.name + "o", symbol.name + "v"});
  if (!made) return made.errors();
  Result<std::vector<std::string>> name = names_after(step, "as", {main_part(symbol.owner) + "_part"});
  if (!name) return name.errors();
  if (*n == 0 && has(step.call, "into"))
    return step.refusal(codes::wrong_operands, "`into` names the loops of a split: write `by N` too");
  if (*n > 0) {
    bool carried = false;
    Path path = path_to_loop(step.program, *loop);
    for (const LeafSite& site : leaves(loop_of(path).body)) {
      Path full = path;
      full.insert(full.end(), site.path.begin(), site.path.end());
      carried |= carries_reduction(step.program, full, *loop);
    }
    if (!carried)
      return step.refusal(codes::not_a_reduction, "`" + loop_name(step.program, *loop) + "` carries no reduction")
          .label(path.back()->place, "this loop");
    Result<SplitLoops> split = split_loop(step, *loop, *n, (*made)[0], (*made)[1], Tail::guard);
    if (!split) return split.errors();
    loop = split->inner;
  }
  bool of = has(step.call, "with");
  if (of && step.call.with.at("with")[0].text != "of")
    return Diagnostic(codes::wrong_operands, step.call.with.at("with")[0].place,
                      "`rfactor` is `with of`, or without `with`")
        .with_help("`with of` computes partial results by the reducer's whole-range form");
  return rfactor_loop(step, *loop, (*name)[0], of);
}

}  // namespace heddle::schedule
