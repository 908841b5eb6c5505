// bind L, .. to AXIS
//
//   for L in lo .. hi { S }  ->  for L in lo .. hi on AXIS { S }
//
// AXIS is `partition` or `free`: the two dims of a device's on-chip memories, over which its engines work at once. On a
// cpu such a loop runs in order.
//
// Refused: L is not serial, or its iterations may not run at once (what `parallel` refuses); no such axis.
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

Result<std::string> axis_after_to(const Step& step) {
  const Term& term = step.call.with.at("to")[0];
  Result<std::string> name = name_of(step, term);
  if (!name) return name;
  if (*name == "partition" || *name == "free") return name;
  Diagnostic d(codes::unknown_axis, term.place, "there is no hardware axis `" + *name + "`");
  const std::string near = nearest(*name, {"partition", "free"});
  d.help = near.empty() ? "the axes are `partition` and `free`" : "did you mean `" + near + "`?";
  return d;
}

}  // namespace

Result<Done> bind_step(Step& step) {
  Result<std::vector<SymbolId>> loops = find_loops(step, step.call.operands);
  if (!loops) return loops.errors();
  Result<std::string> axis = axis_after_to(step);
  if (!axis) return axis.errors();
  for (SymbolId loop : *loops) {
    Result<Done> legal = can_parallel(step, path_to_loop(step.program, loop));
    if (!legal) return legal;
    Path path = path_to_loop(step.program, loop);
    For l = loop_of(path);
    l.kind = LoopKind::bound;
    l.axis = *axis;
    replace(step.program, path.back(), {make_stmt(std::move(l), step.call.place)});
    step.relied_on("iterations of `" + loop_name(step.program, loop) + "` write different cells");
  }
  return Done{};
}

}  // namespace heddle::schedule
