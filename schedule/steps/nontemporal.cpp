// nontemporal S, ..
//
//   at S(..) { t[..] = body }  ->  at S(..) nontemporal { t[..] = body }
//
// Stores of S pass the caches by where the machine can: whole aligned vectors on a host, with a fence behind the
// kernel or the parallel loop. Saves reading what is overwritten, and keeps the caches for what is read again.
//
// Refused: S is a reduction, whose cells are read again by each step of it; what S writes lives in registers or in a
// memory of a device.
#include "schedule/names.h"
#include "schedule/tree.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> nontemporal_step(Step& step) {
  for (const Term& term : step.call.operands) {
    Result<StageId> stage = find_stage(step, term);
    if (!stage) return stage.errors();
    const std::string name = step.program.stage(*stage).name;
    for (const LeafSite& site : leaves_of(step.program, *stage))
      for (const Assign& a : site.leaf().assigns) {
        const Buffer& b = step.program.buffer(a.buffer);
        if (a.kind == AssignKind::combine) {
          Diagnostic d = step.refusal(codes::runs_a_reduction,
                                      "`" + name + "` is a reduction: its cells are read again until it is complete");
          if (step.program.stage(*stage).place.known())
            d.labels.push_back({step.program.stage(*stage).place, "`" + name + "` is reduced here"});
          d.help = "name the stage that writes the result";
          return d;
        }
        if (b.memory != Memory::dram)
          return step
              .refusal(codes::unknown_memory, "`" + name + "` is written to `" + std::string(memory_name(b.memory)) +
                                                  "`: no stores to memory are left to pass the caches by")
              .with_help("name a stage that writes to `dram`");
      }
    step.program.body = rewrite_body(step.program.body, [&](const StmtRef& s) -> Body {
      const Leaf* leaf = as<Leaf>(s);
      if (!leaf || leaf->stage != *stage) return {s};
      Leaf next = *leaf;
      next.nontemporal = true;
      return {make_stmt(std::move(next), s->place)};
    });
  }
  return Done{};
}

}  // namespace heddle::schedule
