// See passes.h.
#include "backend/host/passes.h"
#include "ir/prove.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::StmtRef;

namespace {

// Whether a loop runs once: as its bounds are constant, where an instruction stands below or threads would share it (of others what comes
// later sees that too), or as facts of the program say so.
bool runs_once(const ir::For& loop, const ir::Facts& facts) {
  const ir::Expr extent = ir::simplify(loop.hi - loop.lo);
  if (!ir::constant_value(extent)) return ir::equal(extent, ir::index_constant(1), facts);
  if (!ir::is_constant(extent, 1)) return false;
  return loop.kind == ir::LoopKind::parallel ||
         !ir::path_to(loop.body, [](const StmtRef& s) { return std::holds_alternative<ir::Call>(s->form); }).empty();
}

}  // namespace

ir::Program single_iterations(ir::Program program, const ir::Target&) {
  const ir::Facts facts = ir::facts_of(program);
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* l = std::get_if<ir::For>(&s->form);
    const bool walks = l && (l->kind == ir::LoopKind::serial || l->kind == ir::LoopKind::unrolled ||
                             l->kind == ir::LoopKind::parallel);
    if (!walks || !runs_once(*l, facts)) return {s};
    const ir::Substitution at = {{l->loop, l->lo}};
    Body out;
    for (const StmtRef& below : l->body) out.push_back(ir::substitute_loops(below, at));
    for (ir::BufferId id : ir::allocated_in(out))
      for (ir::BoxDim& box : program.buffers[id.value].box) {
        box.lo = ir::simplify(ir::substitute(box.lo, at));
        box.hi = ir::simplify(ir::substitute(box.hi, at));
      }
    return out;
  });
  return program;
}

}  // namespace heddle::host
