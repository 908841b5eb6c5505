// See passes.h.
#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::StmtRef;

ir::Program single_iterations(ir::Program program, const ir::Target&) {
  program.body = ir::rewrite_body(program.body, [&](const StmtRef& s) -> Body {
    const auto* l = std::get_if<ir::For>(&s->form);
    const bool plain = l && (l->kind == ir::LoopKind::serial || l->kind == ir::LoopKind::unrolled);
    if (!plain || !ir::is_constant(ir::simplify(l->hi - l->lo), 1)) return {s};
    if (ir::path_to(l->body, [](const StmtRef& b) { return std::holds_alternative<ir::Call>(b->form); }).empty())
      return {s};
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
